"""ONNX graphs that nobody has looked at yet, opened and run in a process that can be ended.

A graph is no code, but it can loop for ever, and fold constants of any size when it is opened; nothing in ONNX Runtime ends an
operator that has begun. So neither happens in a process of the platform before the graph has passed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.pyfunc.interpreter import described
from bailiwick.pyfunc.process import Housing, ModelGone, ModelProcess, ModelRaised, Table

OPEN_SECONDS = 180.0
RUN_SECONDS = 60.0
ALL_SECONDS = 900.0
"""Of all runs of all graphs of one model."""
CPU_SECONDS = 1_800
_ROWS = 128
"""Rows that `RUN_SECONDS` are for."""
_OUT_OF_MEMORY = ("bad_alloc", "allocate", "memoryerror", "size overflowed")


@dataclass(frozen=True, slots=True)
class Output:
    """As ONNX Runtime tells of it."""

    name: str
    type: str
    shape: tuple[Any, ...]


class Graphs:
    """Graphs of one model, in one process; where one ended it, the others are opened anew. To be closed."""

    def __init__(self, folder: Path, housing: Housing, seconds: float) -> None:
        """`folder` is a process's to read, `seconds` what a model may take to answer where it is served."""
        self._folder = folder
        self._housing = replace(
            housing, unconfined=True
        )  # a graph reads no files: what it may take is what matters here
        self._seconds = seconds
        self._left = ALL_SECONDS
        self._process: ModelProcess | None = None
        self._count = 0

    def open(self, data: bytes) -> Graph:
        """Raises InvalidInput for one that ONNX Runtime does not take; ModelGone."""
        self._count += 1
        name = f"{self._count}.onnx"
        path = self._folder / name
        path.write_bytes(data)
        path.chmod(0o644)
        return Graph(self, name)

    @property
    def process(self) -> ModelProcess:
        """That which is asked: another where the last one ended."""
        if self._process is None or not self._process.alive:
            self.close()
            interpreter = described(Path(sys.executable).absolute())
            self._process = ModelProcess(
                interpreter.python,
                self._folder,
                self._housing,
                libraries=interpreter.libraries,
                cpu_seconds=CPU_SECONDS,
            )
        return self._process

    def opened(self, name: str) -> list[Output]:
        """Have the process open a file. Raises ModelRaised, ModelGone."""
        seconds = max(OPEN_SECONDS, self._seconds)
        head, _ = self._asked(f"to be opened, and {seconds:g} seconds are allowed", "open", seconds=seconds, file=name)
        return [Output(str(each[0]), str(each[1]), tuple(each[2])) for each in head["outputs"]]

    def run(
        self, name: str, outputs: Sequence[str], rows: Mapping[str, NDArray[Any]], maps: Mapping[str, Sequence[Any]]
    ) -> list[np.ndarray]:
        """Raises ModelRaised, ModelGone."""
        count = max((len(values) for values in rows.values()), default=1)
        share = max(RUN_SECONDS, self._seconds) * -(-count // _ROWS)
        seconds = min(share, self._left)
        if seconds <= 0:
            self.close()
            raise ModelGone(f"The ONNX graph took more than {ALL_SECONDS:g} seconds for all rows that it was asked.")
        said = f"for {count:,} rows, and {seconds:.0f} seconds are allowed"
        tables = [Table((each,), values) for each, values in rows.items()]
        began = time.monotonic()
        try:
            _, found = self._asked(
                said, "run", tables, seconds=seconds, file=name, outputs=list(outputs), maps={**maps}
            )
        finally:
            self._left -= time.monotonic() - began
        return [values for _, values in found]

    def _asked(
        self, said: str, question: str, tables: Sequence[Table] = (), *, seconds: float, **more: Any
    ) -> tuple[dict[str, Any], list[tuple[str, np.ndarray]]]:
        process, deadline = self.process, time.monotonic() + seconds
        try:
            return process.ask(question, tables, seconds=seconds, **more)
        except ModelGone as error:
            if time.monotonic() < deadline:
                raise ModelGone(f"The ONNX graph ended the process that it was tried in: {error.message}") from error
            raise ModelGone(
                f"The ONNX graph took longer {said}, so its process was ended.",
                hint="Let it do less at once; or set `models_seconds` to more.",
            ) from error
        except ModelRaised as error:
            if not any(words in error.message.lower() for words in _OUT_OF_MEMORY):
                raise
            raise ModelRaised(
                f"The ONNX graph needs more memory than models may take, which is {self._housing.memory_bytes:,} bytes: "
                f"{error.message.splitlines()[0][:300]}",
                hint="Let it hold less at once; or set `models_memory_bytes` to more.",
            ) from error

    def close(self) -> None:
        """End the process. May be called again."""
        if self._process is not None:
            self._process.close()
            self._process = None


class Graph:
    """One graph, used as ONNX Runtime's session is."""

    def __init__(self, graphs: Graphs, name: str) -> None:
        """Open it. Raises InvalidInput, ModelGone."""
        self._graphs, self._name = graphs, name
        self._outputs = self._open()

    def get_outputs(self) -> Sequence[Output]:
        """In the graph's order."""
        return self._outputs

    def run(
        self, names: Sequence[str], rows: Mapping[str, NDArray[Any]], maps: Mapping[str, Sequence[Any]] | None = None
    ) -> list[np.ndarray]:
        """Outputs for rows; of those that are `maps` the values of the keys, in order. Raises ModelRaised, ModelGone."""
        if self._graphs.process is not self._opened_in:
            self._open()
        return self._graphs.run(self._name, names, rows, maps or {})

    def _open(self) -> list[Output]:
        self._opened_in = self._graphs.process
        try:
            return self._graphs.opened(self._name)
        except ModelRaised as error:
            raise InvalidInput(
                f"ONNX Runtime does not take the model: {error.message.splitlines()[0][:600]}",
                hint=error.hint or "It needs operators that ONNX Runtime has, of an operator set that it knows.",
            ) from error


@contextmanager
def tried(housing: Housing, seconds: float) -> Iterator[Graphs]:
    """Graphs whose files are in a scratch folder, until the block is left. `seconds` is the setting `models_seconds`."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-graphs-") as name:
        own = Path(name)
        own.chmod(0o755)
        graphs = Graphs(own, housing, seconds)
        try:
            yield graphs
        finally:
            graphs.close()
