"""The version of the code of a run: the commit, and what was changed since, as git tells it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

COMMIT_TAG = "mlflow.source.git.commit"
BRANCH_TAG = "mlflow.source.git.branch"
REPOSITORY_TAG = "mlflow.source.git.repoURL"
DIRTY_TAG = "mlflow.source.git.dirty"
DIFF_TAG = "bailiwick.git.diff"
"""SHA-256 of the whole difference, so that two runs of edited code can be told apart without reading either."""

DIFF_FILE = "code/changes.diff"
UNTRACKED_FILE = "code/untracked.txt"

GIT_TIMEOUT_SECONDS = 10
MAX_DIFF_BYTES = 1 << 20
MAX_UNTRACKED = 1_000

_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "--src-prefix=a/", "--dst-prefix=b/")
_UNTRACKED = ("ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z", "--full-name")


@dataclass(frozen=True, slots=True)
class Code:
    """`commit` is "" outside a git work tree, or without git; `dirty` means tracked files differ from the commit.

    `diff` is what `git apply` takes, cut at 1 MiB; `diff_digest` is of all of it. `untracked` are names, a folder of
    nothing but untracked files as one.
    """

    commit: str = ""
    branch: str = ""
    repository: str = ""
    dirty: bool = False
    diff: bytes = b""
    diff_digest: str = ""
    untracked: tuple[str, ...] = ()

    def tags(self) -> dict[str, str]:
        """Tags for a run, under MLflow's names where it has one."""
        if not self.commit:
            return {}
        found = {
            COMMIT_TAG: self.commit,
            DIRTY_TAG: str(self.dirty).lower(),
            BRANCH_TAG: self.branch,
            REPOSITORY_TAG: self.repository,
            DIFF_TAG: self.diff_digest,
        }
        return {name: value for name, value in found.items() if value}

    def files(self) -> dict[str, bytes]:
        """Artifacts for a run, by path."""
        names = "".join(f"{name}\n" for name in self.untracked).encode("utf-8", "surrogateescape")
        found = {DIFF_FILE: self.diff, UNTRACKED_FILE: names}
        return {path: data for path, data in found.items() if data}


def describe_code(folder: Path, *, keep_changes: bool = True) -> Code:
    """The code in a folder. Without `keep_changes` no line of it and no name is taken along, only the digest."""
    commit = git(folder, "rev-parse", "HEAD")
    if not commit:
        return Code()
    diff, digest = _diff(folder)
    found = git(folder, *_UNTRACKED).split("\0") if keep_changes else []
    names = [name for name in found if name]
    if len(names) > MAX_UNTRACKED:
        names = [*names[:MAX_UNTRACKED], f"… and {len(names) - MAX_UNTRACKED} more"]
    return Code(
        commit=commit,
        branch=git(folder, "symbolic-ref", "--short", "-q", "HEAD"),
        repository=without_credentials(git(folder, "config", "--get", "remote.origin.url")),
        dirty=bool(digest),
        diff=diff if keep_changes else b"",
        diff_digest=digest,
        untracked=tuple(names),
    )


def git(folder: Path, *arguments: str) -> str:
    """What git prints, or "" when there is no git, no repository, no commit yet, or no answer in time."""
    try:
        done = subprocess.run(
            _command(folder, *arguments),
            capture_output=True,
            check=False,
            timeout=GIT_TIMEOUT_SECONDS,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "surrogateescape").strip() if done.returncode == 0 else ""


def without_credentials(url: str) -> str:
    """A URL without the user and password that may stand in it; anything else, such as `git@host:path`, as it is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if "://" not in url or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"[{host}]{port}" if ":" in host else f"{host}{port}"))


def _diff(folder: Path) -> tuple[bytes, str]:
    """The first of all differences, and the digest of all; nothing where there are none, or no answer in time."""
    kept, seen, size = bytearray(), hashlib.sha256(), 0
    try:
        process = subprocess.Popen(
            _command(folder, *_DIFF, "HEAD"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        )
    except OSError:
        return b"", ""
    watch = threading.Timer(GIT_TIMEOUT_SECONDS, process.kill)
    watch.start()
    with process:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 16):
            seen.update(chunk)
            size += len(chunk)
            kept += chunk[: MAX_DIFF_BYTES - len(kept)]
    watch.cancel()
    if process.returncode != 0 or not size:
        return b"", ""
    if size > len(kept):
        kept += f"\n# cut: the first {len(kept)} of {size} bytes, whose SHA-256 is {seen.hexdigest()}\n".encode()
    return bytes(kept), seen.hexdigest()


def _command(folder: Path, *arguments: str) -> list[str]:
    """No program that a repository's configuration names is run."""
    return ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-C", str(folder), *arguments]


def _environment() -> Mapping[str, str]:
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
