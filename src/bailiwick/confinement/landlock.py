"""Landlock: a process gives up every file but those it names, for good, and for all it starts (Linux 5.13 and later).

Numbers and structures are those of `include/uapi/linux/landlock.h`.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from contextlib import suppress

from bailiwick.confinement.kernel import syscall

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_QUERY = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_OF_FIRST = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_NETWORK = 0b11  # to bind and to connect TCP
_SCOPES = 0b11  # abstract UNIX sockets, signals

_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
READ = _EXECUTE | _READ_FILE | _READ_DIR
DEVICE = _READ_FILE | _WRITE_FILE


def version() -> int:
    """The kernel's Landlock interface; 0 where there is none, or where it is switched off."""
    try:
        return syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_QUERY))
    except OSError:
        return 0


class Ruleset:
    """What may be reached; everything else is denied once it is in force."""

    def __init__(self, interface: int) -> None:
        rights = _OF_FIRST
        for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL)):
            rights |= right if interface >= since else 0
        network = _NETWORK if interface >= 4 else 0
        scopes = _SCOPES if interface >= 6 else 0
        given = struct.pack("QQQ", rights, network, scopes)[: 24 if interface >= 6 else 16 if interface >= 4 else 8]
        self._rights = rights
        self._ruleset = syscall(_CREATE, ctypes.c_char_p(given), ctypes.c_size_t(len(given)), ctypes.c_uint32(0))

    def allow(self, paths: Iterable[str], *, rights: int | None = None) -> None:
        """Everything below these paths, all rights unless some are given; what is not there is left out."""
        for path in paths:
            with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
                self._allow(path, self._rights if rights is None else rights & self._rights)

    def _allow(self, path: str, rights: int) -> None:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not os.path.isdir(path):  # noqa: PTH112 - pathlib is slow to import, and each model's start waits for it
                rights &= _ON_FILES
            rule = ctypes.c_char_p(struct.pack("=Qi", rights, opened))
            syscall(_ADD_RULE, ctypes.c_int(self._ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
        finally:
            os.close(opened)

    def restrict(self) -> None:
        """Put it in force; `no_new_privs` must be set. Raises OSError."""
        syscall(_RESTRICT, ctypes.c_int(self._ruleset), ctypes.c_uint32(0))
        os.close(self._ruleset)
