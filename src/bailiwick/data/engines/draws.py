"""The number that a key draws, computed where the rows are: MurmurHash3 in SQL, as `data.splits` has it, bit for bit.

A key's number is made in steps, each a SELECT over the one before, for most of them are used twice in the next. Whole numbers
of 64 bits without a sign are NUMERIC or UHUGEINT, for neither engine multiplies them as they wrap. Spark's planner would write all steps into each use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.model import Column, Kind

MOST_BYTES = 256
"""Of a key that is hashed on an engine."""
_TWO_64 = 1 << 64
_FIRST, _SECOND = 0x87C37B91114253D5, 0x4CF5AD432745937F
_MIXED = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)


@dataclass(frozen=True, slots=True)
class _Words:
    """How one engine says it; `{a}` and `{b}` are numbers without a sign, `{c}` is a constant."""

    digits: str
    """The bytes of a text in UTF-8, in hexadecimal digits."""
    number: str
    """The number of sixteen hexadecimal digits."""
    constant: str
    times: str
    wrapped: str
    either: str
    """One or the other bit, not both."""
    shifted: str
    """Divided by `{p}`, a power of 2."""
    double: str
    fence: str = ""
    """What keeps a planner from writing a step into those that use it."""


_HALF = 1 << 63
_WORDS = {
    "postgresql": _Words(
        digits="ENCODE(CONVERT_TO({a}, 'UTF8'), 'hex')",
        number=f"MOD((('x' || {{a}})::bit(64)::bigint)::numeric + {_TWO_64}, {_TWO_64})",
        constant="{c}::numeric",
        times=f"MOD({{a}} * {{c}}, {_TWO_64})",
        wrapped=f"MOD({{a}}, {_TWO_64})",
        either=f"MOD((({{a}} - {_HALF})::bigint # ({{b}} - {_HALF})::bigint)::numeric + {_TWO_64}, {_TWO_64})",
        shifted="DIV({a}, {p})",
        double="({a})::float8",
        fence=" OFFSET 0",
    ),
    "duckdb": _Words(
        digits="hex({a})",
        number="CAST(CAST('0x' || {a} AS UBIGINT) AS UHUGEINT)",
        constant="CAST({c} AS UHUGEINT)",
        times=f"({{a}} * CAST({{c}} AS UHUGEINT)) % CAST({_TWO_64} AS UHUGEINT)",
        wrapped=f"({{a}}) % CAST({_TWO_64} AS UHUGEINT)",
        either="CAST(xor(CAST({a} AS UBIGINT), CAST({b} AS UBIGINT)) AS UHUGEINT)",
        shifted="({a}) // CAST({p} AS UHUGEINT)",
        double="CAST({a} AS DOUBLE)",
    ),
}


def key_text(engine: Engine, column: Column) -> str:
    """A key as the text that is hashed. Raises InvalidInput for values that engines write otherwise than rows read here."""
    if engine.dialect.name not in _WORDS:
        raise InvalidInput(
            f"On {engine.dialect.name}, rows are divided by time, and by no key: column {column.name!r} is hashed on PostgreSQL and "
            "DuckDB only.",
            hint="Write `split: {by: time}`, and no target encoding; or read the rows here.",
        )
    if column.depth or column.kind not in {Kind.TEXT, Kind.WHOLE, Kind.BOOLEAN}:
        raise InvalidInput(
            f"Column {column.name!r} holds {column.native or column.kind.value}; on an engine, rows are divided by text, whole "
            "numbers or booleans."
        )
    return engine.dialect.text(column, engine.dialect.quote(column.name))


def longest(engine: Engine, column: Column) -> int:
    """Blocks of 16 bytes in the longest key. Raises InvalidInput for a key that is missing or too long."""
    digits = _WORDS[engine.dialect.name].digits.format(a=key_text(engine, column))
    present = engine.dialect.present(engine.dialect.quote(column.name))
    asked = f"SELECT COUNT(*), {present}, MAX(LENGTH({digits})) FROM {engine.relation}"
    rows, there, most = (int(value or 0) for value in engine.ask(asked)[0])
    if there < rows:
        raise InvalidInput(
            f"Column {column.name!r} is missing in {rows - there} of {rows} rows, which belong to no part.",
            hint="Fill it or leave those rows out.",
        )
    if most > 2 * MOST_BYTES:
        raise InvalidInput(
            f"Column {column.name!r} holds a key of {most // 2} bytes; on an engine they have at most {MOST_BYTES}."
        )
    return most // 32 + 1


def drawn(dialect: str, select: str, *, carried: Sequence[str], key: str, blocks: int, seed: int, name: str) -> str:
    """The SELECT with a column more: the number in [0, 1) that the text `key` draws, the same as `data.splits` says.

    `carried` are the columns of the SELECT that go along; names are such as need no quotes.
    """
    made = _Steps(_WORDS[dialect], select, [*carried])
    words = made.words
    made.step({"x": words.digits.format(a=key)})
    zeros = blocks * 32
    made.step(
        {
            "x": f"RPAD(x, {zeros}, '0')",
            "n": "CAST(LENGTH(x) AS BIGINT) / 2",
        }
    )
    start = words.constant.format(c=seed & 0xFFFFFFFF)
    made.step({"x": "x", "n": _length(dialect), "h": start, "g": start})
    for block in range(blocks):
        _take(made, block)
    made.step({"h": made.either("h", "n"), "g": made.either("g", "n")})
    made.step({"h": made.sum("h", "g"), "g": "g"})
    made.step({"h": "h", "g": made.sum("g", "h")})
    for factor in (*_MIXED, 0):
        made.step({"a": made.shifted("h", 33), "b": made.shifted("g", 33), "h": "h", "g": "g"})
        made.step({"h": made.either("h", "a"), "g": made.either("g", "b")})
        if factor:
            made.step({"h": made.times("h", factor), "g": made.times("g", factor)})
    made.step({"h": made.sum("h", "g")})
    made.step({name: f"{words.double.format(a=made.shifted('h', 11))} / {words.double.format(a=1 << 53)}"})
    return made.select


def _length(dialect: str) -> str:
    """The number of bytes, as a number of the kind that is hashed."""
    kind = {"postgresql": "numeric", "duckdb": "UHUGEINT"}[dialect]
    return f"CAST(n AS {kind})"


def _take(made: _Steps, block: int) -> None:
    """Mix sixteen bytes in; a last block that is not full is filled with zeros, and mixed in without what follows."""
    kept = {"x": "x", "n": "n", "h": "h", "g": "g"}
    made.step({**kept, "a": made.number("x", 32 * block), "b": made.number("x", 32 * block + 16)})
    made.step({**kept, "a": made.times("a", _FIRST), "b": made.times("b", _SECOND)})
    made.step({**kept, "a": made.turned("a", 31), "b": made.turned("b", 33)})
    made.step({**kept, "a": made.times("a", _SECOND), "b": made.times("b", _FIRST)})
    made.step({**kept, "h": made.either("h", "a"), "b": "b"})
    full = f"n >= {16 * (block + 1)}"
    made.step({**kept, "a": made.turned("h", 27), "b": "b"})
    made.step({**kept, "a": made.sum("a", "g"), "b": "b"})
    made.step(
        {**kept, "h": f"CASE WHEN {full} THEN {made.shaken('a', 0x52DCE729)} ELSE h END", "g": made.either("g", "b")}
    )
    made.step({**kept, "b": made.turned("g", 31)})
    made.step({**kept, "b": made.sum("b", "h")})
    made.step({**kept, "g": f"CASE WHEN {full} THEN {made.shaken('b', 0x38495AB5)} ELSE g END"})


class _Steps:
    """SELECTs in one another. What a step does not name is gone, but for the columns that are carried."""

    def __init__(self, words: _Words, select: str, carried: list[str]) -> None:
        self.words = words
        self.select = select
        self._carried = carried

    def step(self, made: dict[str, str]) -> None:
        """One SELECT more, of these expressions by name."""
        told = [*self._carried, *(f"{expression} AS {name}" for name, expression in made.items())]
        self.select = f"SELECT {', '.join(told)} FROM ({self.select}) AS s{self.words.fence}"

    def number(self, digits: str, first: int) -> str:
        """Sixteen digits from the first on (from 0): bytes of which the first is the least."""
        pairs = (f"SUBSTR({digits}, {first + 2 * byte + 1}, 2)" for byte in reversed(range(8)))
        return self.words.number.format(a=f"({' || '.join(pairs)})")

    def times(self, a: str, factor: int) -> str:
        """The product, without what is above 64 bits."""
        return self.words.times.format(a=a, c=factor)

    def sum(self, a: str, b: str) -> str:
        """The sum, likewise."""
        return self.words.wrapped.format(a=f"({a} + {b})")

    def either(self, a: str, b: str) -> str:
        """Exclusive or."""
        return self.words.either.format(a=a, b=b)

    def shifted(self, a: str, by: int) -> str:
        """To the right."""
        return self.words.shifted.format(a=a, p=1 << by)

    def turned(self, a: str, by: int) -> str:
        """Bits that leave on the left come back on the right."""
        return f"{self.times(a, 1 << by)} + {self.shifted(a, 64 - by)}"

    def shaken(self, a: str, more: int) -> str:
        """Five times and some more."""
        return self.words.wrapped.format(a=f"({self.times(a, 5)} + {self.words.constant.format(c=more)})")


def part_of(draw: str, limits: Iterable[str]) -> str:
    """The number of the part that a draw falls into: of those below, the upper ends are the limits."""
    cases = " ".join(f"WHEN {draw} < {limit} THEN {place}" for place, limit in enumerate(limits))
    return f"CASE {cases} END"
