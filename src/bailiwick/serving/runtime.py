"""What runs a package; and the one that most are run by: ONNX Runtime, one thread, no spinning, warmed up before traffic."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import get_ident
from time import monotonic
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from bailiwick.core.errors import InvalidInput
from bailiwick.serving.binding import bound_row
from bailiwick.serving.failures import ModelFailed as ModelFailed  # noqa: PLC0414 - most who catch it know a runtime
from bailiwick.serving.overtime import Overtime
from bailiwick.serving.packing import Block, blocks_of, pack_inputs
from bailiwick.serving.tensors import Signature, parse_signature
from bailiwick.training.metadata import kept_elsewhere

WARM_UP_ROWS = (1, 1, 64)
LONGEST_SECONDS = 30.0

BESIDE_LANES = 2
"""Runs at a time, in threads, of a model that says no number of its own (`lanes`)."""

_LOG_FATAL = 4


class Runtime(Protocol):
    """A loaded package.

    * `blocks` say how it is fed: one array for each, all of the same number of rows, at least one.
    * `run` gives the outputs of the signature, in its order, with their datatypes and shapes; or raises ModelFailed,
      which is the version's fault, Unavailable, which is nobody's and may pass, or Refused, for values that the
      signature allows and the model can never take. Any thread may call it, several at once.
    * `apart` says that `run` may take long, or wait: it is then called where nothing else waits for it.
    * `platform` is what the protocol's metadata calls it.
    * It may have a number `lanes`: how many runs it makes at a time in threads. Requests beyond it are gathered.
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


class Opener(Protocol):
    """Makes the runtime of a package file, with so many threads for each run of an ONNX graph.

    Raises InvalidInput; Unavailable where this machine lacks something for now.
    """

    def __call__(self, package: Path, threads: int = 1, /) -> Runtime:
        """Not warmed up."""
        ...


def threads_here(wanted: int) -> int:
    """As many as are wanted, and no more than this process has cores: more would only wait for one another."""
    return max(1, min(wanted, len(os.sched_getaffinity(0))))


class OnnxRuntime:
    """One loaded package. `run` may be called from any thread.

    Scaling out is by processes, so a run has one thread, unless more are asked for; never more than there are cores.
    """

    apart = False
    platform = "onnx_onnxv1"

    def __init__(self, package: Path, threads: int = 1, *, seconds: float = LONGEST_SECONDS) -> None:
        """A run of more than `seconds` is ended. Raises InvalidInput."""
        data = package.read_bytes()
        model = _read(data, package.name)
        self.threads = threads_here(threads)
        metadata = {item.key: item.value for item in model.metadata_props}
        self.signature = _signature(model, metadata, package.name)
        self.features = metadata.get("bailiwick.features", "")
        self.blocks = blocks_of(self.signature.inputs)
        changed = pack_inputs(model, self.blocks)
        self.session = _open(model.SerializeToString() if changed else data, package.name, self.threads)
        self._output_names = [spec.name for spec in self.signature.outputs]
        self._tails = [spec.tail for spec in self.signature.outputs]
        self._overtime = Overtime(seconds)
        self._began = self._overtime.running
        # The public `run` re-checks names and copies lists on every call.
        self._run = getattr(self.session, "_sess", self.session).run
        self._row = bound_row(self.session, self.blocks, self.signature.outputs)

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature, for one array for each of `blocks`. Raises ModelFailed."""
        rows, row = len(next(iter(feed.values()))), self._row
        thread, overtime = get_ident(), self._overtime
        began = self._began[thread] = monotonic()
        try:
            if rows == 1 and row is not None and row.free.acquire(blocking=False):
                try:
                    return row.run(feed, overtime.options)
                finally:
                    row.free.release()
            outputs: Sequence[np.ndarray] = self._run(self._output_names, feed, overtime.options)
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            if monotonic() - began > overtime.seconds:
                raise ModelFailed(f"The model gave no answer within {overtime.seconds:g} seconds.") from error
            raise ModelFailed(f"The model failed: {error}.") from error
        finally:
            del self._began[thread]
        for tail, output in zip(self._tails, outputs, strict=True):
            if output.shape[1:] != tail or len(output) != rows:
                raise ModelFailed(self._misshapen(outputs, rows))
        return outputs

    def warm_up(self) -> None:
        """Run rows of zeros and empty texts; where the model takes none of those, of ones. Raises ModelFailed."""
        try:
            self._warm_up(1, 0)
            fill = 0
        except ModelFailed:
            self._warm_up(1, 1)
            fill = 1
        for rows in WARM_UP_ROWS[1:]:
            self._warm_up(rows, fill)

    def _warm_up(self, rows: int, fill: int) -> None:
        feed = {block.name: block.blank(rows) for block in self.blocks}
        if fill:
            feed = {name: np.full_like(blank, "1" if blank.dtype == object else 1) for name, blank in feed.items()}
        self.run(feed)

    def _misshapen(self, outputs: Sequence[np.ndarray], rows: int) -> str:
        given = ", ".join(
            f"{spec.name} has shape {list(output.shape)}"
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        )
        return f"The model failed: for {rows} rows it gave other outputs than it says: {given}."

    def close(self) -> None:
        """Nothing is held but memory, which goes with the last reference."""


def _read(data: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise InvalidInput(f"{name} is not an ONNX model: {error}.") from error
    elsewhere = kept_elsewhere(model)
    if elsewhere:
        raise InvalidInput(f"{name} keeps {elsewhere[0][:100]!r} in another file, which no package may.")
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


def _open(model: bytes, name: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise InvalidInput(f"{name} is not a model that ONNX Runtime can load: {error}.") from error
