"""What can be asked about a prediction, and what is answered. These structs are also the wire format and the cache's."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

KINDS = ("shap", "neighbours", "counterfactuals")
FORMAT = 1
"""Grows when an explanation of the same settings would come out otherwise: older ones in the cache then count no more."""

Value = float | int | str | bool | None


class Constraints(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a counterfactual may change. `directions` has `up` or `down` by column, `ranges` least and most value, `steps`
    the step in which a number moves from where it is, `choices` the values that a column may take.
    """

    immutable: tuple[str, ...] = ()
    directions: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    choices: dict[str, tuple[Value, ...]] = field(default_factory=dict)


class Asked(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a prediction is to be explained; the same is computed once a prediction and version.

    `output` and `index` choose the number that is explained, where a model gives several. `background` is how many training
    rows stand for "not known". A counterfactual brings the output to the other side of `threshold`; `most_changes` columns
    at most, `count` of them are looked for, with `budget` rows run by the model at most. `permutations` is for models that
    are no trees. `seed` fixes what is drawn.
    """

    kinds: tuple[str, ...] = KINDS
    output: str = ""
    index: int = -1
    background: int = 100
    permutations: int = 100
    neighbours: int = 5
    threshold: float = 0.5
    most_changes: int = 3
    count: int = 3
    budget: int = 20_000
    constraints: Constraints = Constraints()
    seed: int = 0


class Contribution(Struct, frozen=True):
    """What columns add to the output. `error` is the standard error of a sampled value, 0 where it is exact. `columns` are
    several only where features join more of them than are parted.
    """

    columns: tuple[str, ...]
    given: tuple[Value, ...]
    value: float
    error: float = 0.0


class Shap(Struct, frozen=True):
    """`base` and all contributions sum to `reached`, in `space`: `output`, or `log_odds` for a model that is a sum of them.

    `method` is `trees` (exact) or `permutations` (sampled; why is in `note`). `crossed` are columns that a feature joins, whose
    common value is parted between them as Owen has it.
    """

    method: str
    space: str
    base: float
    reached: float
    contributions: list[Contribution]
    background: int
    crossed: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""


class Neighbour(Struct, frozen=True):
    """A training row: how far it is (0 is the same row, 1 as far as can be), its values, its label, and its output now."""

    distance: float
    row: dict[str, Value]
    label: Value
    output: float | None


class Neighbours(Struct, frozen=True):
    """The nearest of `searched` rows of a training snapshot, nearest first. `note` says why there are none."""

    snapshot: str
    searched: int
    items: list[Neighbour]
    distance: str
    note: str = ""


class Changed(Struct, frozen=True):
    """One column of a counterfactual."""

    column: str
    before: Value
    after: Value


class Counterfactual(Struct, frozen=True):
    """Changes that bring the output to the other side, as the model itself answers; `distance` as of neighbours."""

    changes: list[Changed]
    output: float
    distance: float


class Counterfactuals(Struct, frozen=True):
    """Fewest changes first, then smallest. Where none was found, `note` says how far the search went."""

    threshold: float
    searched: int
    items: list[Counterfactual]
    note: str = ""


class Explanation(Struct, frozen=True):
    """Everything that was asked of one prediction, by the version that made it. `output` is its number as recomputed now,
    `recorded` the one on record. `background` says which rows stand for what is not known.
    """

    prediction: str
    model: str
    version: int
    package: str
    asked: Asked
    output_name: str
    output: float
    recorded: float | None
    background: str
    made: int
    seconds: float
    shap: Shap | None = None
    neighbours: Neighbours | None = None
    counterfactuals: Counterfactuals | None = None
    format: int = FORMAT


def plain(value: Any) -> Value:
    """A value of NumPy or Arrow as JSON has it: NaN is None, a whole number keeps no fraction."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value
    number = float(value)
    if number != number:  # noqa: PLR0124 - NaN
        return None
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


_EXACT = 1 << 53
