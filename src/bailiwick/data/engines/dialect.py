"""The plan as SQL. What all engines write alike is here; each dialect says what is its own, by hand.

Nothing is left to an engine's arithmetic that a comparison can say: finite is "between the least and the largest double",
and bins are nested comparisons with literals, so counts are the same everywhere.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import singledispatchmethod

from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines import plan
from bailiwick.data.engines.model import Column, Kind

_LARGEST = sys.float_info.max
_NEGLIGIBLE = 1e-150  # its square still is a number; some engines refuse to round to zero


class Dialect(ABC):
    """One engine's SQL."""

    name: str
    most_at_once: int = 32
    """How many columns one statement tells of; more make more statements."""

    # --- what a dialect says -------------------------------------------------------------------------------------------

    @abstractmethod
    def quote(self, name: str) -> str:
        """An identifier, whatever characters it has."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """A text, whatever characters it has."""

    @abstractmethod
    def number(self, value: float) -> str:
        """A double, to the last bit."""

    @abstractmethod
    def double(self, column: Column, value: str) -> str:
        """A value of a numeric column as a double: moments in UTC milliseconds, cut towards 1970; booleans 0 and 1."""

    @abstractmethod
    def text(self, column: Column, value: str) -> str:
        """A value as text that is ordered by code points; booleans are `true` and `false`."""

    @abstractmethod
    def not_a_number(self, value: str) -> str:
        """Whether a double is NaN."""

    @abstractmethod
    def bytes_of(self, column: Column, value: str) -> str:
        """How many bytes a text (in UTF-8) or binary value has."""

    @abstractmethod
    def elements(self, lists: str, column: Column, level: int) -> str:
        """A SELECT of `x`, the elements of the lists `x` at `level` that the SELECT `lists` has; null lists have none."""

    @abstractmethod
    def length(self, column: Column, level: int, value: str) -> str:
        """How many elements a list has, null for a null list."""

    @abstractmethod
    def innermost(self, column: Column, value: str) -> str:
        """How many innermost elements a list of lists has."""

    def row_digest(self, columns: Sequence[Column]) -> str:  # noqa: ARG002
        """SHA-256, in hexadecimal, of a row's values written so that no two different rows are written alike."""
        raise InvalidInput(f"{self.name} describes data, and tells no digests of its rows.")

    def word(self, digest: str, place: int) -> str:  # noqa: ARG002
        """Eight hexadecimal digits of a digest, from the `place`-th on (from 1), as a whole number."""
        raise InvalidInput(f"{self.name} describes data, and tells no digests of its rows.")

    def present(self, value: str) -> str:
        """How many rows have a value."""
        return f"COUNT({value})"

    def table(self, name: str) -> str:
        """A table by the name that a person gives: parts with dots between them, each quoted."""
        return ".".join(self.quote(part) for part in name_parts(name))

    # --- what follows --------------------------------------------------------------------------------------------------

    def relation(self, source: str) -> str:
        """What stands after FROM for a table's name or a SELECT."""
        return f"({source.strip().rstrip(';')}\n) AS asked" if is_query(source) else self.table(source.strip())

    def where(self, relation: str, column: Column, text: str) -> str:
        """The rows of a relation in which a column, as text, is so."""
        return f"(SELECT * FROM {relation} WHERE {self.text(column, self.quote(column.name))} = {self.literal(text)}) AS part"

    @singledispatchmethod
    def write(self, operation: plan.Operation, relation: str) -> str:
        """The statement that answers an operation over a relation."""
        raise TypeError(f"{type(operation).__name__} is no operation of the plan ({relation})")

    @write.register
    def _(self, operation: plan.Presence, relation: str) -> str:
        counts = ["COUNT(*) AS n", *(f"{self.present(self.quote(column.name))} AS p{place}"
                                     for place, column in enumerate(operation.columns))]  # fmt: skip
        return f"SELECT {', '.join(counts)} FROM {relation}"

    @write.register
    def _(self, operation: plan.Totals, relation: str) -> str:
        told = ", ".join(self._totals(f"v{place}") for place in range(len(operation.columns)))
        return f"SELECT {told} FROM ({self._wide(operation.columns, relation)}) AS t"

    @write.register
    def _(self, operation: plan.Sums, relation: str) -> str:
        sums = ", ".join(f"SUM({self._centred(f'v{place}', term)})" for place, term in enumerate(operation.of))
        return f"SELECT {sums} FROM ({self._wide([term.column for term in operation.of], relation)}) AS t"

    @write.register
    def _(self, operation: plan.Bins, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, b, COUNT(*) AS n, MIN(v) AS least, MAX(v) AS most FROM "
            f"(SELECT v, {self.bin(one.edges, '<=' if one.upper else '<')} AS b "
            f"FROM ({self.doubles(one.column, relation)}) AS t WHERE {self._within(one)}) AS g GROUP BY b"
            for place, one in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Numbers, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, v, COUNT(*) AS n FROM ({self.doubles(one.column, relation)}) AS t "
            f"WHERE {' OR '.join(f'(v >= {self.number(low)} AND v <= {self.number(high)})' for low, high in one.spans)} "
            f"GROUP BY v"
            for place, one in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Groups, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, COUNT(*) AS d, SUM(n) AS n, SUM(n * s) AS s, MIN(s) AS least, MAX(s) AS most "
            f"FROM (SELECT n, {self.bytes_of(column, 'v')} AS s FROM ({self._grouped(column, relation)}) AS g) AS h"
            for place, column in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Top, relation: str) -> str:
        return self._union(
            f"(SELECT {place} AS c, v, n FROM ({self._grouped(one.column, relation)}) AS g WHERE n >= {one.at_least:d} "
            f"ORDER BY n DESC, v {'ASC' if one.earlier else 'DESC'} LIMIT {one.most:d})"
            for place, one in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Repeats, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, n, COUNT(*) AS d FROM ({self._grouped(column, relation)}) AS g GROUP BY n"
            for place, column in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Among, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, v, COUNT(*) AS n FROM ({self.texts(one.column, relation)}) AS t "
            f"WHERE v IN ({', '.join(self.literal(text) for text in one.texts)}) GROUP BY v"
            for place, one in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Lengths, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, l, COUNT(*) AS n FROM (SELECT {self._count_in(column)} AS l FROM {relation} "
            f"WHERE {self.quote(column.name)} IS NOT NULL) AS t GROUP BY l"
            for place, column in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Levels, relation: str) -> str:
        return self._union(
            f"SELECT {place} AS c, l, COUNT(*) AS n FROM (SELECT {self.length(one.column, one.level, 'x')} AS l "
            f"FROM ({self.lists(one.column, relation, one.level)}) AS t) AS u GROUP BY l"
            for place, one in enumerate(operation.of)
        )

    @write.register
    def _(self, operation: plan.Failing, relation: str) -> str:
        counts = ", ".join(f"SUM(CASE WHEN NOT ({condition}\n) THEN 1 ELSE 0 END)" for condition in operation.of)
        return f"SELECT {counts} FROM {relation}"

    @write.register
    def _(self, operation: plan.Fingerprint, relation: str) -> str:
        """Sums of words of the digests of rows: the same in any order of rows, and exact up to 2^31 of them on every engine."""
        sums = ", ".join(f"SUM({self.word('h', 8 * place + 1)})" for place in range(8))
        digests = f"SELECT {self.row_digest(operation.columns)} AS h FROM {relation}"
        return f"SELECT COUNT(*), {sums} FROM ({digests}) AS d"

    def bin(self, edges: Sequence[float], below: str) -> str:
        """The number of the bin of `v`, by halves: ten comparisons for a thousand edges."""

        def among(first: int, last: int) -> str:
            if first == last:
                return str(first)
            middle = (first + last) // 2
            return (
                f"CASE WHEN v {below} {self.number(edges[middle])} THEN {among(first, middle)} "
                f"ELSE {among(middle + 1, last)} END"
            )

        return among(0, len(edges))

    def doubles(self, column: Column, relation: str) -> str:
        """A SELECT of `v`: values as doubles, out of lists."""
        return self._values(column, relation, self.double)

    def texts(self, column: Column, relation: str) -> str:
        """A SELECT of `v`: values as text (binary as it is), out of lists."""
        return self._values(column, relation, self._as_told)

    def lists(self, column: Column, relation: str, level: int) -> str:
        """A SELECT of `x`: the lists of a column at a level, or the values at its depth."""
        found = f"SELECT {self.quote(column.name)} AS x FROM {relation}"
        for above in range(level):
            found = self.elements(found, column, above)
        return found

    # --- pieces --------------------------------------------------------------------------------------------------------

    def _as_told(self, column: Column, value: str) -> str:
        return value if column.kind is Kind.BINARY else self.text(column, value)

    def _values(self, column: Column, relation: str, told: object) -> str:
        assert callable(told)
        if not column.depth:
            return f"SELECT {told(column, self.quote(column.name))} AS v FROM {relation}"
        return f"SELECT {told(column, 'x')} AS v FROM ({self.lists(column, relation, column.depth)}) AS e"

    def _wide(self, columns: Sequence[Column], relation: str) -> str:
        if any(column.depth for column in columns):
            (only,) = columns
            return f"SELECT v AS v0 FROM ({self.doubles(only, relation)}) AS w"
        values = [f"{self.double(column, self.quote(column.name))} AS v{i}" for i, column in enumerate(columns)]
        return f"SELECT {', '.join(values)} FROM {relation}"

    def _count_in(self, column: Column) -> str:
        name = self.quote(column.name)
        return self.length(column, 0, name) if column.depth == 1 else self.innermost(column, name)

    def _finite(self, value: str) -> str:
        return f"{value} >= {self.number(-_LARGEST)} AND {value} <= {self.number(_LARGEST)}"

    def _totals(self, v: str) -> str:
        finite, nan = self._finite(v), self.not_a_number(v)
        counted = (
            nan,
            f"{v} < {self.number(-_LARGEST)}",
            f"{v} > {self.number(_LARGEST)} AND NOT {nan}",
            f"{v} = 0",
            finite,
        )
        sums = ", ".join(f"SUM(CASE WHEN {what} THEN 1 ELSE 0 END)" for what in counted)
        return f"COUNT({v}), {sums}, MIN(CASE WHEN {finite} THEN {v} END), MAX(CASE WHEN {finite} THEN {v} END)"

    def _centred(self, v: str, term: plan.Centred) -> str:
        away = f"({v} - {self.number(term.centre)})"
        share = f"({away} / {self.number(term.width)})"
        powered = " * ".join([share] * term.power)
        near = f"ABS({away}) <= {self.number(max(term.width * _NEGLIGIBLE, sys.float_info.min))}"
        return f"CASE WHEN {self._finite(v)} THEN CASE WHEN {near} THEN 0 ELSE {powered} END END"

    def _within(self, one: plan.Binned) -> str:
        if one.upper:
            return f"v IS NOT NULL AND NOT {self.not_a_number('v')}"
        return f"v >= {self.number(one.low)} AND v <= {self.number(one.high)}"

    def _grouped(self, column: Column, relation: str) -> str:
        values = self.texts(column, relation)
        return f"SELECT v, COUNT(*) AS n FROM ({values}) AS t WHERE v IS NOT NULL GROUP BY v"

    def _union(self, selects: Iterable[str]) -> str:
        return "\nUNION ALL\n".join(selects)


def is_query(source: str) -> bool:
    """Whether a source is a SELECT rather than the name of a table."""
    words = source.split(None, 1)
    return len(words) > 1 and words[0].upper() in {"SELECT", "WITH", "FROM", "VALUES"}


def name_parts(name: str) -> list[str]:
    """The parts of a table's name: `sales."odd.name"` has two. A doubled quote inside quotes is one."""
    parts, held, quoted = [], "", ""
    characters = iter(range(len(name)))
    for at in characters:
        character = name[at]
        if quoted:
            if character != quoted:
                held += character
            elif name[at + 1 : at + 2] == quoted:
                held += character
                next(characters)
            else:
                quoted = ""
        elif character in {'"', "`"} and not held:
            quoted = character
        elif character == ".":
            parts.append(held)
            held = ""
        else:
            held += character
    return [*parts, held]


def doubled(text: str, quote: str) -> str:
    """Text between quotes, those in it doubled: how standard SQL quotes both names and texts."""
    return quote + text.replace(quote, quote * 2) + quote


def exact(value: float) -> str:
    """The shortest decimal that reads back as the same double; it always has a point or an exponent."""
    assert math.isfinite(value)
    return repr(float(value))
