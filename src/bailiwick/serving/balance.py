"""Connections of one port spread evenly over the workers of a machine.

The kernel deals new connections out by a hash, and a client that keeps its connection stays where it fell: of 64 clients
of two workers, one may have 40. So each worker knows how many the others have (in a file that all map), and one that has
more than another passes connections on, as open files over a Unix socket. The client notices nothing.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

MOST_WORKERS = 64
MOST_MOVED = 64
"""Connections that are passed on in one go."""

_SLOT = struct.Struct("<II")  # process, connections
_BYTES = MOST_WORKERS * _SLOT.size

Adopt = Callable[[socket.socket], None]
"""Goes on with a connection that another worker has passed on."""


class Balance:
    """One worker's place among those that share `port` and `folder`. Belongs to the thread of the event loop."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port = port
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._file = os.open(folder / f"connections-{port}", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, _BYTES)
        self._counts = mmap.mmap(self._file, _BYTES)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._process = os.getpid()
        self._slot: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._adopt: Adopt | None = None

    def join(self, adopt: Adopt) -> None:
        """Take part from now on, in the running event loop. Without room for another worker it goes on alone."""
        self._loop, self._adopt = asyncio.get_running_loop(), adopt
        name = self._name(self._process)
        _unlink(name)
        self._socket.bind(name)
        self._loop.add_reader(self._socket.fileno(), self._receive)
        with self._locked():
            for slot in range(MOST_WORKERS):
                process, _ = self._read(slot)
                if not process or process == self._process or not process_is_alive(process):
                    self._write(slot, self._process, 0)
                    self._slot = slot
                    return

    def leave(self) -> None:
        """Get no more connections from others, and let them have those that still come here."""
        slot, self._slot = self._slot, None
        if slot is not None:
            with self._locked():
                self._write(slot, 0, 0)

    def close(self) -> None:
        """Take what has been passed on up to now, and end."""
        self.leave()
        if self._loop is not None:
            self._receive()
            self._loop.remove_reader(self._socket.fileno())
            _unlink(self._name(self._process))
        self._socket.close()
        self._counts.close()
        os.close(self._file)
        os.close(self._folder)

    def settle(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a connection that has just come stays here; if not, another worker has it and the transport is closed."""
        with self._locked():
            others = self._others()
            target = min(others, key=lambda other: other[2], default=None)
            mine = None if self._slot is None else self._read(self._slot)[1]
            passes = target is not None and (mine is None or mine > target[2])
            if not passes and self._slot is not None and mine is not None:
                self._write(self._slot, self._process, mine + 1)
        return not (passes and target is not None and self._pass(transport, target, counted=False))

    def left(self) -> None:
        """A connection that was settled here has ended."""
        if self._slot is not None:
            with self._locked():
                _, mine = self._read(self._slot)
                self._write(self._slot, self._process, max(0, mine - 1))

    def excess(self) -> int:
        """Connections that others should have: 0 while nobody has two less."""
        if self._slot is None:
            return 0
        with self._locked():
            counts = [count for _, _, count in self._others()]
            _, mine = self._read(self._slot)
        if not counts or mine - min(counts) < 2:
            return 0
        return min(mine - (mine + sum(counts)) // (len(counts) + 1), MOST_MOVED)

    def hand_over(self, transport: asyncio.BaseTransport) -> bool:
        """Let the worker with the fewest have a connection that is between two requests; False when it has to stay."""
        with self._locked():
            target = min(self._others(), key=lambda other: other[2], default=None)
        return target is not None and self._pass(transport, target, counted=True)

    # -- how -----------------------------------------------------------------------------------------------------------

    def _pass(self, transport: asyncio.BaseTransport, target: tuple[int, int, int], *, counted: bool) -> bool:
        """Send the open file, then close ours. A process that is gone loses its place, and the connection stays."""
        slot, process, _ = target
        sent = cast("asyncio.Transport", transport).get_extra_info("socket").fileno()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sent]))]
        try:
            self._socket.sendmsg([b"c"], rights, 0, self._name(process))
        except (ConnectionRefusedError, FileNotFoundError):
            with self._locked():
                if self._read(slot)[0] == process:
                    self._write(slot, 0, 0)
            moved = False
        except OSError:  # it has more to take than it gets done: this one stays
            moved = False
        else:
            moved = True
        with self._locked():
            held, count = self._read(slot)
            if moved and held == process:
                self._write(slot, process, count + 1)
            if self._slot is not None and moved == counted:
                _, mine = self._read(self._slot)
                self._write(self._slot, self._process, max(0, mine + (-1 if moved else 1)))
        if moved:
            cast("asyncio.Transport", transport).abort()
        return moved

    def _receive(self) -> None:
        assert self._adopt is not None
        while True:
            try:
                _, ancillary, _, _ = self._socket.recvmsg(1, socket.CMSG_LEN(4))
            except BlockingIOError:
                return
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(data) == 4:
                    self._adopt(socket.socket(fileno=struct.unpack("i", data)[0]))

    def _others(self) -> list[tuple[int, int, int]]:
        """(slot, process, connections) of every other worker."""
        held = enumerate(_SLOT.iter_unpack(self._counts[:]))
        return [(slot, process, count) for slot, (process, count) in held if process and process != self._process]

    def _read(self, slot: int) -> tuple[int, int]:
        return _SLOT.unpack_from(self._counts, slot * _SLOT.size)

    def _write(self, slot: int, process: int, count: int) -> None:
        _SLOT.pack_into(self._counts, slot * _SLOT.size, process, count)

    def _name(self, process: int) -> str:
        """By way of the open folder, because a socket's path may have no more than 107 characters."""
        return f"/proc/self/fd/{self._folder}/worker-{self._port}-{process}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The kernel lets go of the lock of whoever dies with it."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def process_is_alive(process: int) -> bool:
    """Whether there is one of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unlink(name: str) -> None:
    try:
        os.unlink(name)  # noqa: PTH108 - a path of /proc, which is no place of a file
    except FileNotFoundError:
        return
