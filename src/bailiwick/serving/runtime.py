"""What runs a package; and the one that most are run by: ONNX Runtime, one thread, no spinning, warmed up before traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from bailiwick.core.errors import InvalidInput
from bailiwick.serving.failures import ModelFailed as ModelFailed  # noqa: PLC0414 - most who catch it know a runtime
from bailiwick.serving.packing import Block, blocks_of, pack_inputs
from bailiwick.serving.tensors import Signature, parse_signature
from bailiwick.training.metadata import kept_elsewhere

WARM_UP_ROWS = (1, 1, 64)

_LOG_FATAL = 4


class Runtime(Protocol):
    """A loaded package.

    * `blocks` say how it is fed: one array for each, all of the same number of rows, at least one.
    * `run` gives the outputs of the signature, in its order, with their datatypes and shapes; or raises ModelFailed,
      which is the version's fault, Unavailable, which is nobody's and may pass, or Refused, for values that the
      signature allows and the model can never take. Any thread may call it, several at once.
    * `apart` says that `run` may take long, or wait: it is then called where nothing else waits for it.
    * `platform` is what the protocol's metadata calls it.
    * One that is `apart` may have a number `lanes`: how many runs it makes at a time. Requests beyond it are gathered.
    * `warm_up` makes it as fast as it will be, and checks it. Raises InvalidInput, ModelFailed.
    * `close` gives back what it holds. It happens by itself when the last one to use it lets it go.
    """

    signature: Signature
    blocks: tuple[Block, ...]
    platform: str

    @property
    def apart(self) -> bool:
        """Whether it may take long now."""
        ...

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature, for one array for each of `blocks`."""
        ...

    def warm_up(self) -> None:
        """Run a few rows that mean nothing."""
        ...

    def close(self) -> None:
        """May be called again."""
        ...


class OnnxRuntime:
    """One loaded package. `run` may be called from any thread; scaling out is by processes, so a session uses one core."""

    apart = False
    platform = "onnx_onnxv1"

    def __init__(self, package: Path) -> None:
        model = _read(package)
        metadata = {item.key: item.value for item in model.metadata_props}
        self.signature = _signature(model, metadata, package.name)
        self.features = metadata.get("bailiwick.features", "")
        self.blocks = blocks_of(self.signature.inputs)
        pack_inputs(model, self.blocks)
        self.session = _open(model.SerializeToString(), package.name)
        self._output_names = [spec.name for spec in self.signature.outputs]
        # The public `run` re-checks names and copies lists on every call: a third of a one-row prediction.
        self._run = getattr(self.session, "_sess", self.session).run

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature, for one array for each of `blocks`. Raises ModelFailed."""
        try:
            return self._run(self._output_names, feed, None)  # type: ignore[no-any-return]
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise ModelFailed(f"The model failed: {error}.") from error

    def warm_up(self) -> None:
        """Run rows of zeros and empty texts, and check what comes back. Raises InvalidInput, ModelFailed."""
        for rows in WARM_UP_ROWS:
            outputs = self.run({block.name: block.blank(rows) for block in self.blocks})
            for spec, output in zip(self.signature.outputs, outputs, strict=True):
                if tuple(output.shape) != (rows, *spec.tail):
                    raise InvalidInput(f"Output {spec.name} has shape {list(output.shape)} for {rows} rows.")

    def close(self) -> None:
        """Nothing is held but memory, which goes with the last reference."""


def _read(package: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(package.read_bytes())
    except (DecodeError, ValueError) as error:
        raise InvalidInput(f"{package.name} is not an ONNX model: {error}.") from error
    elsewhere = kept_elsewhere(model)
    if elsewhere:
        raise InvalidInput(f"{package.name} keeps {elsewhere[0][:100]!r} in another file, which no package may.")
    return model


def _signature(model: onnx.ModelProto, metadata: Mapping[str, str], name: str) -> Signature:
    if "bailiwick.signature" not in metadata:
        raise InvalidInput(f"{name} has no bailiwick.signature in its metadata.", hint="Packages are made by training.")
    signature = parse_signature(metadata["bailiwick.signature"])
    constants = {tensor.name for tensor in model.graph.initializer}
    held = {declared.name for declared in model.graph.input} - constants, {made.name for made in model.graph.output}
    if {spec.name for spec in signature.inputs} != held[0] or not {spec.name for spec in signature.outputs} <= held[1]:
        raise InvalidInput(f"{name}: bailiwick.signature and the graph name different tensors.")
    return signature


def _open(model: bytes, name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise InvalidInput(f"{name} is not a model that ONNX Runtime can load: {error}.") from error
