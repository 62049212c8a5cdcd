"""One learner for each transform: what it counts of the rows, and the fitted feature that this makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.features.columns import NUMBERS, TEXTS, datatype_of, doubles, is_moment, numbers, texts
from bailiwick.features.derived import (
    DAY_MS,
    FIRST_MOMENT,
    LAST_MOMENT,
    MOST_TOKENS,
    Age,
    Computed,
    Cross,
    DateParts,
    Derived,
    Hashed,
    Missing,
    Ngrams,
    Target,
    TextSize,
)
from bailiwick.features.expression import evaluate, read_expression
from bailiwick.features.model import CATEGORICAL, LIMIT, FeatureSpec, FittedFeature
from bailiwick.features.states import Counts, Distribution, LabelCounts

Reads = Mapping[str, pa.DataType]
Labels = NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Counted:
    """How often each of some rows is there; for target encoding, with which label and in which fold too."""

    often: NDArray[np.int64]
    labels: Labels = None
    folds: NDArray[np.int64] | None = None


class Learner(Protocol):
    """Counts rows, is merged with its like, and ends as fitted features."""

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:
        """Learn from rows of which the first is row `start` of the data."""
        ...

    def count(self, rows: pa.Table, beside: Counted) -> None:
        """Learn from different rows, each of which is there so often."""
        ...

    def merge(self, other: Any) -> None:
        """Learn what the other has learnt from other rows."""
        ...

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:
        """What was learnt. Raises InvalidInput when it is too little."""
        ...


class _Numeric:
    """number, scale, log and bucketize: a distribution, from which everything else follows."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        ((self.source, kind),) = reads.items()
        _need_numbers(spec, kind)
        self.spec = spec
        self.seen = Distribution()

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:  # noqa: ARG002
        self.seen.update(self._values(rows))

    def count(self, rows: pa.Table, beside: Counted) -> None:
        self.seen.update(self._values(rows), beside.often)

    def _values(self, rows: pa.Table) -> NDArray[np.float32]:
        return np.clip(numbers(rows.column(self.source)), np.float32(-LIMIT), np.float32(LIMIT))

    def merge(self, other: _Numeric) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        if not self.seen.count:
            raise InvalidInput(f"Feature {spec.column!r} has no values in the training data.", hint="Leave it out.")
        least, most = self._bounds()
        seen = self.seen.bounded(least, most)
        fill = float(np.float32(_fill(spec, seen)))
        # What is left out here is left out of JSON too, so that it stays as it was before these could be said.
        told: dict[str, Any] = {} if self.source == spec.column else {"source": self.source}
        if spec.clip is not None or spec.quantiles is not None:
            told |= {"least": least, "most": most}
        fitted = FittedFeature(spec.column, spec.transform, NUMBERS, fill=fill, **told)
        yield _SHAPES[spec.transform](spec, seen, fitted)
        if spec.indicator:
            yield Missing(spec.column, self.source, NUMBERS)

    def _bounds(self) -> tuple[float, float]:
        if self.spec.quantiles is not None:
            least, most = self.seen.quantiles(self.spec.quantiles).tolist()
        else:
            least, most = self.spec.clip or (-LIMIT, LIMIT)
        return _float32(least), _float32(most)


def _float32(bound: float) -> float:
    return bound if abs(bound) == LIMIT else float(np.float32(bound))


def _fill(spec: FeatureSpec, seen: Distribution) -> float:
    if spec.impute == "mean":
        return seen.mean
    if spec.impute == "most_frequent":
        return seen.most_frequent
    return seen.median if spec.impute is None else float(spec.impute)


def _as_it_is(_spec: FeatureSpec, _seen: Distribution, fitted: FittedFeature) -> FittedFeature:
    return fitted


def _scaled(spec: FeatureSpec, seen: Distribution, fitted: FittedFeature) -> FittedFeature:
    """A column whose spread is nothing beside its size keeps its factor of 1."""
    if spec.method == "min_max":
        offset, most = (float(each) for each in seen.quantiles([0, 1]))
        spread = most - offset
    elif spec.method == "robust":
        offset = seen.median
        low, high = (float(each) for each in seen.quantiles([0.25, 0.75]))
        spread = high - low
    else:
        offset, spread = seen.mean, seen.deviation
    constant = spread <= 1e-6 * max(1.0, abs(offset))
    return replace(fitted, offset=offset, factor=1.0 if constant else 1.0 / spread)


def _logged(spec: FeatureSpec, seen: Distribution, fitted: FittedFeature) -> FittedFeature:
    least = min(float(seen.quantiles([0])[0]), fitted.fill)
    if least < 0:
        raise InvalidInput(
            f"Feature {spec.column!r}: log is log(1 + x) and needs x ≥ 0; the smallest here is {least:g}.",
            hint="Use `scale: standard` or `bucketize` for a column with negative values, or `clip: [0, …]`.",
        )
    return fitted


def _bucketed(spec: FeatureSpec, seen: Distribution, fitted: FittedFeature) -> FittedFeature:
    """Edges at equal-mass quantiles, at equal distances, or as given; equal edges fall together."""
    if spec.edges:
        inner = np.array(spec.edges)
    elif spec.method == "width":
        low, high = (float(each) for each in seen.quantiles([0, 1]))
        inner = np.linspace(low, high, spec.buckets + 1)[1:-1]
    else:
        inner = seen.quantiles(np.linspace(0, 1, spec.buckets + 1)[1:-1])
    return replace(fitted, edges=tuple(np.unique(inner.astype(np.float32)).tolist()))


_Shape = Callable[[FeatureSpec, Distribution, FittedFeature], FittedFeature]
_SHAPES: dict[str, _Shape] = {"number": _as_it_is, "scale": _scaled, "log": _logged, "bucketize": _bucketed}


class _Category:
    """category and one_hot: how often each value was there; or, for given values, nothing."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        ((self.source, kind),) = reads.items()
        self.spec = spec
        self.datatype = _category_datatype(spec, kind)
        self.seen = Counts(spec.column)

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:  # noqa: ARG002
        counts = pc.value_counts(_keys(rows.column(self.source), self.datatype).drop_null())
        self.seen.update(counts.field("values").to_pylist(), counts.field("counts").to_pylist())

    def count(self, rows: pa.Table, beside: Counted) -> None:
        _count_keys(self.seen, [_keys(rows.column(self.source), self.datatype)], beside.often)

    def merge(self, other: _Category) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        categories: tuple[Any, ...] = self._given() or tuple(
            self.seen.frequent(min_count=spec.min_count, max_size=spec.max_size)
        )
        if spec.method == "sorted":
            categories = tuple(sorted(categories))
        source = "" if self.source == spec.column else self.source
        yield FittedFeature(spec.column, spec.transform, self.datatype, categories=categories, source=source)
        if spec.indicator:
            yield Missing(spec.column, self.source, self.datatype)

    def _given(self) -> tuple[str | float, ...]:
        wanted = str if self.datatype == TEXTS else float
        for value in self.spec.values:
            if not isinstance(value, wanted):
                held = "text" if wanted is str else "numbers"
                raise InvalidInput(f"Feature {self.spec.column!r}: order has {value!r}, and the column holds {held}.")
        return self.spec.values


class _Target:
    """target: rows and positive labels by value and fold."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        ((self.source, kind),) = reads.items()
        self.spec = spec
        self.datatype = _category_datatype(spec, kind)
        self.seen = LabelCounts(spec.column, folds=spec.folds)

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:
        keys = _keys(rows.column(self.source), self.datatype).to_pylist()
        if labels is not None:
            self.seen.update(keys, labels, start=start)

    def count(self, rows: pa.Table, beside: Counted) -> None:
        keys = _keys(rows.column(self.source), self.datatype).to_pylist()
        if beside.labels is not None and beside.folds is not None:
            self.seen.count(keys, beside.often, beside.labels, beside.folds)

    def merge(self, other: _Target) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:
        spec = self.spec
        shares, prior = self.seen.shares(without=without, smoothing=spec.smoothing, min_count=spec.min_count)
        values = tuple(float(np.float32(share)) for share in shares.values())
        yield Target(spec.column, self.source, self.datatype, tuple(shares), values, float(np.float32(prior)))


class _Cross:
    """cross: how often each pair was there."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        self.spec = spec
        self.datatypes = {column: _category_datatype(spec, kind) for column, kind in reads.items()}
        self.seen = Counts(spec.column)

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:  # noqa: ARG002
        columns = [_keys(rows.column(column), datatype) for column, datatype in self.datatypes.items()]
        counted = (
            pa.table(columns, ["first", "second"])
            .drop_null()
            .group_by(["first", "second"])
            .aggregate([([], "count_all")])
        )
        pairs = zip(counted["first"].to_pylist(), counted["second"].to_pylist(), strict=True)
        self.seen.update(pairs, counted["count_all"].to_pylist())

    def count(self, rows: pa.Table, beside: Counted) -> None:
        keys = [_keys(rows.column(column), datatype) for column, datatype in self.datatypes.items()]
        _count_keys(self.seen, keys, beside.often)

    def merge(self, other: _Cross) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        pairs: tuple[Any, ...] = tuple(self.seen.frequent(min_count=spec.min_count, max_size=spec.max_size))
        first, second = self.datatypes
        datatypes = (self.datatypes[first], self.datatypes[second])
        yield Cross(spec.column, (first, second), datatypes, pairs, one_hot=spec.one_hot)


class _Vocabulary:
    """ngrams: in how many texts each n-gram was; hashed, nothing."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        ((self.source, kind),) = reads.items()
        _need_texts(spec, kind)
        self.spec = spec
        self.hashed = spec.method == "hash"
        self.seen = Counts(spec.column)

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:  # noqa: ARG002
        if self.hashed:
            return
        found: Counter[str] = Counter()
        for text in texts(rows.column(self.source)).to_pylist():
            found.update(set(grams_of(text, self.spec.longest)))
        self.seen.update(found.keys(), found.values())

    def count(self, rows: pa.Table, beside: Counted) -> None:
        if self.hashed:
            return
        found: Counter[str] = Counter()
        for text, often in zip(texts(rows.column(self.source)).to_pylist(), beside.often.tolist(), strict=True):
            for gram in set(grams_of(text, self.spec.longest)):
                found[gram] += often
        self.seen.update(found.keys(), found.values())

    def merge(self, other: _Vocabulary) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        if self.hashed:
            yield Ngrams(spec.column, self.source, buckets=spec.buckets)
            return
        grams: tuple[Any, ...] = tuple(self.seen.frequent(min_count=spec.min_count, max_size=spec.max_size))
        if not grams:
            raise InvalidInput(
                f"Feature {spec.column!r}: no n-gram is in {spec.min_count} texts or more.", hint="Lower `min_count`."
            )
        yield Ngrams(spec.column, self.source, grams=grams)


def grams_of(text: str, longest: int) -> Iterator[str]:
    """Runs of 1 to `longest` tokens, joined by a space; tokens are what is between spaces."""
    tokens = [token for token in text.split(" ") if token][:MOST_TOKENS]
    for size in range(1, longest + 1):
        for first in range(len(tokens) - size + 1):
            yield " ".join(tokens[first : first + size])


class _Age:
    """age: days between two moments; their median is what missing ones count as."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        for kind in reads.values():
            _need_moments(spec, kind)
        self.spec = spec
        self.sources = spec.reads
        self.seen = Distribution()

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:  # noqa: ARG002
        self.seen.update(self._days(rows))

    def count(self, rows: pa.Table, beside: Counted) -> None:
        self.seen.update(self._days(rows), beside.often)

    def _days(self, rows: pa.Table) -> NDArray[np.float32]:
        source, until = (moments(rows.column(column)) for column in self.sources)
        return ((until - source) / DAY_MS).astype(np.float32)

    def merge(self, other: _Age) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        if not self.seen.count:
            raise InvalidInput(f"Feature {spec.column!r} has no values in the training data.", hint="Leave it out.")
        source, until = self.sources
        yield Age(spec.column, source, until, fill=float(np.float32(_fill(spec, self.seen))))


def moments(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Milliseconds, NaN outside of years 1 to 9999."""
    values = doubles(column)
    with np.errstate(invalid="ignore"):
        return np.where((values >= FIRST_MOMENT) & (values <= LAST_MOMENT), values, np.nan)


class _Computed:
    """expression: the distribution of its values, for what missing ones count as."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        self.spec = spec
        self.expression = read_expression(spec.expression)
        self.datatypes: dict[str, str] = {}
        for column, text in self.expression.columns.items():
            self.datatypes[column] = TEXTS if text else NUMBERS
            if datatype_of(reads[column]) != self.datatypes[column]:
                wanted = "text" if text else "numbers"
                raise InvalidInput(
                    f"Feature {spec.column!r}: {column!r} is used as {wanted}, and the column holds {reads[column]}."
                )
        self.seen = Distribution()

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:  # noqa: ARG002
        self.seen.update(self._values(rows))

    def count(self, rows: pa.Table, beside: Counted) -> None:
        self.seen.update(self._values(rows), beside.often)

    def _values(self, rows: pa.Table) -> NDArray[np.float32]:
        columns: dict[str, NDArray[Any]] = {}
        for column, datatype in self.datatypes.items():
            found = rows.column(column)
            text = datatype == TEXTS
            columns[column] = texts(found).to_numpy(zero_copy_only=False) if text else numbers(found)
        return np.clip(evaluate(self.expression, columns), np.float32(-LIMIT), np.float32(LIMIT))

    def merge(self, other: _Computed) -> None:
        self.seen.merge(other.seen)

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        if not self.seen.count:
            raise InvalidInput(f"Feature {spec.column!r}: the expression is a number in no row.", hint="Leave it out.")
        fill = float(np.float32(_fill(spec, self.seen)))
        yield Computed(spec.column, spec.expression, tuple(self.datatypes.items()), fill)


class _Nothing:
    """date, hash, text: nothing is learnt."""

    def __init__(self, spec: FeatureSpec, reads: Reads) -> None:
        ((self.source, kind),) = reads.items()
        (_need_moments if spec.transform == "date" else _need_texts)(spec, kind)
        self.spec = spec

    def update(self, rows: pa.Table, *, start: int, labels: Labels) -> None:
        """Nothing is learnt from rows."""

    def count(self, rows: pa.Table, beside: Counted) -> None:
        """Nor from how often they are there."""

    def merge(self, other: _Nothing) -> None:
        """Nothing was learnt."""

    def finish(self, *, without: int | None) -> Iterator[FittedFeature | Derived]:  # noqa: ARG002
        spec = self.spec
        if spec.transform == "date":
            yield DateParts(spec.column, self.source, spec.parts)
        elif spec.transform == "text":
            yield TextSize(spec.column, self.source, spec.parts)
        else:
            yield Hashed(spec.column, self.source, spec.buckets, one_hot=spec.one_hot)


def _need_numbers(spec: FeatureSpec, kind: pa.DataType) -> None:
    if datatype_of(kind) != NUMBERS:
        raise InvalidInput(
            f"Feature {spec.column!r}: {spec.transform} needs numbers, and the column holds {kind}.",
            hint=f"For text choose one of: {', '.join(CATEGORICAL)}, hash, target, text, ngrams.",
        )


def _need_texts(spec: FeatureSpec, kind: pa.DataType) -> None:
    if datatype_of(kind) != TEXTS:
        raise InvalidInput(
            f"Feature {spec.column!r}: {spec.transform} needs text, and the column holds {kind}.",
            hint="For whole numbers choose `category`, `one_hot` or `target`.",
        )


def _need_moments(spec: FeatureSpec, kind: pa.DataType) -> None:
    if not is_moment(kind):
        raise InvalidInput(
            f"Feature {spec.column!r}: {spec.transform} needs UTC milliseconds or timestamps, and the column holds {kind}."
        )


def _category_datatype(spec: FeatureSpec, kind: pa.DataType) -> str:
    datatype = datatype_of(kind)
    if datatype == NUMBERS and not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise InvalidInput(
            f"Feature {spec.column!r}: {spec.transform} needs text, whole numbers or booleans, and the column holds {kind}.",
            hint="For measured numbers choose `number`, `scale`, `log` or `bucketize`.",
        )
    return datatype


def _count_keys(seen: Counts, columns: Sequence[pa.Array], often: NDArray[np.int64]) -> None:
    """Of one column, or pairs of two; a row in which one is missing is none."""
    found: Counter[Any] = Counter()
    for *keys, count in zip(*(column.to_pylist() for column in columns), often.tolist(), strict=True):
        if None not in keys:
            found[keys[0] if len(keys) == 1 else tuple(keys)] += count
    seen.update(found.keys(), found.values())


def _keys(column: pa.ChunkedArray, datatype: str) -> pa.Array:
    """Texts, or numbers with null for missing, as the graph sees them."""
    if datatype == TEXTS:
        return texts(column)
    return pa.array(numbers(column).astype(np.float64), from_pandas=True)


LEARNERS: dict[str, Callable[[FeatureSpec, Reads], Learner]] = {
    "number": _Numeric,
    "scale": _Numeric,
    "log": _Numeric,
    "bucketize": _Numeric,
    "category": _Category,
    "one_hot": _Category,
    "target": _Target,
    "cross": _Cross,
    "ngrams": _Vocabulary,
    "age": _Age,
    "expression": _Computed,
    "date": _Nothing,
    "hash": _Nothing,
    "text": _Nothing,
}
