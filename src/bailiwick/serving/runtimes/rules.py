"""A package of rules behind the same face as ONNX Runtime: columns in, typed outputs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.rules.engine import RowFailed, RuleEngine
from bailiwick.rules.package import read_package
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.protocol import Refused
from bailiwick.serving.runtime import WARM_UP_ROWS, ModelFailed
from bailiwick.serving.tensors import TensorSpec, parse_signature

LARGEST = 7.9e28
"""The engine computes in 96-bit decimals; past this a number has none."""
LONGEST_TEXT = 100_000
"""An output may hold an input's text a few hundred times, so long texts would take all memory."""


class RulesRuntime:
    """One package of rules, compiled."""

    apart = False
    platform = "rules_jdm"

    def __init__(self, package: Path) -> None:
        try:
            rules = read_package(package.read_bytes())
        except Corrupted as error:
            raise InvalidInput(error.message) from error
        self.signature = parse_signature(canonical_json(rules.signature).decode())
        self.blocks = blocks_of(self.signature.inputs)
        self._engine = RuleEngine(rules)

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Outputs in the order of the signature. Raises ModelFailed naming the row; Refused for values rules cannot hold."""
        columns: dict[str, list[Any]] = {}
        for block in self.blocks:
            values = feed[block.name]
            for place, spec in enumerate(block.specs):
                columns[spec.name] = plain_values(spec, values.reshape(len(values), -1)[:, place])
        try:
            answers = self._engine.answers(columns)
        except RowFailed as error:
            raise ModelFailed(f"The model failed: {error.message}") from error
        return [np.array(found, dtype=spec.dtype) for spec, found in zip(self.signature.outputs, answers, strict=True)]

    def warm_up(self) -> None:
        """Ask for rows of zeros. That no rule hits them is no fault of the version."""
        for rows in WARM_UP_ROWS:
            try:
                self.run({block.name: block.blank(rows) for block in self.blocks})
            except ModelFailed as error:
                if not isinstance(error.__cause__, RowFailed):
                    raise

    def close(self) -> None:
        """Nothing is held but memory."""


def plain_values(spec: TensorSpec, column: np.ndarray) -> list[Any]:
    """Values as rules see them: None for NaN and for the empty text, and a float32 as the decimal that it is written as.

    So that 0.1 is 0.1, not 0.10000000149, whatever precision the other versions of an endpoint take. Raises Refused.
    """
    if spec.datatype == "BYTES":
        texts: list[str] = column.tolist()
        if texts and max(map(len, texts)) > LONGEST_TEXT:
            raise Refused(400, f"A text of input {spec.name} has more than {LONGEST_TEXT} characters.")
        return [text or None for text in texts]
    if not spec.datatype.startswith("FP"):
        return column.tolist()  # type: ignore[no-any-return]
    if (np.abs(column) > LARGEST).any():
        raise Refused(400, f"A number of input {spec.name} is past {LARGEST:g}, which rules cannot compute with.")
    narrow = np.ascontiguousarray(column, np.float32 if spec.datatype == "FP16" else None)
    return orjson.loads(orjson.dumps(narrow, option=orjson.OPT_SERIALIZE_NUMPY))  # type: ignore[no-any-return]
