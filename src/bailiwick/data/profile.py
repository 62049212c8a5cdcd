"""A profile: how often each frozen bin or category of each column occurs. Counts add up, bins never move.

Bins are chosen once, from the reference. Any window counted into them later can be compared with any other, and windows
can be merged, without touching rows again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_list

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

MAX_BINS = 100
MAX_CATEGORIES = 100
MIN_CATEGORY_COUNT = 5
MAX_KNOWN_RARE = 1000

Floats: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
Integers: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"


class NumericProfile(Struct, frozen=True, tag="numeric", tag_field="kind"):
    """Counts of (missing, x ≤ edges[0], …, edges[i-1] < x ≤ edges[i], …, x > edges[-1]); missing is null or NaN.

    The first edge is the number just below the reference's minimum and the last is its maximum, so the first and last
    cells hold what lies outside the reference's range, and a constant column has a cell of its own. Infinities fall there.
    """

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class CategoricalProfile(Struct, frozen=True, tag="categorical", tag_field="kind"):
    """Counts of (each of `categories`, OTHER, UNSEEN, MISSING).

    OTHER are values of the reference too rare for a cell (`rare` lists them); UNSEEN are values it did not have. Where it
    had more rare values than are listed (`closed` is false), the two cannot be told apart and all count as OTHER.
    `distinct`, `spread` (Σ √p(1-p) over OTHER values) and `unseen` (Good–Turing: the share of values that occurred once)
    belong to the bins: they say how uncertain the choice of categories was.
    """

    name: str
    categories: tuple[str, ...]
    rare: tuple[str, ...]
    closed: bool
    distinct: int
    spread: float
    unseen: float
    counts: tuple[int, ...]


FeatureProfile = NumericProfile | CategoricalProfile


class Profile(Struct, frozen=True):
    """Profiles of the columns of `rows` rows. Times, binary and nested columns have none."""

    rows: int
    features: tuple[FeatureProfile, ...]
    format: Literal[1] = 1

    def merge(self, other: Profile) -> Profile:
        """The profile of both sets of rows together. Raises InvalidInput unless the bins are the same."""
        _require_same_bins(self, other)
        features = tuple(
            replace(mine, counts=tuple(a + b for a, b in zip(mine.counts, theirs.counts, strict=True)))
            for mine, theirs in zip(self.features, other.features, strict=True)
        )
        return Profile(rows=self.rows + other.rows, features=features)

    def empty(self) -> Profile:
        """The same bins with nothing counted: the neutral element of `merge`."""
        features = tuple(replace(feature, counts=(0,) * len(feature.counts)) for feature in self.features)
        return Profile(rows=0, features=features)

    def same_bins(self, other: Profile) -> bool:
        """Whether both count into the same frozen bins and categories."""
        return self.empty() == other.empty()


def build_profile(table: pa.Table, columns: Sequence[str] | None = None) -> Profile:
    """Choose bins from this table (the reference) and count it into them.

    Numbers get up to 100 bins at its quantiles; text and booleans up to 100 categories of at least 5 rows each.
    `columns` limits which; a column named there that cannot be profiled raises InvalidInput.
    """
    chosen = table.column_names if columns is None else list(columns)
    features = [_build(name, _column(table, name)) for name in chosen]
    for name, feature in zip(chosen, features, strict=True):
        if feature is None and columns is not None:
            raise InvalidInput(
                f"Column {name!r} is {table.schema.field(name).type}: only numbers, text and booleans have profiles."
            )
    return count(Profile(rows=0, features=tuple(f for f in features if f is not None)), table)


def count(profile: Profile, table: pa.Table) -> Profile:
    """This table's rows counted into the profile's bins; the profile's own counts do not matter.

    Raises InvalidInput for a column that is absent or has become another kind of thing.
    """
    features = tuple(
        replace(feature, counts=tuple(_count(feature, _column(table, feature.name)).tolist()))
        for feature in profile.features
    )
    return Profile(rows=table.num_rows, features=features)


def to_json(profile: Profile) -> str:
    """JSON text that `from_json` reads back to an equal profile."""
    return msgspec.json.encode(profile).decode()


def from_json(text: str | bytes) -> Profile:
    """The profile of a JSON text. Raises InvalidInput saying what is wrong where."""
    try:
        profile = msgspec.json.decode(text, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"This is not a profile: {error}.") from error
    for feature in profile.features:
        if len(feature.counts) != _cells(feature) or min(feature.counts) < 0:
            raise InvalidInput(f"This is not a profile: the counts of {feature.name!r} do not fit its bins.")
    return profile


def _require_same_bins(one: Profile, other: Profile) -> None:
    if not one.same_bins(other):
        raise InvalidInput("The profiles have different bins.", hint="Count both with the bins of one reference.")


def _cells(feature: FeatureProfile) -> int:
    return len(feature.edges) + 2 if isinstance(feature, NumericProfile) else len(feature.categories) + 3


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise InvalidInput.choice("Column", name, table.column_names)
    return table.column(name)


def _kind(arrow_type: pa.DataType) -> str:
    """`numeric`, `categorical`, or "" for what has no profile."""
    if pa.types.is_dictionary(arrow_type):
        return _kind(arrow_type.value_type)
    if pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type):
        return "numeric"
    texts = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_boolean,
        pa.types.is_null,
    )
    return "categorical" if not is_list(arrow_type) and any(check(arrow_type) for check in texts) else ""


def _build(name: str, column: pa.ChunkedArray) -> FeatureProfile | None:
    kind = _kind(column.type)
    if kind == "numeric":
        return NumericProfile(name=name, edges=_edges(_numbers(column)), counts=())
    return _categories(name, _texts(column)) if kind == "categorical" else None


def _edges(values: Floats) -> tuple[float, ...]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ()
    ordered = np.sort(finite)
    ranks = (np.arange(1, MAX_BINS + 1) * len(ordered) + MAX_BINS - 1) // MAX_BINS - 1  # ceil(i/100 * size), from 0
    with np.errstate(over="ignore"):  # below the least of floats is minus infinity, which is no edge
        below = np.nextafter(ordered[0], -np.inf)
    edges = np.unique(np.concatenate(([below], ordered[ranks])) + 0.0)  # + 0.0 makes -0.0 plain zero
    return tuple(edges[np.isfinite(edges)].tolist())


def _categories(name: str, column: pa.ChunkedArray) -> CategoricalProfile:
    counted = column.drop_null().value_counts()
    values, counts = counted.field("values"), counted.field("counts").to_numpy()
    kept = _ranked(values, counts, np.flatnonzero(counts >= MIN_CATEGORY_COUNT))[:MAX_CATEGORIES]
    rest = np.setdiff1d(np.arange(len(counts)), kept)
    shares = counts[rest] / max(1, len(column))
    closed = len(rest) <= MAX_KNOWN_RARE
    return CategoricalProfile(
        name=name,
        categories=tuple(values.take(pa.array(kept, pa.int64())).to_pylist()),
        rare=tuple(values.take(pa.array(_ranked(values, counts, rest), pa.int64())).to_pylist()) if closed else (),
        closed=closed,
        distinct=len(counts),
        spread=float(np.sort(np.sqrt(shares * (1 - shares))).sum()),  # sorted: the same whatever the order of rows
        unseen=float(np.count_nonzero(counts == 1) / max(1, len(column))),
        counts=(),
    )


def _ranked(values: pa.Array, counts: Integers, positions: Integers) -> list[int]:
    """Positions by falling count, equal counts by value."""
    texts = values.take(pa.array(positions)).to_pylist()
    order = sorted(range(len(texts)), key=lambda i: (-counts[positions[i]], texts[i]))
    return [int(positions[i]) for i in order]


def _count(feature: FeatureProfile, column: pa.ChunkedArray) -> Integers:
    expected = "numeric" if isinstance(feature, NumericProfile) else "categorical"
    if _kind(column.type) != expected and not pa.types.is_null(column.type):
        raise InvalidInput(f"Column {feature.name!r} is {column.type}, but its profile is {expected}.")
    if isinstance(feature, NumericProfile):
        return _count_numbers(feature, _numbers(column))
    return _count_texts(feature, _texts(column))


def _count_numbers(feature: NumericProfile, values: Floats) -> Integers:
    """`x` belongs to the first edge that is not below it; NaN sorts after every edge and is taken out."""
    present = values[~np.isnan(values)]
    cells = np.searchsorted(np.asarray(feature.edges), present, side="left")
    counts = np.bincount(cells, minlength=len(feature.edges) + 1)
    return np.concatenate(([len(values) - len(present)], counts))


def _count_texts(feature: CategoricalProfile, column: pa.ChunkedArray) -> Integers:
    known, size = len(feature.categories), len(feature.categories) + len(feature.rare)
    codes = pc.index_in(column, value_set=pa.array([*feature.categories, *feature.rare], pa.string()))
    found = np.bincount(codes.drop_null().to_numpy(), minlength=size)
    missing = column.null_count
    strange = len(column) - missing - int(found.sum())
    other, unseen = (int(found[known:].sum()), strange) if feature.closed else (strange, 0)
    return np.concatenate((found[:known], [other, unseen, missing]))


def _numbers(column: pa.ChunkedArray) -> Floats:
    """Float64 with NaN for null."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = column.cast(pa.float64(), safe=False)
    if column.null_count:
        column = column.fill_null(float("nan"))
    numbers: Floats = column.to_numpy()
    return numbers


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings; booleans become `true` and `false`."""
    return column if column.type == pa.string() else column.cast(pa.string())
