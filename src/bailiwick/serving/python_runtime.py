"""A package that stays Python: confined processes behind the same face as ONNX Runtime.

A process that crashes, hangs or grows past its bound is ended and another takes its place; the calls it had fail, the
worker and every other model go on.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bailiwick.confinement.process import CannotConfine
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Corrupted, InvalidInput, Unavailable
from bailiwick.core.settings import Settings
from bailiwick.pyfunc.archive import Manifest, is_archive, unpack
from bailiwick.pyfunc.housing import housing_of, interpreters_of
from bailiwick.pyfunc.interpreter import Interpreter, Interpreters
from bailiwick.pyfunc.mlmodel import heeds_params
from bailiwick.pyfunc.process import Housing, ModelGone, ModelProcess, ModelRaised, ModelRefused, Table
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.protocol import Refused
from bailiwick.serving.runtime import ModelFailed, OnnxRuntime, Runtime
from bailiwick.serving.tensors import TensorSpec, parse_signature

LOAD_SECONDS = 180.0
WARM_UP_ROWS = (1, 1, 8)
MAX_KNOWN_CHARACTERS = 64 << 10


@dataclass(frozen=True, slots=True)
class PythonModels:
    """How this machine runs Python models; `open` makes the runtime of any package, by what the file is."""

    housing: Housing
    interpreters: Interpreters
    processes: int = 1
    seconds: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> PythonModels:
        """Raises InvalidInput for a `models_python` that is none."""
        return cls(
            housing_of(settings), interpreters_of(settings), settings.models_processes, float(settings.models_seconds)
        )

    def open(self, package: Path, threads: int = 1) -> Runtime:
        """Raises InvalidInput; Unavailable where this machine lacks what the model needs for now."""
        return (
            PythonRuntime(package, self) if is_archive(package) else OnnxRuntime(package, threads, seconds=self.seconds)
        )


class PythonRuntime:
    """One package, run by `processes` processes, each of which answers one call at a time."""

    apart = True
    platform = "python"

    def __init__(self, package: Path, models: PythonModels) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bailiwick-serving-"))
        try:
            folder.chmod(0o711)
            model = folder / "model"
            model.mkdir(mode=0o755)
            manifest = unpack(package, model)
            self.signature = parse_signature(canonical_json(manifest.signature).decode())
            interpreter = models.interpreters.choose(manifest.flavours, manifest.environment)
        except Corrupted as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise InvalidInput(error.message) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.blocks = blocks_of(self.signature.inputs)
        self._seconds = models.seconds
        self.example = manifest.example  # a document that it answers, where it was logged with one
        self._known = manifest.example
        self.lanes = models.processes  # runs at a time
        self._pool = _Pool(folder, model, manifest, interpreter, models)
        # By the last reference, not by the set of models: a request may still be with a version that was replaced.
        self._finalizer = weakref.finalize(self, self._pool.close)

    @property
    def processes(self) -> list[int]:
        """Those that are there now."""
        return self._pool.pids()

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature, for one array for each of `blocks`. Raises ModelFailed, Unavailable."""
        return self.run_with(feed, {})

    def run_with(self, feed: Mapping[str, np.ndarray], params: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """The same with params of the signature (see `params.held`); those that are not given are what the model was logged
        with.
        """
        tables = [Table(tuple(spec.name for spec in block.specs), feed[block.name]) for block in self.blocks]
        try:
            found = self._pool.ask(tables, self._seconds, params)
        except ModelRefused as error:
            raise Refused(400, f"The document cannot be taken: {error.message.rstrip('.')}.") from error
        except (ModelRaised, ModelGone, CannotConfine) as error:
            failed = ModelFailed(f"The model failed: {error.message}")
            raise self._attributed(failed, error) from error
        rows = len(tables[0].values)
        if self.signature.documents:
            self._remember(str(tables[0].values[-1]))
        named = dict(found)
        return [_output(spec, named.get(spec.name), rows) for spec in self.signature.outputs]

    def _attributed(self, failed: ModelFailed, error: Exception) -> ModelFailed:
        """Nothing says what a model of documents takes: one that still answers what it has answered is not at fault."""
        if not self.signature.documents or not isinstance(error, ModelRaised) or not self._known:
            return failed
        try:
            self._pool.ask(self._asking(self._known), self._seconds, {})
        except (ModelRaised, ModelGone, CannotConfine, Unavailable):
            return failed
        return failed.blaming_the_request()

    def _remember(self, document: str) -> None:
        if not self._known and len(document) <= MAX_KNOWN_CHARACTERS:
            self._known = document

    def _asking(self, document: str) -> list[Table]:
        return [Table((block.name,), np.array([document], dtype=object)) for block in self.blocks]

    def warm_up(self) -> None:
        """Start every process and have each answer. A model that refuses zeros and empty texts is not at fault.

        One of documents is asked with its own example, where it has one, and must answer it.
        """
        self._pool.fill()
        if self.signature.documents:
            for _ in WARM_UP_ROWS if self._known else ():
                self.run({self.blocks[0].name: np.array([self._known], dtype=object)})
            return
        for rows in WARM_UP_ROWS:
            try:
                self.run({block.name: block.blank(rows) for block in self.blocks})
            except ModelFailed as error:
                if not isinstance(error.__cause__, ModelRaised):
                    raise

    def close(self) -> None:
        """End the processes. May be called again."""
        self._finalizer()


class _Pool:
    """Processes of one model. An empty place is filled when it is needed."""

    def __init__(
        self, folder: Path, model: Path, manifest: Manifest, interpreter: Interpreter, models: PythonModels
    ) -> None:
        self._folder = folder
        self._model = model
        self._manifest = manifest
        self._interpreter = interpreter
        self._housing = models.housing
        self._free: queue.LifoQueue[ModelProcess | None] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._running: set[ModelProcess] = set()
        self._size = models.processes
        for _ in range(models.processes):
            self._free.put(None)

    def ask(self, tables: Sequence[Table], seconds: float, params: Mapping[str, Any]) -> list[tuple[str, np.ndarray]]:
        """Raises ModelRaised, ModelGone; Unavailable when every process stays busy for `seconds`."""
        deadline = time.monotonic() + seconds
        try:
            process = self._free.get(timeout=seconds)
        except queue.Empty:
            raise Unavailable(f"Every process of the model was busy for {seconds:g} seconds.") from None
        keep: ModelProcess | None = None
        try:
            keep = self._usable(process)
            # Waiting for a process is not the model's doing, so it gets a moment in any case.
            left = max(deadline - time.monotonic(), seconds / 4)
            return keep.ask("predict", tables, seconds=left, params=params)[1]
        except ModelGone:
            if keep is not None:
                self._forget(keep)
            keep = None
            raise
        finally:
            self._free.put(self._within_bounds(keep))

    def fill(self) -> None:
        """Start what is not running. Raises what starting raises."""
        taken = [self._free.get() for _ in range(self._size)]
        try:
            for place, process in enumerate(taken):
                taken[place] = self._usable(process)
        except ModelRaised as error:
            raise InvalidInput(f"The model cannot be loaded here: {error.message}") from error
        finally:
            for process in taken:
                self._free.put(process)

    def pids(self) -> list[int]:
        """Numbers of the processes."""
        with self._lock:
            return sorted(process.pid for process in self._running)

    def close(self) -> None:
        """End all, those in use too, and remove the files."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, set()
        for process in running:
            process.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _usable(self, process: ModelProcess | None) -> ModelProcess:
        if process is not None and process.alive:
            return process
        if process is not None:
            self._forget(process)
        made = ModelProcess(self._interpreter.python, self._model, self._housing, libraries=self._interpreter.libraries)
        try:
            self._enter(made)
            made.ask(
                "load",
                seconds=LOAD_SECONDS,
                columns=self._manifest.inputs,
                tensors=self._manifest.tensors,
                flavours=self._manifest.flavours,
                params=bool(self._manifest.signature.get("params")) and heeds_params(self._manifest.flavours),
                documents=self._manifest.documents,
            )
        except BaseException:
            self._forget(made)
            raise
        return made

    def _enter(self, process: ModelProcess) -> None:
        """Nothing that was started may be missed when all is ended."""
        with self._lock:
            if self._closed:
                raise Unavailable("The model is being let go.")
            self._running.add(process)

    def _within_bounds(self, process: ModelProcess | None) -> ModelProcess | None:
        """The process, unless it has leaked half of what it may hold: ended between two calls, it fails none."""
        if process is not None and process.resident_bytes > self._housing.memory_bytes // 2:
            self._forget(process)
            return None
        return process

    def _forget(self, process: ModelProcess) -> None:
        with self._lock:
            self._running.discard(process)
        process.close()


def _output(spec: TensorSpec, values: np.ndarray | None, rows: int) -> np.ndarray:
    """An output as the signature promises it; a whole number where a float was is one. Raises ModelFailed."""
    if values is None or values.shape != (rows, *spec.tail):
        shape = "nothing" if values is None else f"shape {list(values.shape)}"
        raise ModelFailed(
            f"The model failed: it gave {shape} for output {spec.name}, {rows} rows of {list(spec.tail)}."
        )
    wanted = np.dtype(spec.dtype)
    if values.dtype == wanted:
        return values
    if "O" in {wanted.kind, values.dtype.kind} or not np.can_cast(values.dtype, wanted, "same_kind"):
        raise ModelFailed(f"The model failed: it gave {values.dtype} for output {spec.name}, which is {spec.datatype}.")
    return values.astype(wanted)
