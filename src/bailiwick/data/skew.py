"""Feature skew: the same things, by id, as training knew them and as serving saw them, feature by feature.

Counts are those of TFDV's `FeatureSkew`, exact and of the rows that both sides have. Both sides go through a database on
the disk with a limit on memory. Whole numbers are compared exactly; where one side is a 32-bit float, as the prediction
log keeps numbers, both are compared as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_time
from bailiwick.data.checks.scratch import MEMORY_MB, Scratch, scratch

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")

_FEATURES_A_QUERY = 40


@dataclass(frozen=True, slots=True)
class Side:
    """One side: what it is called, its columns, and how to read some of them in a stream."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[list[str]], pa.RecordBatchReader]


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that both sides have, and what each says of the feature; None is missing."""

    id: Mapping[str, Any]
    training: Any
    serving: Any


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """One feature over the rows that both sides have. Missing on both sides counts as neither.

    `largest` is the largest difference of numbers, None where there are none; `types` are the Arrow types, "" where a side
    has no such column.
    """

    feature: str
    types: tuple[str, str]
    training_count: int
    serving_count: int
    match_count: int
    mismatch_count: int
    training_only: int
    serving_only: int
    largest: float | None = None
    examples: tuple[Difference, ...] = ()

    @property
    def diff_count(self) -> int:
        """Rows in which the two sides differ."""
        return self.mismatch_count + self.training_only + self.serving_only


@dataclass(frozen=True, slots=True)
class SkewReport:
    """`joined` rows are on both sides under an id of their own. The others: without an id, with an id that is repeated on
    either side (counted in ids), and with one that the other side does not have.
    """

    training_rows: int
    serving_rows: int
    joined: int
    training_without_id: int
    serving_without_id: int
    repeated_ids: int
    training_only_ids: int
    serving_only_ids: int
    features: tuple[FeatureSkew, ...]

    @property
    def skewed(self) -> list[FeatureSkew]:
        """Features that differ anywhere, the most different first."""
        return sorted((each for each in self.features if each.diff_count), key=lambda each: -each.diff_count)


# budget: one argument an option
def find_skew(
    training: Side,
    serving: Side,
    on: Mapping[str, str],
    *,
    columns: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    tolerance: float = 0.0,
    tolerances: Mapping[str, float] | None = None,
    limit: int = 3,
    memory_mb: int = MEMORY_MB,
) -> SkewReport:
    """Join both sides by id and compare every feature that either has.

    `on` maps id columns of training to those of serving. `columns` limits what is compared, `ignore` leaves out; numbers
    that differ by at most `tolerance`, or the feature's own in `tolerances`, match. `limit` examples a feature are given.
    Raises InvalidInput naming a column that is not there.
    """
    _check(training, serving, on, columns, tolerances or {}, tolerance)
    left = {*on, *on.values(), *ignore}
    union = dict.fromkeys((*training.columns, *serving.columns))
    features = [name for name in (union if columns is None else columns) if name not in left]
    with scratch(memory_mb=memory_mb) as rows:
        mine = [*on, *(name for name in features if name in training.columns)]
        theirs = [*on.values(), *(name for name in features if name in serving.columns)]
        sizes = (rows.load("training", training.read(mine)), rows.load("serving", serving.read(theirs)))
        join = _Join(rows, on, mine, theirs)
        counts = join.pair()
        found = [
            _Feature(join, name, (tolerances or {}).get(name, tolerance), number)
            for number, name in enumerate(features)
        ]
        skews: list[FeatureSkew] = []
        for first in range(0, len(found), _FEATURES_A_QUERY):
            skews += join.compare(found[first : first + _FEATURES_A_QUERY], limit)
    present = tuple(each for each in skews if each.training_count or each.serving_count)
    return SkewReport(*sizes, *counts, features=present)


def _check(
    training: Side,
    serving: Side,
    on: Mapping[str, str],
    columns: Sequence[str] | None,
    tolerances: Mapping[str, float],
    tolerance: float,
) -> None:
    if not on:
        raise InvalidInput("Rows are joined by an id; name its column.")
    for mine, theirs in on.items():
        for side, name in ((training, mine), (serving, theirs)):
            if name not in side.columns:
                raise InvalidInput.choice(f"Id column of {side.name}", name, side.columns)
    known = {*training.columns, *serving.columns}
    for name in (*(columns or ()), *tolerances):
        if name not in known:
            raise InvalidInput.choice("Column of either side", name, known)
    for value in (tolerance, *tolerances.values()):
        if not value >= 0:
            raise InvalidInput(f"A tolerance is a difference that does not matter, 0 or more; {value} is none.")


class _Join:
    """Rows of both sides that have one id, in the table `pairs` (`tr`, `sr`)."""

    def __init__(self, rows: Scratch, on: Mapping[str, str], mine: list[str], theirs: list[str]) -> None:
        self.rows = rows
        self.on = on
        self.mine = mine
        self.theirs = theirs

    def pair(self) -> tuple[int, int, int, int, int, int]:
        """Make the table; joined, without id on each side, repeated ids, ids of one side alone."""
        keys = self._keys()
        names = [f"k{number}" for number in range(len(keys))]
        lost = []
        for side, number in (("training", 0), ("serving", 1)):
            own = [pair[number] for pair in keys]
            absent = " OR ".join(f"{key} IS NULL" for key in own)
            lost.append(self.rows.one(f"SELECT count(*) FROM {side} WHERE {absent}")[0])
            listed = ", ".join(f"{key} AS {name}" for key, name in zip(own, names, strict=True))
            self.rows.all(
                f"CREATE TABLE ids_{side} AS SELECT {listed}, count(*) AS n, min(r) AS r FROM {side} "
                f"WHERE NOT ({absent}) GROUP BY {', '.join(own)}"
            )
        self.rows.all(
            f"CREATE TABLE matched AS SELECT t.r AS tr, s.r AS sr, t.n AS tn, s.n AS sn FROM ids_training t "
            f"FULL JOIN ids_serving s USING ({', '.join(names)})"
        )
        repeated, only_training, only_serving = self.rows.one(
            "SELECT count(*) FILTER (tn > 1 OR sn > 1), count(*) FILTER (sn IS NULL), count(*) FILTER (tn IS NULL) "
            "FROM matched"
        )
        self.rows.all("CREATE TABLE pairs AS SELECT tr, sr FROM matched WHERE tn = 1 AND sn = 1")
        joined = self.rows.one("SELECT count(*) FROM pairs")[0]
        return joined, lost[0], lost[1], repeated, only_training, only_serving

    def _keys(self) -> list[tuple[str, str]]:
        found = []
        for number, (mine, theirs) in enumerate(self.on.items()):
            one, other = self.rows.type_of("training", mine), self.rows.type_of("serving", theirs)
            names = (f"c{number}", f"c{number}")
            if pa.types.is_integer(one) and pa.types.is_string(other):
                names = (f"CAST({names[0]} AS VARCHAR)", names[1])
            elif pa.types.is_string(one) and pa.types.is_integer(other):
                names = (names[0], f"CAST({names[1]} AS VARCHAR)")
            elif one != other and not (pa.types.is_integer(one) and pa.types.is_integer(other)):
                raise InvalidInput(
                    f"Id {mine!r} is {one} in training and {theirs!r} is {other} in serving: they cannot be joined.",
                    hint="Read one of them as the other's type.",
                )
            found.append(names)
        return found

    def compare(self, features: Sequence[_Feature], limit: int) -> list[FeatureSkew]:
        """Several features in one pass over the pairs."""
        if not features:
            return []
        joined = "FROM pairs JOIN training t ON t.r = tr JOIN serving s ON s.r = sr"
        wanted = ", ".join(sql for feature in features for sql in feature.aggregates())
        numbers = list(self.rows.one(f"SELECT {wanted} {joined}"))
        found = []
        for feature in features:
            both, mismatch, training_only, serving_only, largest = (numbers.pop(0) for _ in range(5))
            examples = self._examples(feature, joined, limit) if mismatch + training_only + serving_only else ()
            found.append(
                FeatureSkew(
                    feature=feature.name,
                    types=feature.types,
                    training_count=both + training_only,
                    serving_count=both + serving_only,
                    match_count=both - mismatch,
                    mismatch_count=mismatch,
                    training_only=training_only,
                    serving_only=serving_only,
                    largest=None if largest is None else float(largest),
                    examples=examples,
                )
            )
        return found

    def _examples(self, feature: _Feature, joined: str, limit: int) -> tuple[Difference, ...]:
        ids = ", ".join(f"t.c{number}" for number in range(len(self.on)))
        rows = self.rows.all(
            f"SELECT {ids}, {feature.training}, {feature.serving} {joined} WHERE {feature.differs} "
            f"ORDER BY tr LIMIT {int(limit)}"
        )
        return tuple(Difference(dict(zip(self.on, row, strict=False)), row[-2], row[-1]) for row in rows)


class _Feature:
    """SQL about one feature of a pair; a side without the column has it missing everywhere."""

    def __init__(self, join: _Join, name: str, tolerance: float, number: int) -> None:
        self.name = name
        self._number = number
        mine, theirs = name in join.mine[len(join.on) :], name in join.theirs[len(join.on) :]
        one = join.rows.type_of("training", name) if mine else None
        other = join.rows.type_of("serving", name) if theirs else None
        self.types = ("" if one is None else str(one), "" if other is None else str(other))
        at = len(join.on)
        self.training = f"t.c{at + join.mine[at:].index(name)}" if mine else "NULL"
        self.serving = f"s.c{at + join.theirs[at:].index(name)}" if theirs else "NULL"
        self._apart, self._difference = _comparison(self.training, self.serving, one, other, tolerance)

    @property
    def differs(self) -> str:
        """Whether the two sides of a pair differ."""
        return (
            f"(({self.training} IS NULL) <> ({self.serving} IS NULL) OR "
            f"({self.training} IS NOT NULL AND {self.serving} IS NOT NULL AND {self._apart}))"
        )

    def aggregates(self) -> list[str]:
        """Present on both, apart of these, on one side only, and the largest difference."""
        here, there = f"{self.training} IS NOT NULL", f"{self.serving} IS NOT NULL"
        return [
            f"count(*) FILTER ({here} AND {there})",
            f"count(*) FILTER ({here} AND {there} AND {self._apart})",
            f"count(*) FILTER ({here} AND NOT ({there}))",
            f"count(*) FILTER ({there} AND NOT ({here}))",
            f"max({self._difference})",
        ]


def _comparison(
    training: str, serving: str, one: pa.DataType | None, other: pa.DataType | None, tolerance: float
) -> tuple[str, str]:
    """SQL: are two present values apart, and by how much (NULL for what is no number)."""
    if one is None or other is None:
        return "FALSE", "NULL"
    if is_time(one) and _is_number(other):  # the prediction log keeps moments as milliseconds
        training, one = _milliseconds(training, one), pa.int64()
    elif is_time(other) and _is_number(one):
        serving, other = _milliseconds(serving, other), pa.int64()
    if _is_number(one) and _is_number(other):
        if _is_whole(one) and _is_whole(other):
            gap = f"abs(CAST({training} AS HUGEINT) - CAST({serving} AS HUGEINT))"
            return f"{gap} > {tolerance!r}", gap
        width = "FLOAT" if pa.types.is_float32(one) or pa.types.is_float32(other) else "DOUBLE"
        a, b = (f"CAST(CAST({side} AS {width}) AS DOUBLE)" for side in (training, serving))
        gap = f"abs({a} - {b})"
        # Equal infinities have no difference, and NaN on both sides is the same thing said twice.
        return (
            f"({a} <> {b} AND NOT coalesce({gap} <= {tolerance!r}, FALSE))",
            f"CASE WHEN isfinite({gap}) THEN {gap} END",
        )
    if one == other:
        return f"{training} <> {serving}", "NULL"
    return "TRUE", "NULL"


def _milliseconds(value: str, kind: pa.DataType) -> str:
    return f"epoch_us(CAST({value} AS {'TIMESTAMP' if pa.types.is_date(kind) else 'TIMESTAMPTZ'})) // 1000"


def _is_number(arrow_type: pa.DataType) -> bool:
    return bool(_is_whole(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type))


def _is_whole(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type))
