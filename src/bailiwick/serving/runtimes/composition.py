"""A composition that is no single graph: its parts in one process, run one after another, loaded and let go as one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bailiwick.composing.archive import unpack
from bailiwick.composing.model import Step, combined, in_order
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.runtime import BESIDE_LANES, WARM_UP_ROWS, ModelFailed, Runtime
from bailiwick.serving.tensors import TensorSpec, parse_signature

Columns = dict[str, np.ndarray]


class CompositionRuntime:
    """Parts that are the same package are loaded once. It is as slow as its slowest part: `apart` where one is."""

    platform = "composition"

    def __init__(self, package: Path, opened: Callable[[Path], Runtime]) -> None:
        self._parts: dict[str, Runtime] = {}
        try:
            with tempfile.TemporaryDirectory(prefix="bailiwick-composition-") as folder:
                manifest = unpack(package, Path(folder))
                for step in manifest.composition.steps:
                    if step.package not in self._parts:
                        self._parts[step.package] = opened(Path(folder) / step.package)
        except BaseException as error:
            self.close()
            if isinstance(error, Corrupted):
                raise InvalidInput(error.message) from error
            raise
        self._composition = manifest.composition
        self._order = in_order(manifest.composition)
        self.signature = parse_signature(canonical_json(manifest.signature).decode())
        self.blocks = blocks_of(self.signature.inputs)
        self.apart = any(part.apart for part in self._parts.values())
        slow = [int(getattr(part, "lanes", BESIDE_LANES)) for part in self._parts.values() if part.apart]
        self.lanes = min(slow, default=BESIDE_LANES)

    @property
    def processes(self) -> list[int]:
        """Those of parts that have some."""
        return [pid for part in self._parts.values() for pid in getattr(part, "processes", [])]

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature. Raises ModelFailed naming the step, and what a part raises."""
        columns: Columns = {}
        for block in self.blocks:
            values = feed[block.name]
            if len(block.specs) == 1:
                columns[block.specs[0].name] = values
                continue
            for place, spec in enumerate(block.specs):
                columns[spec.name] = values[:, place : place + 1]
        combine = self._composition.combine
        if combine.way == "cascade":
            return [self._cascade(columns)]
        answers: Columns = {}
        for step in self._order:
            self._ask(step, columns, answers)
        if combine.way == "give":
            return [answers[f"{combine.steps[0]}.{spec.name}"] for spec in self.signature.outputs]
        return [combined(combine, {name: self._answer(name, answers) for name in combine.steps})]

    def _cascade(self, columns: Columns) -> np.ndarray:
        """Later steps are asked about the rows of which no step before was sure, together with what they read."""
        combine = self._composition.combine
        rows = len(next(iter(columns.values())))
        found = np.empty(rows, np.float32)
        open_rows = np.arange(rows)
        answers: Columns = {}
        for place, name in enumerate(combine.steps):
            for step in self._needed(name, answers):
                self._ask(step, columns, answers)
            answer = self._answer(name, answers)
            found[open_rows] = answer
            if place == len(combine.sure):
                break
            unsure = ~(np.maximum(answer, 1 - answer) >= np.float32(combine.sure[place]))  # NaN is never sure
            if not unsure.any():
                break
            open_rows = open_rows[unsure]
            columns = {each: values[unsure] for each, values in columns.items()}
            answers = {each: values[unsure] for each, values in answers.items()}
        return found

    def _needed(self, name: str, answers: Columns) -> list[Step]:
        """The step and those that it reads which have not answered yet, in order."""
        wanted = {name}
        for step in reversed(self._order):
            if step.name in wanted:
                sources = (step.source(str(each["name"])) for each in step.signature["inputs"])
                wanted |= {source.partition(".")[0] for source in sources if "." in source}
        done = {each.partition(".")[0] for each in answers}
        return [step for step in self._order if step.name in wanted and step.name not in done]

    def _ask(self, step: Step, columns: Columns, answers: Columns) -> None:
        part = self._parts[step.package]
        feed = {
            block.name: np.concatenate([_fed(spec, step, columns, answers) for spec in block.specs], axis=1)
            if len(block.specs) > 1
            else _fed(block.specs[0], step, columns, answers)
            for block in part.blocks
        }
        try:
            outputs = part.run(feed)
        except ModelFailed as error:
            raise ModelFailed(f"Step {step.name}: {error.message}") from error
        for spec, values in zip(part.signature.outputs, outputs, strict=True):
            answers[f"{step.name}.{spec.name}"] = values

    def _answer(self, name: str, answers: Columns) -> np.ndarray:
        return answers[f"{name}.{self._composition.answer}"].reshape(-1).astype(np.float32, copy=False)

    def warm_up(self) -> None:
        """Warm up every part, and the whole once. Rows of zeros that rules refuse are no fault of the version."""
        for part in self._parts.values():
            part.warm_up()
        for rows in WARM_UP_ROWS:
            try:
                self.run({block.name: block.blank(rows) for block in self.blocks})
            except ModelFailed:
                if all(part.platform == "onnx_onnxv1" for part in self._parts.values()):
                    raise

    def close(self) -> None:
        """Close every part."""
        for part in self._parts.values():
            part.close()


def _fed(spec: TensorSpec, step: Step, columns: Columns, answers: Columns) -> np.ndarray:
    source = step.source(spec.name)
    values = answers[source] if source in answers else columns[source]
    shaped = values.reshape(len(values), *spec.tail)
    return shaped.astype(spec.dtype, copy=False)
