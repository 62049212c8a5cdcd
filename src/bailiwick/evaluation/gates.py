"""Quality gates, as the project file writes them.

roc_auc >= 0.65                               a limit on the new model
slice origin: roc_auc >= 0.6                  the same limit on every slice of a column
champion: log_loss non-inferior by 0.005      a comparison with the model in production, on the same rows
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from bailiwick.core.errors import InvalidInput
from bailiwick.evaluation.metrics import METRICS, metric
from bailiwick.evaluation.model import Evaluation, GateResult

CONFIDENCE = 0.95
NON_INFERIOR = "non-inferior by"
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_GATE = re.compile(
    r"\s*(?:(?P<champion>champion)\s*:|slice\s+(?P<column>[^:]+?)\s*:)?\s*(?P<metric>\w+)\s*"
    r"(?P<comparison>>=|<=|>|<|non-inferior\s+by)\s*(?P<limit>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*"
)


class Gate(Struct, frozen=True):
    """One parsed gate. `column` names the slices of a slice gate; a champion gate is `non-inferior by`."""

    text: str
    metric: str
    comparison: str
    limit: float
    column: str = ""


def parse_gate(text: str) -> Gate:
    """Raises InvalidInput naming the gate, what is wrong with it, and the choices."""
    found = _GATE.fullmatch(text)
    if not found:
        raise InvalidInput(
            f"Gate {text!r} cannot be read.",
            hint="Write `roc_auc >= 0.65`, `slice origin: roc_auc >= 0.6` or `champion: log_loss non-inferior by 0.005`.",
        )
    name, limit = found["metric"], float(found["limit"])
    comparison = found["comparison"] if found["comparison"] in _COMPARISONS else NON_INFERIOR
    if name not in METRICS:
        raise InvalidInput.choice(f"Gate {text!r}: metric", name, METRICS)
    if bool(found["champion"]) != (comparison == NON_INFERIOR):
        raise InvalidInput(
            f"Gate {text!r}: `champion:` and `{NON_INFERIOR}` go together.",
            hint=f"Write `champion: {name} {NON_INFERIOR} {found['limit']}`, or leave out `champion:` and compare with >=.",
        )
    if comparison == NON_INFERIOR:
        paired = [known for known, item in METRICS.items() if item.losses]
        if name not in paired:
            raise InvalidInput.choice(f"Gate {text!r}: metric of a paired comparison", name, paired)
        if limit <= 0:
            raise InvalidInput(f"Gate {text!r}: the margin {limit:g} must be above 0.")
    return Gate(text=text.strip(), metric=name, comparison=comparison, limit=limit, column=found["column"] or "")


def check_gates(gates: Sequence[Gate], evaluation: Evaluation, champion: Evaluation | None = None) -> list[GateResult]:
    """Every gate's verdict, in order. Without a champion its gates pass: the first model has nothing to be worse than."""
    return [_check(gate, evaluation, champion) for gate in gates]


def _check(gate: Gate, evaluation: Evaluation, champion: Evaluation | None) -> GateResult:
    if gate.comparison == NON_INFERIOR:
        return _check_champion(gate, evaluation, champion)
    if gate.column:
        return _check_slices(gate, evaluation)
    value = evaluation.metrics.get(gate.metric)
    if value is None:
        message = f"{gate.metric} cannot be computed: the rows are all of one class."
        return GateResult(gate=gate.text, passed=False, value=None, message=message)
    passed = _COMPARISONS[gate.comparison](value, gate.limit)
    message = f"{gate.metric} is {value:.6g}{'' if passed else f', and must be {gate.comparison} {gate.limit:g}'}."
    return GateResult(gate=gate.text, passed=passed, value=value, message=message)


def _check_slices(gate: Gate, evaluation: Evaluation) -> GateResult:
    """The worst slice decides. Slices too small to be measured, or of one class, are no evidence and are not judged."""
    slices = [item for item in evaluation.slices if item.column == gate.column]
    judged = {item.value: item.metrics[gate.metric] for item in slices if gate.metric in item.metrics}
    if not judged:
        known = ", ".join(sorted({item.column for item in evaluation.slices})) or "none"
        message = f"No slice of {gate.column!r} has enough rows of both classes; columns sliced: {known}."
        return GateResult(gate=gate.text, passed=False, value=None, message=message)
    low_is_bad = gate.comparison in {">=", ">"}
    value = min(judged.values()) if low_is_bad else max(judged.values())
    failed = [name for name, found in judged.items() if not _COMPARISONS[gate.comparison](found, gate.limit)]
    listed = ", ".join(f"{name or '(missing)'} {judged[name]:.6g}" for name in failed[:8])
    worst = f"The worst {gate.metric} of {len(judged)} slices is {value:.6g}"
    message = f"{worst}; not {gate.comparison} {gate.limit:g}: {listed}." if failed else f"{worst}."
    return GateResult(gate=gate.text, passed=not failed, value=value, message=message)


def _check_champion(gate: Gate, evaluation: Evaluation, champion: Evaluation | None) -> GateResult:
    if champion is None:
        return GateResult(gate=gate.text, passed=True, value=None, message="There is no champion to compare with yet.")
    mean, bound = loss_difference(gate.metric, evaluation, champion)
    if not math.isfinite(bound):
        return GateResult(gate=gate.text, passed=False, value=None, message="One row is too few to compare models on.")
    passed = bound <= gate.limit
    message = (
        f"The loss behind {gate.metric} is {mean:+.6g} against the champion's, at {CONFIDENCE:.0%} confidence at most"
        f" {bound:+.6g}; {'within' if passed else 'not within'} the margin of {gate.limit:g}."
    )
    return GateResult(gate=gate.text, passed=passed, value=bound, message=message)


def loss_difference(name: str, evaluation: Evaluation, champion: Evaluation) -> tuple[float, float]:
    """Mean of the rows' loss minus the champion's, and its one-sided 95 % upper confidence bound.

    Non-inferiority by a paired Student t bound: mean + t(0.95, n - 1) · s / √n, s the sample standard deviation of the
    row-wise differences. It takes rows as independent; rows that come in clusters (a day's flights) vary more than
    it says. Raises InvalidInput when the two were not evaluated on the same rows.
    """
    losses = metric(name).losses
    if losses is None:
        raise InvalidInput.choice(
            "Metric of a paired comparison", name, [key for key, item in METRICS.items() if item.losses]
        )
    if not np.array_equal(evaluation.labels, champion.labels):
        raise InvalidInput(
            "The champion was evaluated on other rows.",
            hint="Score both models on the same held-out rows, in one order.",
        )
    differences = losses(evaluation.labels, evaluation.scores) - losses(champion.labels, champion.scores)
    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return mean, math.inf
    from scipy.special import stdtrit  # imported here: gates are also parsed where nothing is evaluated

    error = float(differences.std(ddof=1)) / count**0.5
    return mean, mean + float(stdtrit(count - 1, CONFIDENCE)) * error
