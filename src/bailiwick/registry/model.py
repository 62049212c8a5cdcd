"""Models, versions, aliases and stages, and the rules for their names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.core.serving_setting import ServingSetting, setting_of

MAX_NAME_LENGTH = 256
MAX_ALIAS_LENGTH = 255
MAX_ID_LENGTH = 64
MAX_CODE_VERSION_LENGTH = 250
MAX_TEXT_LENGTH = 5_000
MAX_SOURCE_LENGTH = 2_048
MAX_TAG_KEY_LENGTH = 250
MAX_TAG_VALUE_LENGTH = 100_000
SERVING_TAG = "bailiwick.serving"
"""The tag under which a version's serving setting is kept; only the verb `set_serving` writes it."""
REPORT_TAG = "bailiwick.optimised"
"""The tag with the digest of the newest report on forms of a version; only the verb `keep_report` writes it."""
OWN_TAGS = frozenset({SERVING_TAG, REPORT_TAG})

_ALIAS = re.compile(r"[\w\-]+")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TAG_KEY = re.compile(r"[/\w.\- :]+")


class Stage(StrEnum):
    """How far along a version is: MLflow's four words. Several versions of a model may be at one stage."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


ACTIVE_STAGES = (Stage.STAGING, Stage.PRODUCTION)
READY = "READY"


class ContentState(StrEnum):
    """What is known of a version's files: all, nothing yet, or nothing because they are out of reach or not there."""

    KNOWN = "known"
    PENDING = "pending"
    ELSEWHERE = "elsewhere"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Model:
    """A name under which versions are registered. `newest` is the highest number ever given, `versions` how many are left.

    A deleted model keeps its name's numbers: whoever makes a model of that name anew goes on counting.
    """

    workspace: str
    name: str
    description: str
    newest: int
    versions: int
    aliases: Mapping[str, int]
    created: int
    updated: int
    created_by: str
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted: int | None = None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version with everything that was measured about it, which never changes after it is registered.

    `package` is the blob digest of the package, empty until there is one. `digest` names the content: of a version
    that was registered as a package the SHA-256 of its bytes, of one registered from a `source` that of the canonical
    JSON of its files (path, SHA-256, size), empty where those are kept elsewhere. `storage` is where the files are once
    `source` is followed. `created_by` is an identity, as the journal has it. Measures that are undefined are NaN in
    `metrics` and None elsewhere. `purged` is when its content was destroyed: what is left is a tombstone.

    `content` is what the files say of themselves (see `registry.contents`): flavours, MLflow's version, whether there is
    an example of an input. Until `content_state` is KNOWN it is empty, and so are digest, size and signature.
    """

    workspace: str
    model: str
    number: int
    package: str
    digest: str
    size_bytes: int
    run_id: str
    snapshot: str
    signature: Mapping[str, Any]
    metrics: Mapping[str, float]
    slices: Mapping[str, Any]
    parity: Mapping[str, Any]
    environment: Mapping[str, Any]
    code_version: str
    parameters: Mapping[str, Any]
    reference_profile: str
    description: str
    created: int
    created_by: str
    deleted: int | None = None
    source: str = ""
    storage: str = ""
    run_link: str = ""
    model_id: str = ""
    status: str = READY
    status_message: str = ""
    stage: str = Stage.NONE
    updated: int = 0
    purged: int | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    content_state: str = ContentState.KNOWN
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def flavors(self) -> dict[str, str]:
        """How it can be loaded: the library's version by flavour. A package is ONNX, rules, or what was logged."""
        said = self.content.get("flavors")
        known = {str(name): str(version) for name, version in said.items()} if isinstance(said, Mapping) else {}
        kind = self.runtime if self.runtime in {"rules", "composition"} else "onnx"
        return known if not self.package or kind in known or self.runtime == "python" else {**known, kind: ""}

    @property
    def native(self) -> bool:
        """Whether it was registered as a package, not from a source elsewhere."""
        return not self.source

    @property
    def runtime(self) -> str:
        """What runs the package: `onnx`, `python` for a model that stays as it was logged, `rules`, `composition`; empty without a package."""
        return str(self.parity.get("runtime", "onnx")) if self.package else ""

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """Versions, as (model, number), that it was made of here; those of its own model go by no name, so that they
        follow it to another. What came from elsewhere names versions of elsewhere.
        """
        said = self.parity.get("parts") if self.native else None
        if not isinstance(said, list):
            return ()
        return tuple((str(each["model"]) or self.model, int(each["version"])) for each in said)

    @property
    def serving(self) -> ServingSetting:
        """How it is to be run where it is served."""
        return setting_of(self.tags, SERVING_TAG)


class AliasAction(StrEnum):
    """Why an alias, or a stage, came to be where it is."""

    SET = "set"
    ROLLED_BACK = "rolled_back"
    REMOVED = "removed"
    VERSION_DELETED = "version_deleted"


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One line of an alias's history: who moved it, when, why, and between which versions (None: pointing nowhere)."""

    model: str
    alias: str
    action: str
    previous: int | None
    number: int | None
    reason: str
    time: int
    identity: str
    actor: str


@dataclass(frozen=True, slots=True)
class StageChange:
    """One line of a model's stage history: which version went from which stage to which, by whom, when, why."""

    model: str
    number: int
    action: str
    previous: str
    stage: str
    reason: str
    time: int
    identity: str
    actor: str


def versions_before(history: Iterable[AliasChange]) -> list[int]:
    """Versions an alias can be rolled back to, last resort first, from its history oldest first.

    Like undo: setting pushes, rolling back pops, so a second rollback goes one further back and never to and fro.
    When the alias points nowhere, the version it last pointed to is the first candidate.
    """
    pointed: list[int] = []
    present = False
    for change in history:
        if change.action == AliasAction.SET and change.number is not None and pointed[-1:] != [change.number]:
            pointed.append(change.number)
        elif change.action == AliasAction.ROLLED_BACK:
            while pointed and pointed[-1] != change.number:
                pointed.pop()
        present = change.number is not None
    return pointed[:-1] if present else pointed


def check_model_name(name: str) -> str:
    """Raises InvalidInput for a name that is blank or could not stand in a URI or policy; LimitExceeded past 256."""
    check_text("A model name", name, MAX_NAME_LENGTH)
    unaddressable = name in {"*", ".", ".."} or any(letter in "/:" or not letter.isprintable() for letter in name)
    if unaddressable or not name.strip():
        raise InvalidInput(
            f"Model name {name!r} must be printable, not blank, not '*', '.' or '..', and without / and :."
        )
    return name


def check_alias(alias: str) -> str:
    """Raises InvalidInput for an alias outside letters, digits, _ and -, or one that MLflow URIs give another meaning."""
    check_text("An alias", alias, MAX_ALIAS_LENGTH)
    if not _ALIAS.fullmatch(alias):
        raise InvalidInput(f"Alias {alias!r} may hold only letters, digits, _ and -.")
    if _RESERVED.fullmatch(alias):
        raise InvalidInput(f"Alias {alias!r} is reserved: 'latest' and 'v<number>' already name versions.")
    return alias


def parse_stage(text: str) -> Stage:
    """The stage of that name, in any case. Raises InvalidInput naming the four."""
    for stage in Stage:
        if stage.lower() == text.lower():
            return stage
    raise InvalidInput(f"Invalid Model Version stage: {text[:100]!r} is none of {', '.join(Stage)}.")


def check_own_tag(key: str) -> None:
    """Raises InvalidInput for a tag that a verb of its own writes."""
    if key in OWN_TAGS:
        raise InvalidInput(
            f"Tag {key!r} is not set by hand.",
            hint="Use `bailiwick models serving` and `bailiwick models optimise`.",
        )


def check_tag(key: str, value: str) -> None:
    """Raises InvalidInput for a key that could not stand in a filter or path, LimitExceeded for a key or value too long."""
    check_text("A tag's key", key, MAX_TAG_KEY_LENGTH)
    if not _TAG_KEY.fullmatch(key):
        raise InvalidInput(
            f"Tag key {key!r} may hold only letters, digits, spaces and _ - . : /, and needs one of them."
        )
    plain = posixpath.normpath(key)
    if plain != key or plain == "." or plain.startswith(("..", "/")):
        raise InvalidInput(f"Tag key {key!r} reads as the path {plain!r}.", hint="Leave out the dots and slashes.")
    check_text(f"The value of tag {key!r}", value, MAX_TAG_VALUE_LENGTH)


def check_digest(what: str, digest: str) -> str:
    """Raises InvalidInput unless it is 64 lower-case hex digits."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{what} {digest!r} is not a SHA-256 digest: 64 lower-case hex digits.")
    return digest


def check_text(what: str, text: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """Text that both databases can store: valid Unicode without NUL, at most `limit` characters."""
    if len(text) > limit:
        raise LimitExceeded(f"{what} has at most {limit} characters; this one has {len(text)}.")
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise InvalidInput(f"{what} holds a NUL or half of a surrogate pair, which cannot be stored as text.")
    return text
