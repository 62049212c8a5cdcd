"""Paths of artifacts: which are taken, and how the URIs that MLflow clients keep lead to them.

A path is kept as it was given, and is never decoded again. It is refused if decoding it, however often, would give one
that leads elsewhere: what stands behind the store may be less careful than we are.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from bailiwick.core.errors import InvalidInput, LimitExceeded

MAX_PATH_BYTES = 1024
"""The limit of a key in S3, GCS and Azure."""
MAX_SEGMENT_BYTES = 255
"""The limit of a file name on Linux."""
MAX_DECODINGS = 10

DEFAULT_WORKSPACE = "default"
WORKSPACES = "workspaces"
"""First segment of every other workspace's artifacts, as MLflow has it."""
STAGING = ".bailiwick-incoming"
"""Folder of unfinished uploads in a destination; no artifact can be in it."""
MADE = ".bailiwick"
"""Folder of what is made when it is asked for, such as a package as an MLflow model; no artifact can be in it."""

PROXIED = frozenset({"mlflow-artifacts", "http", "https"})
_ANCHOR = "/mlflow-artifacts/artifacts"
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_path(path: str) -> str:
    """The path of a file. Raises InvalidInput for one that is empty, hostile or no Unicode; LimitExceeded for a long one."""
    if not path:
        raise InvalidInput("An artifact needs a path; this one is empty.")
    _check_text(path)
    _check_shape(path, path)
    decoded = path
    for _ in range(MAX_DECODINGS):
        before, decoded = decoded, unquote(decoded)
        if decoded == before:
            break
        _check_decoded(decoded, path)
    else:
        raise _refused(path, f"it is percent-encoded more than {MAX_DECODINGS} times")
    if path.partition("/")[0] in {STAGING, MADE}:
        raise _refused(path, f"{path.partition('/')[0]} is kept for the server's own use")
    return path


def check_folder(path: str) -> str:
    """The path of a folder: as that of a file, or empty for the root; one slash at its end is dropped."""
    folder = path.removesuffix("/")
    return check_path(folder) if folder else ""


def joined(folder: str, path: str) -> str:
    """`folder/path`, where either may be empty."""
    return f"{folder}/{path}" if folder and path else folder or path


def proxied_path(uri: str) -> str | None:
    """The path that a URI of the artifact proxy names; None for any other URI.

    `mlflow-artifacts:/a/b`, `mlflow-artifacts://host/a/b` and `http(s)://host/…/mlflow-artifacts/artifacts/a/b` all name `a/b`.
    """
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        return check_folder(parts.path.lstrip("/"))
    if parts.scheme in PROXIED and _ANCHOR in parts.path:
        return check_folder(parts.path.partition(_ANCHOR)[2].lstrip("/"))
    return None


def scope(workspace: str) -> str:
    """The folder in which a workspace's artifacts lie: the root for the default one, else `workspaces/NAME`."""
    return "" if workspace == DEFAULT_WORKSPACE else f"{WORKSPACES}/{workspace}"


def within_workspace(workspace: str, path: str) -> str:
    """The path below the workspace's own folder. Raises InvalidInput for a path that names another workspace's.

    `workspaces/NAME/a` is `a` for those who act in workspace NAME.
    """
    first, _, rest = path.partition("/")
    if first != WORKSPACES:
        return path
    named, _, inner = rest.partition("/")
    if named != workspace:
        raise InvalidInput(
            f"Artifact path {path[:200]!r} belongs to workspace {named[:100]!r}, and the request to {workspace!r}.",
            hint=f"Paths below {WORKSPACES}/ are kept for workspaces.",
        )
    return inner


def _check_text(path: str) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"Artifact path {path[:200]!a} is not valid Unicode.") from None
    if size > MAX_PATH_BYTES:
        raise LimitExceeded(f"An artifact path has at most {MAX_PATH_BYTES} bytes; this one has {size}.")
    for segment in path.split("/"):
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise LimitExceeded(
                f"A part of an artifact path has at most {MAX_SEGMENT_BYTES} bytes; {segment[:40]!r}… has more."
            )


def _check_shape(text: str, path: str) -> None:
    segments = text.split("/")
    if "" in segments or "." in segments:
        raise _refused(path, "it has an empty part")
    if _CONTROL.search(text):
        raise _refused(path, "it holds a control character")
    if "\ufffd" in text:
        raise _refused(path, "it is not valid UTF-8")
    _check_decoded(text, path)


def _check_decoded(text: str, path: str) -> None:
    if ".." in text.split("/"):
        raise _refused(path, "it leads to a parent folder")
    if text.startswith("/") or _DRIVE.match(text) or text.lower().startswith("file:"):
        raise _refused(path, "it is absolute")
    for letter, name in (("\\", "a backslash"), ("\x00", "a NUL"), ("#", "a #")):
        if letter in text:
            raise _refused(path, f"it holds {name}")


def _refused(path: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid path {path[:200]!a}: {why}.", hint="Use a relative path of plain names, such as plots/loss.png."
    )
