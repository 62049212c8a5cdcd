"""What would have changed the outcome: the fewest and smallest allowed changes that bring the output to the other side.

Values to try come from the training rows and the constraints; single columns first, then pairs and more of the most
promising; numbers are then moved back towards where they were as far as the outcome allows. Each is what the model answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.explaining.distance import Distance
from bailiwick.lifecycle.explaining.model import Asked, Changed, Constraints, Counterfactual, Counterfactuals, plain
from bailiwick.lifecycle.explaining.subject import Column, Rows, Subject, repeated

_NUMBERS_TRIED = 24
_TEXTS_TRIED = 40
_COLUMNS_COMBINED = 10
_VALUES_COMBINED = 4
_HALVINGS = 12
_DIRECTIONS = ("up", "down")

Change = dict[str, object]


@dataclass(slots=True)
class _Search:
    subject: Subject
    row: Rows
    distance: Distance
    above: bool
    asked: Asked
    deadline: float
    searched: int = 0
    kept: list[tuple[Change, float]] = field(default_factory=list)

    def answers(self, changes: Sequence[Change]) -> np.ndarray:
        """The output after each of these changes; fewer where the budget or the time is at its end."""
        left = self.asked.budget - self.searched
        changes = changes[: max(0, left)] if time.monotonic() < self.deadline else []
        if not changes:
            return np.empty(0)
        self.searched += len(changes)
        return self.subject.score(changed(self.row, changes))

    def flips(self, output: float) -> bool:
        """Whether it is on the other side of the threshold."""
        return (output < self.asked.threshold) if self.above else (output >= self.asked.threshold)

    def try_all(self, changes: list[Change]) -> list[tuple[Change, float]]:
        """Changes with their outputs; those that flip are kept."""
        found = list(zip(changes, map(float, self.answers(changes)), strict=False))
        self.kept += [(change, output) for change, output in found if self.flips(output)]
        return found

    def does_with_less(self, change: Change) -> bool:
        """Whether a part of it flips the outcome already."""
        return any(known.items() <= change.items() for known, _ in self.kept)

    @property
    def enough(self) -> bool:
        """Whether as many sets of columns were found as were asked for."""
        return len({frozenset(change) for change, _ in self.kept}) >= self.asked.count


def counterfactuals(
    subject: Subject, row: Rows, sample: Rows, distance: Distance, asked: Asked, *, deadline: float
) -> Counterfactuals:
    """Raises InvalidInput for constraints on columns that the model does not take. `deadline` is of `time.monotonic`."""
    columns = {column.name: column for column in subject.columns}
    check_constraints(asked.constraints, columns)
    now = float(subject.score(row)[0])
    search = _Search(subject, row, distance, now >= asked.threshold, asked, deadline, searched=1)
    options = {
        name: _options(column, row[name][0], sample.get(name), asked.constraints)
        for name, column in columns.items()
        if name not in asked.constraints.immutable
    }
    singles = search.try_all([{name: value} for name, values in options.items() for value in values])
    best = _promising(singles, search.above)
    for size in range(2, asked.most_changes + 1):
        if search.enough:
            break
        search.try_all([change for change in _combined(best, size) if not search.does_with_less(change)])
    items = _chosen(search, columns)
    return Counterfactuals(asked.threshold, search.searched, items, _note(items, search, options))


def _note(items: list[Counterfactual], search: _Search, options: dict[str, list[object]]) -> str:
    if items:
        return ""
    if not any(options.values()):
        return "The constraints leave nothing to change."
    ended = "time" if time.monotonic() >= search.deadline else "budget"
    stopped = search.searched >= search.asked.budget or ended == "time"
    why = f"the {ended} was spent" if stopped else "there was nothing left to try"
    return (
        f"None was found with at most {search.asked.most_changes} changes in {search.searched:,} rows; {why}. "
        "That is no proof that there is none."
    )


def check_constraints(constraints: Constraints, columns: Iterable[str]) -> None:
    """Raises InvalidInput naming the columns that there are."""
    known = list(columns)
    parts = (constraints.directions, constraints.ranges, constraints.steps, constraints.choices)
    for name in (*constraints.immutable, *(name for part in parts for name in part)):
        if name not in known:
            raise InvalidInput.choice("Column of a constraint", name, known)
    for name, way in constraints.directions.items():
        if way not in _DIRECTIONS:
            raise InvalidInput.choice(f"Direction of {name}", way, _DIRECTIONS)
    for name, step in constraints.steps.items():
        if not step > 0:
            raise InvalidInput(f"The step of {name} must be above 0, not {step}.")
    for name, (least, most) in constraints.ranges.items():
        if not least <= most:
            raise InvalidInput(f"The range of {name} begins at {least} and ends at {most}.")


def _options(column: Column, value: object, seen: np.ndarray | None, constraints: Constraints) -> list[object]:
    """Values that the column may take instead, from the choices, else from training rows."""
    chosen = constraints.choices.get(column.name)
    if column.text:
        found = list(chosen) if chosen is not None else _frequent(seen)
        return [str(each) for each in found if each is not None and str(each) != value]
    if chosen is not None:
        numbers = np.array([float(each) for each in chosen if each is not None and not isinstance(each, str)])
    elif seen is None or not np.isfinite(seen).any():
        numbers = np.array(constraints.ranges.get(column.name, ()), np.float64)
    else:
        spots = np.linspace(0, 100, _NUMBERS_TRIED)
        numbers = np.percentile(seen[np.isfinite(seen)], spots, method="nearest")
        numbers = np.r_[numbers, constraints.ranges.get(column.name, ())]
    allowed = _allowed(column, float(str(value)), numbers, constraints)
    return [float(each) for each in np.unique(allowed)]


def _allowed(column: Column, now: float, numbers: np.ndarray, constraints: Constraints) -> np.ndarray:
    """Those numbers, on the step, that direction and range allow."""
    name = column.name
    step = constraints.steps.get(name, 1.0 if column.whole else 0.0)
    if step:
        origin = 0.0 if np.isnan(now) else now
        numbers = origin + np.round((numbers - origin) / step) * step
    least, most = constraints.ranges.get(name, (-np.inf, np.inf))
    numbers = numbers[(numbers >= least) & (numbers <= most) & (numbers != now)]
    way = constraints.directions.get(name)
    if way is not None and not np.isnan(now):
        numbers = numbers[numbers > now] if way == "up" else numbers[numbers < now]
    return numbers


def _frequent(seen: np.ndarray | None) -> list[object]:
    if seen is None:
        return []
    values, counts = np.unique(seen.astype(str), return_counts=True)
    return [str(each) for each in values[np.argsort(-counts, kind="stable")[:_TEXTS_TRIED]] if each]


def _promising(singles: list[tuple[Change, float]], above: bool) -> dict[str, list[object]]:  # noqa: FBT001 - a side
    """The columns that move the output most, each with the values that do."""
    by_column: dict[str, list[tuple[float, object]]] = {}
    for change, output in singles:
        ((name, value),) = change.items()
        by_column.setdefault(name, []).append((output if above else -output, value))
    ranked = sorted(by_column, key=lambda name: min(each[0] for each in by_column[name]))
    return {
        name: [value for _, value in sorted(by_column[name], key=lambda each: each[0])[:_VALUES_COMBINED]]
        for name in ranked[:_COLUMNS_COMBINED]
    }


def _combined(best: dict[str, list[object]], size: int) -> list[Change]:
    return [
        dict(zip(names, values, strict=True))
        for names in combinations(best, size)
        for values in product(*(best[name] for name in names))
    ]


def _chosen(search: _Search, columns: dict[str, Column]) -> list[Counterfactual]:
    """The best of each set of columns, moved back as far as it may, fewest changes first."""
    nearest: dict[frozenset[str], tuple[float, Change]] = {}
    for change, _ in search.kept:
        far = float(search.distance.between(search.row, changed(search.row, [change]))[0])
        key = frozenset(change)
        if key not in nearest or far < nearest[key][0]:
            nearest[key] = (far, change)
    ranked = sorted(nearest.values(), key=lambda each: (len(each[1]), each[0]))
    found: dict[frozenset[str], Counterfactual] = {}
    for _, change in ranked[: 2 * search.asked.count]:
        moved = _moved_back(search, change, columns)
        if frozenset(moved) in found:
            continue
        answer = search.subject.score(
            changed(search.row, [moved])
        )  # what is told is what the model says of exactly this
        search.searched += 1
        far = float(search.distance.between(search.row, changed(search.row, [moved]))[0])
        if search.flips(float(answer[0])):
            told = [Changed(name, plain(search.row[name][0]), plain(value)) for name, value in sorted(moved.items())]
            found[frozenset(moved)] = Counterfactual(told, float(answer[0]), far)
    sparsest = sorted(found.values(), key=lambda each: (len(each.changes), each.distance))
    return sparsest[: search.asked.count]


def _needless(search: _Search, change: Change, name: str) -> bool:
    others = {other: value for other, value in change.items() if other != name}
    answer = search.answers([others]) if others else np.empty(0)
    return bool(answer.size) and search.flips(float(answer[0]))


def _moved_back(search: _Search, change: Change, columns: dict[str, Column]) -> Change:
    """Leave out what need not change, and halve the way of each other number back to where it was, for as long as the outcome
    stays changed.
    """
    best = dict(change)
    for name in change:
        if _needless(search, best, name):
            del best[name]
            continue
        now = search.row[name][0]
        if columns[name].text or np.isnan(now) or name in search.asked.constraints.choices:
            continue
        failed, held = float(now), float(str(best[name]))
        for _ in range(_HALVINGS):
            between = np.array([(failed + held) / 2])
            middle = _allowed(columns[name], float(now), between, search.asked.constraints)
            if not middle.size or float(middle[0]) in {failed, held}:
                break
            answer = search.answers([{**best, name: float(middle[0])}])
            if not answer.size:
                break
            if search.flips(float(answer[0])):
                held = float(middle[0])
            else:
                failed = float(middle[0])
        best[name] = held
    return best


def changed(row: Rows, changes: Sequence[Change]) -> Rows:
    """The row after each of these changes."""
    rows = repeated(row, len(changes))
    for place, change in enumerate(changes):
        for name, value in change.items():
            rows[name][place] = value
    return rows
