"""A profile: how often each frozen bin or category of each column occurs. Counts add up, bins never move.

Bins are chosen once, from the reference. Any window counted into them later can be compared with any other, and windows
can be merged, without touching rows again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_list
from bailiwick.data.statistics.columns import is_coded
from bailiwick.data.statistics.counts import Numbers
from bailiwick.data.statistics.texts import Texts

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
_WORTH_THREADS = 1 << 18

Floats: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
Integers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


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
    chosen = profiled(table.schema, columns)
    return Profile(table.num_rows, tuple(_of_each(_built, chosen, [_column(table, name) for name in chosen])))


def count(profile: Profile, table: pa.Table) -> Profile:
    """This table's rows counted into the profile's bins; the profile's own counts do not matter.

    Raises InvalidInput for a column that is absent or has become another kind of thing.
    """
    columns = [_column(table, feature.name) for feature in profile.features]
    return Profile(table.num_rows, tuple(_of_each(_counted, profile.features, columns)))


def profiled(schema: pa.Schema, columns: Sequence[str] | None = None) -> list[str]:
    """The columns that have profiles. Raises InvalidInput for one that is named and has none, or is not there."""
    for name in columns or ():
        if schema.get_field_index(name) < 0:
            raise InvalidInput.choice("Column", name, schema.names)
        if not kind_of(schema.field(name).type):
            raise InvalidInput(
                f"Column {name!r} is {schema.field(name).type}: only numbers, text and booleans have profiles."
            )
    return [name for name in (schema.names if columns is None else columns) if kind_of(schema.field(name).type)]


def profile_of_numbers(name: str, numbers: Numbers, *, missing: int) -> NumericProfile:
    """Bins at the quantiles of the numbers, with their counts; `missing` rows have no number, beside those that are NaN."""
    return tally_numbers(NumericProfile(name, _edges(numbers), ()), numbers, missing=missing)


def profile_of_texts(name: str, texts: Texts, *, missing: int) -> CategoricalProfile:
    """Categories of the most frequent texts, with their counts."""
    return tally_texts(_categories(name, texts, texts.total + missing), texts, missing=missing)


def tally_numbers(feature: NumericProfile, numbers: Numbers, *, missing: int) -> NumericProfile:
    """Numbers counted into bins: each belongs to the first edge that is not below it."""
    cells = np.searchsorted(np.asarray(feature.edges), numbers.values, side="left")
    counts = np.zeros(len(feature.edges) + 1, dtype=np.int64)
    np.add.at(counts, cells, numbers.counts)
    counts[0] += numbers.low_infinity
    counts[-1] += numbers.high_infinity
    return replace(feature, counts=(missing + numbers.nan, *counts.tolist()))


def tally_texts(feature: CategoricalProfile, texts: Texts, *, missing: int) -> CategoricalProfile:
    """Texts counted into categories."""
    known, size = len(feature.categories), len(feature.categories) + len(feature.rare)
    found = np.zeros(size, dtype=np.int64)
    values = pa.array([*feature.categories, *feature.rare], pa.string())
    codes = pc.index_in(texts.values, value_set=values).fill_null(-1).to_numpy()
    np.add.at(found, codes[codes >= 0], texts.counts[codes >= 0])
    strange = texts.total - int(found.sum())
    other, unseen = (int(found[known:].sum()), strange) if feature.closed else (strange, 0)
    return replace(feature, counts=(*found[:known].tolist(), other, unseen, missing))


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
    place = table.schema.get_field_index(name)
    if place < 0:
        raise InvalidInput.choice("Column", name, table.column_names)
    return table.column(place)


def kind_of(arrow_type: pa.DataType) -> str:
    """`numeric`, `categorical`, or "" for what has no profile."""
    if pa.types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
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


def _of_each(act: Callable[[Any, pa.ChunkedArray], FeatureProfile], of: Sequence[Any], columns: Sequence[Any]) -> Any:
    if sum(map(len, columns)) < _WORTH_THREADS:
        return map(act, of, columns)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(act, of, columns))


def _built(name: str, column: pa.ChunkedArray) -> FeatureProfile:
    if kind_of(column.type) == "numeric":
        return profile_of_numbers(name, Numbers.of(_numbers(column)), missing=column.null_count)
    return profile_of_texts(name, Texts.of(_texts(column)), missing=column.null_count)


def _counted(feature: FeatureProfile, column: pa.ChunkedArray) -> FeatureProfile:
    expected = "numeric" if isinstance(feature, NumericProfile) else "categorical"
    if kind_of(column.type) != expected and not pa.types.is_null(column.type):
        raise InvalidInput(f"Column {feature.name!r} is {column.type}, but its profile is {expected}.")
    if not isinstance(feature, NumericProfile):
        return tally_texts(feature, Texts.of(_texts(column)), missing=column.null_count)
    values = _numbers(column)
    few = Numbers.of_whole(values)
    if few is not None:
        return tally_numbers(feature, few, missing=column.null_count)
    present = values[~np.isnan(values)]
    cells = np.searchsorted(np.asarray(feature.edges), present, side="left")
    counts = np.bincount(cells, minlength=len(feature.edges) + 1)
    return replace(feature, counts=(len(column) - len(present), *counts.tolist()))


def _edges(numbers: Numbers) -> tuple[float, ...]:
    if not numbers.finite:
        return ()
    told, ends = numbers.told(), np.cumsum(numbers.counts)
    ranks = (np.arange(1, MAX_BINS + 1) * numbers.finite + MAX_BINS - 1) // MAX_BINS - 1  # ceil(i/100 * size), from 0
    with np.errstate(over="ignore"):  # below the least of floats is minus infinity, which is no edge
        below = np.nextafter(told.low, -np.inf)
    inner = numbers.values[np.searchsorted(ends, ranks, side="right")]
    inner[-1] = told.high
    edges = np.unique(np.concatenate(([below], inner)) + 0.0)  # + 0.0 makes -0.0 plain zero
    return tuple(edges[np.isfinite(edges)].tolist())


def _categories(name: str, texts: Texts, rows: int) -> CategoricalProfile:
    """Where rare values were left out (`not texts.exact`), spread and unseen are the most that they can be."""
    values, counts = texts.values, texts.counts
    kept = _ranked(values, counts, np.flatnonzero(counts >= MIN_CATEGORY_COUNT))[:MAX_CATEGORIES]
    rest = np.setdiff1d(np.arange(len(counts)), np.array(kept, dtype=np.int64))
    shares = counts[rest] / max(1, rows)
    closed = texts.exact and len(rest) <= MAX_KNOWN_RARE
    spread = float(np.sort(np.sqrt(shares * (1 - shares))).sum())  # sorted: the same whatever the order of rows
    unseen = float(np.count_nonzero(counts == 1) / max(1, rows))
    if not texts.exact:
        unseen = 1 - float(counts[kept].sum() / max(1, texts.total))
        spread = math.sqrt(max(texts.unique - len(kept), 1) * unseen)
    return CategoricalProfile(
        name=name,
        categories=tuple(values.take(pa.array(kept, pa.int64())).to_pylist()),
        rare=tuple(values.take(pa.array(_ranked(values, counts, rest), pa.int64())).to_pylist()) if closed else (),
        closed=closed,
        distinct=texts.unique,
        spread=spread,
        unseen=unseen,
        counts=(),
    )


def _ranked(values: pa.Array, counts: Integers, positions: Integers) -> list[int]:
    """Positions by falling count, equal counts by value."""
    texts = values.take(pa.array(positions)).to_pylist()
    order = sorted(range(len(texts)), key=lambda i: (-counts[positions[i]], texts[i]))
    return [int(positions[i]) for i in order]


def _numbers(column: pa.ChunkedArray) -> Floats:
    """Float64 of those that are there."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    if column.null_count:
        column = column.drop_null()
    numbers: Floats = column.to_numpy()
    return numbers


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings, dictionary-coded or not; booleans become `true` and `false`."""
    return column if column.type == pa.string() or is_coded(column.type) else column.cast(pa.string())
