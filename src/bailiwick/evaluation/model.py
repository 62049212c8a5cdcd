"""An evaluation: labels and probabilities of one model on one set of rows, their metrics, whole and by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Labels: TypeAlias = "NDArray[np.int64]"
Scores: TypeAlias = "NDArray[np.float64]"
Metrics = Mapping[str, float]

LEAST_ROWS = 100
"""A slice of fewer rows is not measured, unless an evaluation says otherwise."""


class Slice(Struct, frozen=True):
    """The rows whose `column` has one value. Metrics that the rows do not determine are left out."""

    column: str
    value: str
    rows: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics by name. Labels and scores are kept for paired comparison with another model on the same rows."""

    metrics: Metrics
    slices: tuple[Slice, ...]
    labels: Labels
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """What a registry keeps: `metrics` and `slices`, without the rows."""
        slices = [
            {"column": item.column, "value": item.value, "rows": item.rows, "metrics": item.metrics}
            for item in self.slices
        ]
        return {"metrics": dict(self.metrics), "slices": slices}


class GateResult(Struct, frozen=True):
    """What one gate said. `value` is what was compared with the limit, None where nothing could be."""

    gate: str
    passed: bool
    value: float | None
    message: str
