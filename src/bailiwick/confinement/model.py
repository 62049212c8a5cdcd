"""What a confined program is given, and what was found to hold for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a program may take; None is no limit. `memory_bytes` counts addresses, `cpu_seconds` those of its whole life."""

    memory_bytes: int | None = 4 << 30
    cpu_seconds: int | None = None
    file_bytes: int | None = 256 << 20
    open_files: int | None = 256


@dataclass(frozen=True, slots=True)
class Program:
    """A program and everything it gets: nothing else is inherited, and no other file can be read or written.

    `command` begins with the absolute path of what is run; "{channel}" in it becomes the number of the descriptor that
    the program talks through. `protected` are paths that are tried before the program starts: one that can be read
    keeps it from starting, unless `unconfined` accepts that.
    """

    command: Sequence[str]
    cwd: Path
    readable: Sequence[Path]
    writable: Sequence[Path]
    protected: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    unconfined: bool = False


@dataclass(frozen=True, slots=True)
class InForce:
    """The confinements that hold for a running program. `landlock` is the kernel's interface, 0 for none.

    `files`: what is protected was tried, and could not be read. `network`: nothing can be connected to. `system_calls`:
    no process can be started, signalled or traced, and no socket made. `user` is whom it runs as.
    """

    files: bool
    network: bool
    system_calls: bool
    namespaces: bool
    landlock: int
    user: int

    def lacking(self) -> list[str]:
        """What does not hold, in words; empty when all does."""
        told = {
            "files of the platform can be read": self.files,
            "the network can be used": self.network,
            "processes can be started": self.system_calls,
        }
        return [words for words, holds in told.items() if not holds]
