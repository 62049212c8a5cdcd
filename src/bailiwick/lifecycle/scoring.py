"""Running a package over Arrow rows: what evaluation and batch jobs use; serving has its own, for single requests."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.composing.archive import read_manifest as read_composition
from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.features.columns import doubles, tensor
from bailiwick.features.model import OUTPUT
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.archive import read_manifest
from bailiwick.rules.package import read_package
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import Runtime
from bailiwick.serving.runtimes.opening import COMPOSITION, ONNX, PYTHON, RULES, kind_of, opener
from bailiwick.serving.tensors import TensorSpec
from bailiwick.training.metadata import read_metadata

_ROWS_AT_ONCE = 65_536
_ROWS_FOR_PYTHON = 2_048  # within what the setting `models_seconds` allows a call, for slow pipelines too


def load(package: bytes) -> onnx.ModelProto:
    """The package's graph. Raises Corrupted for bytes that are none."""
    try:
        return onnx.load_from_string(package)
    except Exception as error:  # protobuf's error class is private and differs between its implementations
        raise Corrupted(f"These bytes are no ONNX package: {error}.") from error


def signature_of(platform: Platform, package: str) -> dict[str, Any]:
    """What a package of any kind says that it takes and gives. Raises Corrupted."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-package-") as folder:
        file = written(platform, package, Path(folder))
        kind = kind_of(file)
        if kind == PYTHON:
            return read_manifest(file).signature
        if kind == COMPOSITION:
            return read_composition(file).signature
        data = file.read_bytes()
        return read_package(data).signature if kind == RULES else read_metadata(load(data)).signature


def written(platform: Platform, package: str, folder: Path) -> Path:
    """The package as a file."""
    path = folder / "package"
    with path.open("wb") as file:
        for data in platform.blobs.stream(package):
            file.write(data)
    return path


def score(package: bytes, rows: pa.Table, *, threads: int = 0) -> NDArray[np.float64]:
    """Probability of each row, [rows]. `threads` 0 means one for each core. Raises InvalidInput for a missing column."""
    return _Graph(package, threads=threads).score(rows)


class _Graph:
    """An ONNX package, ready."""

    def __init__(self, package: bytes, *, threads: int = 0) -> None:
        metadata = read_metadata(load(package))
        self.inputs = metadata.inputs
        self.outputs = [str(each["name"]) for each in metadata.signature["outputs"]]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])

    def score(self, rows: pa.Table) -> NDArray[np.float64]:
        _require(self.inputs, rows)
        parts = []
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
            part = rows.slice(start, _ROWS_AT_ONCE)
            feed = {name: tensor(part.column(name), datatype) for name, datatype in self.inputs.items()}
            parts.append(np.asarray(self._session.run([OUTPUT], feed)[0], np.float64))
        return np.concatenate(parts) if parts else np.empty(0)

    def close(self) -> None:
        """Nothing is held but memory."""


class Program:
    """A package that is not ONNX, run as serving runs it. To be closed."""

    def __init__(self, platform: Platform, package: str) -> None:
        """`package` is its digest. Raises InvalidInput, Unavailable."""
        with tempfile.TemporaryDirectory(prefix="bailiwick-run-") as folder:
            self._runtime: Runtime = opener(PythonModels.of(platform.settings))(
                written(platform, package, Path(folder))
            )
        self.inputs = {spec.name: spec.datatype for spec in self._runtime.signature.inputs}
        self.outputs = [spec.name for spec in self._runtime.signature.outputs]

    def run(self, rows: pa.Table, output: str) -> NDArray[np.float32]:
        """One output for all rows. Raises InvalidInput for a missing column, ModelFailed."""
        _require(self.inputs, rows)
        place = self.outputs.index(output)
        parts = []
        for start in range(0, rows.num_rows, _ROWS_FOR_PYTHON):
            part = rows.slice(start, _ROWS_FOR_PYTHON)
            feed = {
                block.name: np.concatenate([_fed(part.column(s.name), s) for s in block.specs], axis=1)
                for block in self._runtime.blocks
            }
            parts.append(np.asarray(self._runtime.run(feed)[place], np.float32))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def score(self, rows: pa.Table) -> NDArray[np.float64]:
        """Probability of each row."""
        if OUTPUT not in self.outputs:
            raise InvalidInput(
                f"The package answers with {', '.join(self.outputs)}; to be judged, it needs {OUTPUT!r}."
            )
        return self.run(rows, OUTPUT).astype(np.float64).reshape(-1)

    def close(self) -> None:
        """End its process."""
        self._runtime.close()


class Scorer:
    """A package of any kind, ready to answer batches of rows with the probability of each. To be closed."""

    def __init__(self, platform: Platform, package: str) -> None:
        """`package` is its digest. Raises InvalidInput, Unavailable."""
        with tempfile.TemporaryDirectory(prefix="bailiwick-score-") as folder:
            file = written(platform, package, Path(folder))
            other = kind_of(file) != ONNX
        self._package: _Graph | Program = Program(platform, package) if other else _Graph(platform.blobs.get(package))
        self.is_graph = not other
        self.inputs = self._package.inputs
        self.answers = OUTPUT in self._package.outputs

    def score(self, rows: pa.Table) -> NDArray[np.float64]:
        """Probability of each row, [rows]. Raises InvalidInput for a missing column, ModelFailed."""
        return self._package.score(rows)

    def close(self) -> None:
        """Give back what it holds."""
        self._package.close()


def _fed(column: pa.ChunkedArray, spec: TensorSpec) -> NDArray[Any]:
    """A column as a runtime takes it. Raises InvalidInput for a null where the input is a whole number or a truth."""
    if spec.datatype in {"BYTES", "FP32"}:
        return tensor(column, spec.datatype)
    wide = doubles(column).reshape(-1, 1)
    if not spec.datatype.startswith("FP") and np.isnan(wide).any():
        raise InvalidInput(f"Input {spec.name!r} is {spec.datatype}, and a row has no value there.")
    return wide.astype(spec.dtype)


def _require(inputs: Sequence[str] | dict[str, str], rows: pa.Table) -> None:
    for name in inputs:
        if name not in rows.column_names:
            raise InvalidInput.choice("Input column", name, rows.column_names)
