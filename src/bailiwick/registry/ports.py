"""What the registry needs of others: a gate before promotion, where versions came from, what files they have, who uses
them, and who must follow when one is renamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bailiwick.core.actor import Actor
from bailiwick.store.records import Change


class PromotionGate(Protocol):
    """Decides whether a version may get an alias, or reach a stage.

    The registry asks after it has authorised the actor and found the version, and before it opens its transaction; a
    gate reads what it needs itself, and must not rely on locks. A refusal changes nothing: the registry journals it as
    `alias.denied` and raises it to the caller.

    * `check` returns None or raises `NotAllowed`; the message names model, version and alias and everything that is
      missing, the hint says how to get it. Other errors mean that the gate itself could not decide.
    * A stage is asked for as if it were an alias: under its own name (`Production`), then under that in lower case, so
      that a policy on `production` holds for both.
    * Asking changes nothing: the same question has the same answer until the gate's own records change or time passes.
    * Only rules of `actor.workspace` count. The actor's permissions do not: the registry has looked at them.
    * `author` is the identity that registered the version, taken from the registry and never from a caller.
    * The gate judges words, so a model it has never heard of is no error.
    * It may be asked from many threads at once.

    `bailiwick.testing.promotion_gate` holds the tests that every gate passes.
    """

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        """Raises NotAllowed when version `number` of `model` may not become `alias` now."""
        ...


class NoGate:
    """Allows every promotion: for tests, and where nobody wants approvals."""

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        """Never raises."""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """What the registry asks of a logged model: where its files are, and which run made it (empty for none)."""

    artifact_uri: str
    run_id: str


class Origins(Protocol):
    """Looks up what a version is said to come from, in one workspace; None says that there is none."""

    def run_artifacts(self, workspace: str, run_id: str) -> str | None:
        """The root URI of a run's artifacts."""
        ...

    def logged_model(self, workspace: str, model_id: str) -> LoggedModel | None:
        """A logged model by its id (`m-…`)."""
        ...

    def registered(self, actor: Actor, model_id: str, model: str, number: int) -> None:
        """Hears that a logged model has become a version; asked once the version is there, and may be asked twice."""
        ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file below a URI: its path relative to that, the SHA-256 of its bytes in hex, its size in bytes."""

    path: str
    sha256: str
    size_bytes: int


class Reach(Enum):
    """How near files are: listed with their digests at once, to be read for those, or out of the platform's reach."""

    LISTED = "listed"
    READ = "read"
    NONE = "none"


class ArtifactCatalog(Protocol):
    """Files that the platform itself keeps, by the URI of the folder they are in."""

    def reach(self, workspace: str, uri: str) -> Reach:
        """What `files` takes there; asking costs nothing."""
        ...

    def files(self, workspace: str, uri: str) -> Sequence[StoredFile] | None:
        """Every file below, by path; None where the URI is not of the platform's own store."""
        ...

    def read(self, workspace: str, uri: str, path: str) -> Iterator[bytes]:
        """One file's bytes in pieces. Raises NotFound, Corrupted."""
        ...

    def remove(self, actor: Actor, uri: str) -> int:
        """Remove every file below, and return how many; none where there is none, or where the URI is out of reach."""
        ...


class NameFollowers(Protocol):
    """Records of other domains that go by a model's name and must go on doing so when it gets another."""

    def rename(self, change: Change, model: str, new_name: str) -> None:
        """Have everything under the old name go by the new one, as part of `change`, which is journalled by the registry."""
        ...


class SettingFollowers(Protocol):
    """Whoever tells processes how versions are run."""

    def setting_changed(self, change: Change) -> None:
        """Have it told anew, as part of `change`, which is journalled by the registry."""
        ...


class ModelReferences(Protocol):
    """Who else knows a model, or a version, by its name: what must be let go before it is renamed or destroyed."""

    def of_model(self, workspace: str, model: str) -> Sequence[str]:
        """Those that would not follow it to another name, in words, e.g. `endpoint late`; empty where there is none."""
        ...

    def of_name(self, workspace: str, name: str) -> Sequence[str]:
        """Whatever goes by a name that no model has yet, in words; empty where nothing does."""
        ...

    def of_version(self, workspace: str, model: str, number: int) -> Sequence[str]:
        """In words; empty where nothing refers to the version."""
        ...


class NoOrigins:
    """Knows no run and no logged model."""

    def run_artifacts(self, workspace: str, run_id: str) -> str | None:
        """Always None."""

    def logged_model(self, workspace: str, model_id: str) -> LoggedModel | None:
        """Always None."""

    def registered(self, actor: Actor, model_id: str, model: str, number: int) -> None:
        """Does nothing."""
