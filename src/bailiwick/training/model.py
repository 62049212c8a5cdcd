"""Words of training: folds, the user's fit function, trials, the parity report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ParameterValue = int | float | str | bool
Report = Callable[[int, float], None]
"""`report(step, value)` tells the tuner the validation metric so far; it raises Pruned when going on is not worth it."""


class Pruned(Exception):
    """Raised through the user's fit function by `report`; let it pass."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to learn from or to check on: `features` float32 [rows, len(names)], `labels` int64 [rows] of 0 and 1."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]


class Fit(Protocol):
    """The entry point of the project file's `train`: returns a fitted LightGBM or scikit-learn classifier.

    `params` holds the tuned parameters, those fixed in the project file, and always `seed` and `threads`. The same
    arguments must give the same model.
    """

    def __call__(self, train: Fold, valid: Fold, params: Mapping[str, Any], report: Report) -> Any:
        """Raises Pruned when `report` does."""
        ...


class TrialResult(Struct, frozen=True):
    """One trial of tuning. `value` is None for a pruned trial; `curve` is what the fit function reported."""

    number: int
    params: dict[str, ParameterValue]
    status: str  # FINISHED or PRUNED
    value: float | None
    curve: tuple[tuple[int, float], ...]
    seconds: float


class TuneResult(Struct, frozen=True):
    """The best trial's parameters and value on the validation fold, and every trial in order.

    `value` is None, and there are no trials, where the parameters were given and not searched.
    """

    params: dict[str, ParameterValue]
    value: float | None
    trials: tuple[TrialResult, ...]


class ParityReport(Struct, frozen=True):
    """How far the package is from the Python pipeline. `rows` counts all compared, `probes` those made up to be difficult.

    `label_flips` counts rows whose label at 0.5 differs by more than the tolerance explains; `worst` is the row with the
    largest error, with both probabilities.
    """

    rows: int
    probes: int
    max_error: float
    label_flips: int
    tolerance: float
    passed: bool
    worst: dict[str, Any]
