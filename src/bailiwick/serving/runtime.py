"""A package in ONNX Runtime: one thread, no spinning, warmed up before it is given traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.serving.tensors import Signature, TensorSpec, parse_signature

WARM_UP_ROWS = (1, 1, 64)

_LOG_FATAL = 4


class ModelFailed(BailiwickError):  # noqa: N818 - named as its siblings in core.errors are
    """The model raised an error on values that its signature allows: the fault is the version's, not the client's."""

    code = "model_failed"


class OnnxRuntime:
    """One loaded package. `run` may be called from any thread; scaling out is by processes, so a session uses one core."""

    def __init__(self, package: Path) -> None:
        self.session = _open(package)
        metadata = self.session.get_modelmeta().custom_metadata_map
        if "bailiwick.signature" not in metadata:
            raise InvalidInput(
                f"{package.name} has no bailiwick.signature in its metadata.", hint="Packages are made by training."
            )
        self.signature: Signature = parse_signature(metadata["bailiwick.signature"])
        self.features = metadata.get("bailiwick.features", "")
        self._check_names(package)
        self._output_names = [spec.name for spec in self.signature.outputs]
        # The public `run` re-checks names and copies lists on every call: a third of a one-row prediction.
        self._run = getattr(self.session, "_sess", self.session).run

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature. Raises ModelFailed."""
        try:
            return self._run(self._output_names, feed, None)  # type: ignore[no-any-return]
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise ModelFailed(f"The model failed: {error}.") from error

    def warm_up(self) -> None:
        """Run rows of zeros and empty texts, and check what comes back. Raises InvalidInput, ModelFailed."""
        for rows in WARM_UP_ROWS:
            outputs = self.run({spec.name: _blank(spec, rows) for spec in self.signature.inputs})
            for spec, output in zip(self.signature.outputs, outputs, strict=True):
                if tuple(output.shape) != (rows, *spec.tail):
                    raise InvalidInput(f"Output {spec.name} has shape {list(output.shape)} for {rows} rows.")

    def _check_names(self, package: Path) -> None:
        declared = {spec.name for spec in self.signature.inputs}, {spec.name for spec in self.signature.outputs}
        held = {node.name for node in self.session.get_inputs()}, {node.name for node in self.session.get_outputs()}
        if declared[0] != held[0] or not declared[1] <= held[1]:
            raise InvalidInput(f"{package.name}: bailiwick.signature and the graph name different tensors.")


def _open(package: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(package), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise InvalidInput(f"{package.name} is not a model that ONNX Runtime can load: {error}.") from error


def _blank(spec: TensorSpec, rows: int) -> np.ndarray:
    shape = (rows, *spec.tail)
    return np.full(shape, "", dtype=object) if spec.datatype == "BYTES" else np.zeros(shape, dtype=spec.dtype)
