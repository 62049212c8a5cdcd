"""Fitted features that are more than a number or a category; their columns follow those in the feature matrix.

Each says which columns it reads, with OIP datatypes, and what its columns are called. Missing is NaN for numbers and
moments and the empty text for texts; every output is finite.
"""

from __future__ import annotations

from msgspec import Struct

CYCLES = {"hour": 24, "weekday": 7, "month": 12, "day_of_year": 366}
"""Parts of a date that come round again, with the length of the round."""

DATE_PARTS = ("year", "month", "day", "hour", "minute", "minute_of_day", "weekday", "day_of_year")
"""`weekday` is 0 on Monday; `month`, `day` and `day_of_year` begin with 1. All in UTC."""

DAY_MS = 86_400_000

MOST_TOKENS = 256
"""Tokens of a text that are seen; what comes after them is not."""

FIRST_MOMENT = -62_135_596_800_000
LAST_MOMENT = 253_402_300_799_999
"""UTC milliseconds of years 1 to 9999; a moment outside is missing."""


class Missing(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="missing"):
    """1 where `source` is missing, else 0."""

    column: str
    source: str
    datatype: str

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read."""
        return ((self.source, self.datatype),)

    @property
    def names(self) -> tuple[str, ...]:
        """One column."""
        return (f"{self.column}=(missing)",)


class DateParts(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="date"):
    """Parts of a moment in UTC; `X_cyclic` is two columns, sine and cosine. Missing gives -1, and 0 for sine and cosine."""

    column: str
    source: str
    parts: tuple[str, ...]

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read, as doubles: exact for every millisecond of the years 1 to 9999, and null is NaN."""
        return ((self.source, "FP64"),)

    @property
    def names(self) -> tuple[str, ...]:
        """One column a part; two for a cyclic one."""
        found: list[str] = []
        for part in self.parts:
            plain = part.removesuffix("_cyclic")
            ends = ("_sin", "_cos") if plain != part else ("",)
            found.extend(f"{self.column}.{plain}{end}" for end in ends)
        return tuple(found)


class Age(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="age"):
    """Days from `source` to `until`, negative where it is later; `fill` where either is missing."""

    column: str
    source: str
    until: str
    fill: float

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """Both moments."""
        return ((self.source, "FP64"), (self.until, "FP64"))

    @property
    def names(self) -> tuple[str, ...]:
        """One column."""
        return (self.column,)


class Hashed(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="hash"):
    """MurmurHash3 (x86, 32 bits, seed 0) of the text's UTF-8, modulo `buckets`: a code, or one column a bucket."""

    column: str
    source: str
    buckets: int
    one_hot: bool = False

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read."""
        return ((self.source, "BYTES"),)

    @property
    def names(self) -> tuple[str, ...]:
        """One column, or one a bucket."""
        return tuple(f"{self.column}#{bucket}" for bucket in range(self.buckets)) if self.one_hot else (self.column,)


class Target(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="target"):
    """The smoothed share of positive labels by category; `prior`, the share of all, for unseen ones."""

    column: str
    source: str
    datatype: str
    categories: tuple[str | float, ...]
    values: tuple[float, ...]
    prior: float

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read."""
        return ((self.source, self.datatype),)

    @property
    def names(self) -> tuple[str, ...]:
        """One column."""
        return (self.column,)


class Cross(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="cross"):
    """Pairs of two categories: the code is the place in `pairs` from 1, 0 for every other pair; or one column a code."""

    column: str
    sources: tuple[str, str]
    datatypes: tuple[str, str]
    pairs: tuple[tuple[str | float, str | float], ...]
    one_hot: bool = False

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """Both columns."""
        return tuple(zip(self.sources, self.datatypes, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """One column, or the other and one a pair."""
        if not self.one_hot:
            return (self.column,)
        return (
            f"{self.column}=(other)",
            *(f"{self.column}={shown(first)}×{shown(second)}" for first, second in self.pairs),
        )


class TextSize(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="text"):
    """`length` in Unicode code points, and `tokens`: parts between spaces (U+0020 alone)."""

    column: str
    source: str
    parts: tuple[str, ...]

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read."""
        return ((self.source, "BYTES"),)

    @property
    def names(self) -> tuple[str, ...]:
        """One column a part."""
        return tuple(f"{self.column}.{part}" for part in self.parts)


class Ngrams(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="ngrams"):
    """How often each n-gram of tokens (joined by a space) is in the text; or, by hash, single tokens in `buckets`."""

    column: str
    source: str
    grams: tuple[str, ...] = ()
    buckets: int = 0

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read."""
        return ((self.source, "BYTES"),)

    @property
    def names(self) -> tuple[str, ...]:
        """One column a gram or a bucket."""
        if self.buckets:
            return tuple(f"{self.column}#{bucket}" for bucket in range(self.buckets))
        return tuple(f"{self.column}:{gram}" for gram in self.grams)


class Computed(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="expression"):
    """The value of an expression over columns, in float32; `fill` where it is not a number, bounded to ±1e15."""

    column: str
    expression: str
    reads: tuple[tuple[str, str], ...]
    fill: float = 0.0

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The columns that the expression names."""
        return self.reads

    @property
    def names(self) -> tuple[str, ...]:
        """One column."""
        return (self.column,)


class Pipelined(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="sklearn"):
    """What a fitted scikit-learn transformer makes of columns, as the ONNX graph it was converted to; `outputs` names its columns."""

    column: str
    reads: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    graph: bytes

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The columns that the transformer is given."""
        return self.reads

    @property
    def names(self) -> tuple[str, ...]:
        """One column an output."""
        return tuple(f"{self.column}.{output}" for output in self.outputs)


Derived = Missing | DateParts | Age | Hashed | Target | Cross | TextSize | Ngrams | Computed | Pipelined


def shown(value: str | float) -> str:
    """A category as names of columns show it."""
    return value if isinstance(value, str) else f"{value:g}"
