"""Any number of models in a worker that holds so many bytes of them: loaded when they are asked, evicted by use.

A model that is cold is loaded by a thread of its own, so that nothing else waits for it: its first requests wait apart from
the event loop, for a bounded time. What is running, or about to run on the event loop, is never evicted. A model is loaded and
warmed up once before it gets any traffic at all; a note beside its package tells later processes that it was.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from msgspec import Struct

from bailiwick import __version__
from bailiwick.core.errors import BailiwickError, Unavailable
from bailiwick.endpoints.model import package_of
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.params import TakesParams
from bailiwick.serving.rowwise import Found, tried
from bailiwick.serving.runtime import ModelFailed, Opener, Runtime
from bailiwick.serving.tensors import Signature

LEASE_SECONDS = 0.25
"""How long a model that was said to be loaded stays, so that it is there when it is run a moment later."""
LOADERS = 2
COLD_LANES = 256
"""Requests that wait for one model to be loaded, of those that say no number of their own: each for its own time."""
SESSION_BYTES = 256 << 10
"""What a model takes beside its weights; measured: 120 KiB for a session of ONNX Runtime."""
TIMES_ITS_FILE = 6
"""Measured of a model of 300 trees that answered 64 rows: it held 6 times the bytes of its file."""

_MADE_BY = f"bailiwick {__version__}, onnxruntime {onnxruntime.__version__}"
_PAGE = 4096
_log = logging.getLogger(__name__)


class Note(Struct, frozen=True):
    """What is known of a package that was loaded and warmed up by these programs."""

    made_by: str
    signature: Signature
    platform: str
    apart: bool
    bytes: int
    found: Found
    lanes: int = 0


@dataclass(slots=True)
class _Held:
    """A loaded model; `running` counts calls, `leased` is until when it may be about to run. Doomed is what is to go."""

    runtime: Runtime
    bytes: int
    running: int = 0
    leased: float = 0.0
    doomed: bool = False


class Residency:
    """The models of one process, by what they are loaded as (`Variant.loading`: the digest, where one thread runs them).

    Any thread may use it.
    """

    def __init__(
        self,
        limit_bytes: int,
        fetch: Callable[[str], Path],
        opened: Opener,
        *,
        load_seconds: float = 10.0,
    ) -> None:
        self.limit_bytes = limit_bytes
        self.load_seconds = load_seconds
        self.loads = self.evictions = self.refusals = 0
        self._fetch = fetch
        self._opened = opened
        self._held: OrderedDict[str, _Held] = OrderedDict()  # the least recently used first
        self._loading: dict[str, Future[None]] = {}
        self._reserved = 0
        self._lock = threading.Lock()
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="model-loader")

    @property
    def bytes(self) -> int:
        """Bytes of models that are held, as far as they are known."""
        return sum(held.bytes for held in list(self._held.values()))

    @property
    def resident(self) -> list[str]:
        """Digests of the models that are loaded, the least recently used first."""
        return list(self._held)

    def model(self, digest: str) -> ResidentRuntime:
        """A model, which was loaded and warmed up at least once. Raises what loading raises."""
        note = self._note(digest)
        if note is None:
            self._begin(digest).result()
            note = self._note(digest)
        if note is None:
            raise Unavailable(f"The package {digest[:12]} could not be kept on disk.", hint="Is the disk full?")
        return ResidentRuntime(self, digest, note)

    def lease(self, digest: str) -> bool:
        """Whether it is loaded now; then it stays for a moment."""
        with self._lock:
            held = self._held.get(digest)
            if held is None or held.doomed:
                return False
            held.leased = time.monotonic() + LEASE_SECONDS
            return True

    def enter(self, digest: str) -> Runtime:
        """The loaded model, not to be evicted until `leave`. Raises ModelFailed, Unavailable when it takes too long."""
        deadline = time.monotonic() + self.load_seconds
        while True:
            with self._lock:
                held = self._held.get(digest)
                if held is not None:
                    held.running += 1
                    self._held.move_to_end(digest)
                    return held.runtime
            self._await(digest, deadline)

    def leave(self, digest: str, runtime: Runtime) -> None:
        """A call has ended."""
        gone: Runtime | None = None
        with self._lock:
            held = self._held.get(digest)
            if held is not None and held.runtime is runtime:
                held.running -= 1
                held.leased = 0.0
                if held.doomed and not held.running:
                    gone = self._held.pop(digest).runtime
        if gone is not None:
            gone.close()

    def keep(self, digests: Iterable[str]) -> None:
        """Drop every other model, what is running when it is done."""
        wanted = frozenset(digests)
        gone = []
        with self._lock:
            for digest, held in list(self._held.items()):
                held.doomed = digest not in wanted
                if held.doomed and not held.running:
                    gone.append(self._held.pop(digest))
        for held in gone:
            held.runtime.close()

    def close(self) -> None:
        """Drop all: no request comes any more."""
        self._loaders.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            gone, self._held = list(self._held.values()), OrderedDict()
        for held in gone:
            held.runtime.close()

    # -- loading -------------------------------------------------------------------------------------------------------

    def _await(self, digest: str, deadline: float) -> None:
        loading = self._begin(digest)
        if _on_event_loop():
            raise Unavailable("The model is being loaded; ask again.")
        try:
            loading.result(max(0.0, deadline - time.monotonic()))
        except TooLate as error:
            self.refusals += 1
            raise Unavailable(
                f"The model could not be loaded within {self.load_seconds:g} seconds; ask again."
            ) from error
        except Unavailable:
            self.refusals += 1
            raise
        except (BailiwickError, OSError) as error:
            raise ModelFailed(f"The model could not be loaded again: {error}") from error

    def _begin(self, digest: str) -> Future[None]:
        with self._lock:
            known = self._loading.get(digest)
            if known is None:
                known = self._loading[digest] = self._loaders.submit(self._load, digest)
            return known

    def _load(self, digest: str) -> None:
        try:
            with self._lock:
                if digest in self._held:
                    return
            path = self._fetch(package_of(digest)[0])
            note = self._note(digest)
            expected = note.bytes if note else _bytes_of(path, [])
            self._make_room(expected)
            try:
                self._enter_held(digest, path)
            finally:
                with self._lock:
                    self._reserved -= expected
        finally:
            with self._lock:
                self._loading.pop(digest, None)

    def _enter_held(self, digest: str, path: Path) -> None:
        runtime = self._opened(path, package_of(digest)[1])
        try:
            runtime.warm_up()
        except BaseException:
            runtime.close()
            raise
        size = _bytes_of(path, getattr(runtime, "processes", []))
        lanes = int(getattr(runtime, "lanes", 0))
        note = Note(_MADE_BY, runtime.signature, runtime.platform, runtime.apart, size, tried(runtime), lanes)
        with suppress(OSError):  # it is only not known the next time
            path.with_suffix(".json").write_bytes(msgspec.json.encode(note))
        with self._lock:
            self._held[digest] = _Held(runtime, size, leased=time.monotonic() + LEASE_SECONDS)
            self.loads += 1

    def _make_room(self, needed: int) -> None:
        """Evict what was used least recently, and reserve the room. Raises Unavailable while too much is in use.

        A model that is larger than the bound is held alone.
        """
        deadline = time.monotonic() + self.load_seconds
        while True:
            with self._lock:
                gone = self._evictable(needed)
                if gone is not None:
                    self._reserved += needed
                    self.evictions += len(gone)
                    break
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The models that are in use hold {self.bytes:,} of {self.limit_bytes:,} bytes; there is no room.",
                    hint="Ask again, or let `serve_model_bytes` be more.",
                )
            time.sleep(0.01)
        for runtime in gone:
            runtime.close()

    def _evictable(self, needed: int) -> list[Runtime] | None:
        """Taken out so that there is room; None, and nothing taken out, where there cannot be."""
        now, room = time.monotonic(), self.limit_bytes - self._reserved - sum(h.bytes for h in self._held.values())
        chosen: list[str] = []
        for digest, held in self._held.items():
            if room >= needed:
                break
            if not held.running and held.leased < now:
                chosen.append(digest)
                room += held.bytes
        alone = len(chosen) == len(self._held) and not self._reserved
        if room < needed and not alone:
            return None
        return [self._held.pop(digest).runtime for digest in chosen]

    def _note(self, digest: str) -> Note | None:
        path = self._fetch(package_of(digest)[0]).with_suffix(".json")
        try:
            note = msgspec.json.decode(path.read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError):
            return None
        return note if note.made_by == _MADE_BY else None


class ResidentRuntime:
    """A model that may be loaded or not: known by its note, loaded when it is run."""

    def __init__(self, residency: Residency, digest: str, note: Note) -> None:
        self.signature = note.signature
        self.platform = note.platform
        self.blocks = blocks_of(note.signature.inputs)
        self.lanes = note.lanes or COLD_LANES
        self.found = note.found
        self._always_apart = note.apart
        self._residency = residency
        self._digest = digest

    @property
    def apart(self) -> bool:
        """Whether running it now would take long: it is cold, or slow in itself. One that is not stays for a moment."""
        return self._always_apart or not self._residency.lease(self._digest)

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """As the model itself; loaded first where it is cold. Raises Unavailable when that takes too long."""
        return self.run_with(feed, {})

    def run_with(self, feed: Mapping[str, np.ndarray], params: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """The same with params, where the model can be given any."""
        runtime = self._residency.enter(self._digest)
        try:
            return runtime.run_with(feed, params) if params and isinstance(runtime, TakesParams) else runtime.run(feed)
        finally:
            self._residency.leave(self._digest, runtime)

    def warm_up(self) -> None:
        """It was, when it was loaded; nothing is loaded for this."""

    def close(self) -> None:
        """The residency holds what there is to close."""


def _bytes_of(package: Path, processes: Iterable[int]) -> int:
    """What a model takes: by its file, and of one with processes by what they hold."""
    size = SESSION_BYTES + TIMES_ITS_FILE * package.stat().st_size
    for pid in processes:
        with suppress(OSError, ValueError, IndexError):  # it may have ended by now
            size += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    return size


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
