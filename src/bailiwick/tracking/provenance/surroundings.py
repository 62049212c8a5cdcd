"""Code, packages and machine of one run, as the tags and artifacts that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bailiwick.tracking.model import MAX_TAG_LENGTH
from bailiwick.tracking.provenance.code import Code, describe_code
from bailiwick.tracking.provenance.host import Host, describe_host
from bailiwick.tracking.provenance.lock import Lock, lock_here


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`lock` is None for what does not run in Python."""

    code: Code
    lock: Lock | None
    host: Host

    def tags(self) -> dict[str, str]:
        """Tags for the run, each short enough to be one."""
        found = self.code.tags() | (self.lock.tags() if self.lock else {}) | self.host.tags()
        return {name: _storable(value)[:MAX_TAG_LENGTH] for name, value in found.items()}

    def files(self) -> dict[str, bytes]:
        """Artifacts for the run, by path."""
        return self.code.files() | (self.lock.files() if self.lock else {}) | self.host.files()


def surroundings_here(folder: Path, *, keep_changes: bool) -> Surroundings:
    """Of a run whose code lies in `folder` and that runs in this process."""
    return Surroundings(describe_code(folder, keep_changes=keep_changes), lock_here(), describe_host())


def _storable(text: str) -> str:
    """A branch may be named by bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
