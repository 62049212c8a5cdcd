"""The environment lock of a run: every installed distribution with its version, in the shape of `requirements.txt`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bailiwick.core.canonical import sha256_hex
from bailiwick.tracking.provenance import installed as program
from bailiwick.tracking.provenance.code import without_credentials

LOCK_TAG = "bailiwick.environment.lock"
"""SHA-256 of the lock file."""
LOCK_FILE = "environment/requirements.txt"
PYTHON_TAG = "bailiwick.environment.python"
ASK_SECONDS = 60

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:==(?P<version>\S+)| @ (?P<url>\S+))")
_EDITABLE = re.compile(r"# (?:editable|from a folder): (?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)")


@dataclass(frozen=True)
class Lock:
    """An interpreter and what is installed in it. `lines` are those of a requirements file, by name."""

    python: str
    implementation: str
    platform: str
    lines: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """The lock file."""
        head = f"# {self.implementation} {self.python}, {self.platform}\n"
        return head + "".join(f"{line}\n" for line in self.lines)

    @property
    def digest(self) -> str:
        """SHA-256 of the file: the same environment, the same digest."""
        return sha256_hex(self.text.encode())

    def tags(self) -> dict[str, str]:
        """Tags for a run."""
        return {LOCK_TAG: self.digest, PYTHON_TAG: self.python}

    def files(self) -> dict[str, bytes]:
        """Artifacts for a run, by path."""
        return {LOCK_FILE: self.text.encode()}


def lock_here() -> Lock:
    """Of the interpreter that runs this."""
    return _lock(program.installed())


def lock_of(interpreter: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Lock | None:
    """Of the interpreter that a command line starts, in a folder; None where it cannot say."""
    source = Path(program.__file__).read_text(encoding="utf-8")
    try:
        done = subprocess.run(
            [*interpreter, "-c", source],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=ASK_SECONDS,
        )
        return _lock(json.loads(done.stdout)) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return None


def packages_of(text: str) -> dict[str, str]:
    """Version by name, as a lock file has them, with the interpreter's as `python`; a URL stands for what came from one."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line) or _EDITABLE.match(line)
        if match:
            parts = match.groupdict()
            found[parts["name"]] = str(parts.get("version") or parts.get("url"))
        elif line.startswith("# ") and "," in line and "python" not in found:
            found["python"] = line.removeprefix("# ").partition(",")[0]
    return found


def _lock(said: Mapping[str, Any]) -> Lock:
    lines = tuple(_requirement(each) for each in said["distributions"])
    return Lock(str(said["python"]), str(said["implementation"]), str(said["platform"]), lines)


def _requirement(distribution: Mapping[str, Any]) -> str:
    """A line for pip: by version, or by the URL it came from, with the hash where it is known; a comment for one in edit."""
    name, version, origin = distribution["name"], distribution["version"], distribution["origin"]
    if not isinstance(origin, dict):
        return f"{name}=={version}"
    url = without_credentials(str(origin.get("url", "")))
    if origin.get("dir_info", {}).get("editable"):
        return f"# editable: {name}=={version} from {url}"
    vcs = origin.get("vcs_info")
    if vcs:
        return f"{name} @ {vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', '')}"
    if "dir_info" in origin:
        return f"# from a folder: {name}=={version} from {url}"
    hashes = origin.get("archive_info", {}).get("hashes", {})
    return f"{name} @ {url}" + "".join(f" --hash={kind}:{value}" for kind, value in sorted(hashes.items()))
