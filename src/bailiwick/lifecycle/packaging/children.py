"""The confined processes that packaging asks: one with the model, in the environment it needs, and one that converts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bailiwick.lifecycle.packaging.probing import Answers, Arrays
from bailiwick.pyfunc.inferring import as_taught
from bailiwick.pyfunc.interpreter import Interpreter, converts, described
from bailiwick.pyfunc.mlmodel import CONVERTIBLE, LoggedModel
from bailiwick.pyfunc.process import Housing, ModelGone, ModelProcess, ModelRaised, Table, as_bytes

LOAD_SECONDS = 180.0
CONVERT_SECONDS = 300.0
ASK_SECONDS = 60.0
ALL_SECONDS = 900.0
CPU_SECONDS = 1_800
_PICKLED = "estimator.pkl"


@dataclass(frozen=True, slots=True)
class Converted:
    """ONNX models that the converter offers, the likeliest first; `reason` says why there is none."""

    graphs: tuple[tuple[str, bytes], ...] = ()
    reason: str = ""
    libraries: tuple[tuple[str, str], ...] = ()


class Model:
    """A loaded model that answers rows."""

    def __init__(self, process: ModelProcess, model: LoggedModel, *, documents: bool = False) -> None:
        """Load it, to be asked with rows or with `documents`. Raises ModelRaised, ModelGone."""
        self.process = process
        self._deadline = time.monotonic() + ALL_SECONDS
        asked = [column.described() for column in model.inputs]
        try:
            self.about, _ = process.ask(
                "load",
                seconds=LOAD_SECONDS,
                columns=asked,
                tensors=model.tensors,
                flavours=model.flavours,
                params=model.needs_params,
                documents=documents,
            )
        except ModelRaised as error:
            raise ModelRaised(
                f"The model cannot be loaded: {error.message}",
                hint="If a library is missing: set `models_python`, or package with --build-environment.",
            ) from error

    def answers(self, rows: Arrays) -> Answers:
        """Raises ModelRaised, ModelGone."""
        tables = [Table((name,), values) for name, values in rows.items()]
        left = self._deadline - time.monotonic()
        return self.process.ask("predict", tables, seconds=max(0.001, min(ASK_SECONDS, left)))[1]


def told(interpreter: Interpreter, folder: Path, housing: Housing, model: LoggedModel) -> LoggedModel:
    """The model with the inputs that it was taught; as it is where it does not say. Raises ModelGone, CannotConfine."""
    if not any(each in model.flavours for each in CONVERTIBLE):
        return model
    with running(interpreter, folder, housing) as process:
        try:
            said, _ = process.ask("taught", seconds=LOAD_SECONDS, flavours=model.flavours)
        except ModelRaised:
            return model
    return as_taught(model, said)


@contextmanager
def running(interpreter: Interpreter, folder: Path, housing: Housing) -> Iterator[ModelProcess]:
    """A process with a model's folder, ended when the block is left."""
    process = ModelProcess(
        interpreter.python, folder, housing, libraries=interpreter.libraries, cpu_seconds=CPU_SECONDS
    )
    try:
        yield process
    finally:
        process.close()


def converted(
    model: LoggedModel, asked: ModelProcess, interpreter: Interpreter, own: Path, scratch: Path, housing: Housing
) -> Converted:
    """Have the model converted: where it was loaded, if there are converters, else by this Python, `own`.

    There it arrives pickled anew, as bytes that only the confined process opens. That library versions may differ is
    left to the gate.
    """
    flavour = model.convertible
    if model.needs_params and any(each in model.flavours for each in CONVERTIBLE):
        return Converted(reason=f"a model of flavour {', '.join(model.flavours)} is given params, which no graph takes")
    if not flavour:
        return Converted(reason=f"a model of flavour {', '.join(model.flavours)} has no conversion to ONNX")
    if not model.tensors and flavour != "sklearn" and any(each.datatype == "BYTES" for each in model.inputs):
        return Converted(reason=f"a {flavour} model with text inputs has no conversion to ONNX")
    try:
        # One that was made for the model is never run to be asked: what was installed there may run at its start.
        if interpreter.python == own or (interpreter.trusted and converts(interpreter.python)):
            return _asked(asked, model)
        _, handed = asked.ask("estimator", seconds=LOAD_SECONDS, flavours=model.flavours)
        (scratch / _PICKLED).write_bytes(as_bytes(handed[0][1]))
        with running(described(own), scratch, housing) as process:
            return _asked(process, model, pickled=_PICKLED)
    except (ModelRaised, ModelGone) as error:
        return Converted(reason=f"the conversion to ONNX failed: {error.message}")


def _asked(process: ModelProcess, model: LoggedModel, **more: Any) -> Converted:
    columns: Sequence[dict[str, Any]] = [column.described() for column in model.inputs]
    head, graphs = process.ask(
        "convert", seconds=CONVERT_SECONDS, columns=columns, tensors=model.tensors, flavours=model.flavours, **more
    )
    libraries = tuple(sorted((str(name), str(version)) for name, version in dict(head.get("libraries", {})).items()))
    return Converted(tuple((name, as_bytes(data)) for name, data in graphs), libraries=libraries)
