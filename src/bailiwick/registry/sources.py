"""Where a version's files are said to be, and whether that can be believed.

A source is a URI that a client gives: `runs:/RUN/path`, `models:/m-ID`, `models:/NAME/VERSION`, `mlflow-artifacts:/…`, a
local path, or a URL of a store that clients reach by themselves (`s3://…`). The server follows it later, so nothing may
lead outside what the named run or logged model owns. The rules are those of MLflow 3.18.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

from bailiwick.core.errors import InvalidInput
from bailiwick.registry.model import MAX_ID_LENGTH, MAX_SOURCE_LENGTH, check_text
from bailiwick.registry.ports import LoggedModel, Origins

PROMPT_TAG = "mlflow.prompt.is_prompt"
PLACEHOLDERS = frozenset({"dummy-source", "prompt-template"})
_HERE = re.compile(r"\.?|localhost.*|127\.0\.0\.1.*")
_PROXY = ("api", "2.0", "mlflow-artifacts", "artifacts")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client says of a new version. None of an id is not said at all, which differs from the empty text."""

    source: str
    run_id: str | None = None
    model_id: str | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """A claim that holds. `storage` is where clients load from, `files` the folder in terms of artifact stores."""

    source: str
    storage: str
    files: str
    run_id: str
    model_id: str


@dataclass(frozen=True, slots=True)
class ModelUri:
    """`models:/…`, read: a logged model's id, or a name with a version, stage or alias (or neither: the newest)."""

    model_id: str = ""
    name: str = ""
    version: str = ""
    stage: str = ""
    alias: str = ""


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Whether the tags say that this is a text, kept as a version, and not a model."""
    return tags.get(PROMPT_TAG, "").lower() == "true"


def parse_model_uri(source: str) -> ModelUri:
    """Raises InvalidInput for a text that is no `models:/` URI."""
    parsed = urlsplit(source)
    first, *rest = parsed.path[1:].split("/") if parsed.path.startswith("/") else [""]
    if parsed.scheme != "models" or parsed.netloc or not first.strip() or len(rest) > 1:
        raise _not_identified(source, "model_id")
    if rest:
        suffix = rest[0]
        if not suffix.strip():
            raise _not_identified(source, "model_id")
        if suffix.isascii() and suffix.isdigit():
            return ModelUri(name=first, version=suffix)
        return ModelUri(name=first) if suffix.lower() == "latest" else ModelUri(name=first, stage=suffix)
    name, at, alias = first.rpartition("@")
    if at and name and alias.strip():
        return ModelUri(name=name, alias=alias)
    return ModelUri(model_id=first)


def follow(claim: Claim, origins: Origins, workspace: str, referred: Followed | None) -> Followed:
    """Hold a claim against what is known. `referred` is the registered version that a `models:/NAME/…` source names.

    Raises InvalidInput for a source that leads nowhere, or out of what its run or logged model owns.
    """
    check_source(claim.source)
    if referred is not None:
        _check_same_lineage(claim, referred)
        return referred
    run_id = check_text("A run id", claim.run_id or "", MAX_ID_LENGTH)
    model_id = check_text("A logged model's id", claim.model_id or "", MAX_ID_LENGTH)
    logged = origins.logged_model(workspace, model_id) if model_id else None
    if model_id:
        _check_against_model(claim.source, model_id, logged)
    else:
        _check_against_run(claim.source, run_id, origins, workspace)
    run_id = run_id or (logged.run_id if logged else "")
    if logged and urlsplit(claim.source).scheme == "models":
        return Followed(claim.source, logged.artifact_uri, logged.artifact_uri, run_id, model_id)
    files = files_of(claim.source, origins, workspace)
    return Followed(claim.source, claim.source, files, run_id, model_id)


def check_source(source: str) -> str:
    """Raises InvalidInput for what no store could hold or find."""
    check_text("A source", source, MAX_SOURCE_LENGTH)
    if not source.strip() or not source.isprintable():
        raise InvalidInput(f"Invalid model version source: {source!r} must be printable and not blank.")
    try:
        urlsplit(source)
    except ValueError as error:
        raise InvalidInput(f"Invalid model version source: {source!r} is no URI: {error}.") from None
    if is_on_another_host(source):
        raise InvalidInput(f"{source} is not a valid remote uri: file:// names no host but this one.")
    return source


def is_on_another_host(source: str) -> bool:
    """Whether a `file://` source names a host other than this one."""
    try:
        parsed = urlsplit(source)
    except ValueError:
        return False
    return parsed.scheme == "file" and not _HERE.fullmatch(parsed.netloc)


def is_local(source: str) -> bool:
    """Whether a source is a path on the server's own disk."""
    return urlsplit(source).scheme in {"", "file"}


def _check_same_lineage(claim: Claim, referred: Followed) -> None:
    wrong = [
        said is not None and said != known
        for said, known in ((claim.run_id, referred.run_id), (claim.model_id, referred.model_id))
    ]
    if any(wrong):
        raise InvalidInput(
            f"Invalid model version source: {claim.source!r}. run_id and model_id must be those of the version it names.",
            hint="Leave both out; they are taken from there.",
        )


def _check_against_run(source: str, run_id: str, origins: Origins, workspace: str) -> None:
    if is_local(source):
        root = origins.run_artifacts(workspace, run_id) if run_id else None
        _check_inside(source, root, "run_id")
        return
    _check_absolute(source)
    scheme = urlsplit(source).scheme
    if scheme == "runs" and (not run_id or _run_of(source) != run_id):
        raise _not_identified(source, "run_id")
    if scheme == "models":
        raise _not_identified(source, "model_id")
    if _is_proxied(source):
        root = origins.run_artifacts(workspace, run_id) if run_id else None
        if root is None or not _is_within(source, root):
            raise _not_identified(source, "run_id")


def _check_against_model(source: str, model_id: str, logged: LoggedModel | None) -> None:
    if is_local(source):
        _check_inside(source, logged.artifact_uri if logged else None, "model_id")
        return
    _check_absolute(source)
    scheme = urlsplit(source).scheme
    if logged is None or scheme == "runs" or (scheme == "models" and parse_model_uri(source).model_id != model_id):
        raise _not_identified(source, "model_id")
    if _is_proxied(source) and not _is_within(source, logged.artifact_uri):
        raise _not_identified(source, "model_id")


def _check_inside(source: str, root: str | None, named: str) -> None:
    """A local source lies in the artifact folder of the run or logged model that is named with it."""
    if root is not None and is_local(root):
        folder, inner = _path_of(root), _path_of(source)
        if folder in [inner, *inner.parents]:
            return
    raise InvalidInput(
        f"Invalid model version source: {source!r}. To use a local path as a model version source, the {named} must be "
        "given too, and the path must lie within its artifact folder."
    )


def _path_of(uri: str) -> Path:
    parsed = urlsplit(uri)
    return Path(unquote(parsed.path) if parsed.scheme == "file" else uri).resolve()


def _check_absolute(source: str) -> None:
    plain = source
    while (once_more := unquote_plus(plain)) != plain:
        plain = once_more
    try:
        path = re.sub(r"/+", "/", urlsplit(plain).path).rstrip("/")
    except ValueError:  # what was quoted makes it no URI at all
        path = ""
    climbs = "\x00" in plain or ".." in plain.replace("\\", "/").split("/")
    if climbs or not path.startswith("/") or posixpath.normpath(path) != path:
        raise InvalidInput(
            f"Invalid model version source: {source!r}. If supplying a source as an http, https, local, ftp, object "
            "store or mlflow-artifacts URI, give its absolute path, without any relative part."
        )


def _run_of(source: str) -> str:
    parsed = urlsplit(source)
    return "" if parsed.netloc else parsed.path[1:].partition("/")[0]


def files_of(source: str, origins: Origins, workspace: str) -> str:
    """The folder a source means: `runs:/RUN/path` is a path below the run's artifacts."""
    if urlsplit(source).scheme != "runs":
        return source
    root = origins.run_artifacts(workspace, _run_of(source))
    rest = urlsplit(source).path[1:].partition("/")[2].strip("/")
    return "" if root is None else f"{root.rstrip('/')}/{rest}".rstrip("/")


def _is_proxied(source: str) -> bool:
    """Whether the server itself would serve the files."""
    scheme, _, parts = _parts(source)
    places = range(len(parts) - len(_PROXY) + 1)
    return scheme == "mlflow-artifacts" or (
        scheme in {"http", "https"} and any(parts[place : place + len(_PROXY)] == _PROXY for place in places)
    )


def _is_within(source: str, root: str) -> bool:
    scheme, host, parts = _parts(source)
    root_scheme, root_host, root_parts = _parts(root)
    same = (scheme, host) == (root_scheme, root_host)
    return same and bool(root_parts) and parts[: len(root_parts)] == root_parts


def _parts(uri: str) -> tuple[str, str, tuple[str, ...]]:
    parsed = urlsplit(uri)
    return parsed.scheme.lower(), parsed.netloc.lower(), tuple(map(_unquoted, filter(None, parsed.path.split("/"))))


def _unquoted(text: str) -> str:
    while (once_more := unquote(text)) != text:
        text = once_more
    return text


def _not_identified(source: str, named: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid model version source: {source!r}. The {named} parameter must identify what contains the source."
    )
