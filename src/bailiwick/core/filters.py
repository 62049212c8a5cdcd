"""The search language of MLflow clients, parsed: `metrics.auc > 0.8 AND tags.team = 'core'`, and `params.lr DESC`.

Only the grammar lives here; which entities, keys and comparators make sense is for the domain that is searched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bailiwick.core.errors import InvalidInput, LimitExceeded

MAX_FILTER_LENGTH = 32_768
MAX_CLAUSES = 200

Value = str | int | float | tuple[str, ...] | None

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w[\w\-]*")
_QUOTED = re.compile(r'`[^`]*`|"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'')
_KEY = re.compile(r'`[^`]+`|"[^"]+"|\'[^\']+\'|[\w\-./:]+')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)(?![\w.])")
_COMPARATOR = re.compile(
    r"!=|<>|>=|<=|=|>|<|(?:NOT\s+IN|IS\s+NOT\s+NULL|IS\s+NULL|NOT\s+LIKE|ILIKE|RLIKE|LIKE|IN)\b", re.IGNORECASE
)
_AND = re.compile(r"AND\b", re.IGNORECASE)
_DIRECTION = re.compile(r"(?:\s+(ASC|DESC))?\s*", re.IGNORECASE)
_IS_NULL = frozenset({"IS NULL", "IS NOT NULL"})
_IN = frozenset({"IN", "NOT IN"})


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison. `comparator` is upper case (`IN` and `NOT IN` have a tuple as value, `IS NULL` has None).

    `written` is a number as it was spelled, for those who take it for a text; "" for other values.
    """

    entity: str
    key: str
    comparator: str
    value: Value
    written: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Ordering:
    """One thing to sort by."""

    entity: str
    key: str
    ascending: bool


def parse_filter(text: str, *, entities: Mapping[str, str], default: str) -> tuple[Clause, ...]:
    """The clauses of a filter, all of which must hold; none for a blank text.

    `entities` maps each word that may stand before the dot to the name it has in the result; a key without an entity
    belongs to `default`. Raises InvalidInput saying where the text stops making sense.
    """
    if len(text) > MAX_FILTER_LENGTH:
        raise LimitExceeded(f"A filter has at most {MAX_FILTER_LENGTH} characters; this one has {len(text)}.")
    scanner = _Scanner(text)
    clauses: list[Clause] = []
    while not scanner.at_end():
        if clauses and not scanner.take(_AND):
            raise scanner.refusal("'AND'")
        clauses.append(_clause(scanner, entities, default))
        if len(clauses) > MAX_CLAUSES:
            raise LimitExceeded(f"A filter has at most {MAX_CLAUSES} clauses.")
    return tuple(clauses)


def parse_ordering(text: str, *, entities: Mapping[str, str], default: str) -> Ordering:
    """One item of an order_by list: a key, then ASC (which is understood) or DESC. Raises InvalidInput."""
    scanner = _Scanner(text)
    entity, key = _identifier(scanner, entities, default)
    found = _DIRECTION.fullmatch(text, scanner.position)
    if found is None:
        raise InvalidInput(f"order_by {text[:200]!r} must be a key, followed by ASC or DESC or by nothing.")
    return Ordering(entity, key, (found[1] or "ASC").upper() == "ASC")


def _clause(scanner: _Scanner, entities: Mapping[str, str], default: str) -> Clause:
    entity, key = _identifier(scanner, entities, default)
    found = scanner.take(_COMPARATOR)
    if not found:
        raise scanner.refusal("one of = != > >= < <= LIKE ILIKE IN 'NOT IN' 'IS NULL' 'IS NOT NULL'")
    comparator = " ".join(found.upper().split()).replace("<>", "!=")
    if comparator in _IS_NULL:
        return Clause(entity, key, comparator, None)
    if comparator in _IN:
        return Clause(entity, key, comparator, _listed(scanner))
    return Clause(entity, key, comparator, *_value(scanner))


def _identifier(scanner: _Scanner, entities: Mapping[str, str], default: str) -> tuple[str, str]:
    start = scanner.skip_space()
    word = _WORD.match(scanner.text, start)
    if word and scanner.text[word.end() : word.end() + 1] == ".":
        entity = entities.get(word[0])
        if entity is None:
            raise InvalidInput.choice("Search entity", word[0], entities)
        scanner.position = word.end() + 1
    else:
        entity = default
    key = scanner.take(_KEY)
    if not key:
        raise scanner.refusal("a key, in backticks if it has spaces")
    return entity, key[1:-1] if key[0] in "`\"'" else key


def _value(scanner: _Scanner) -> tuple[str | int | float, str]:
    """A value, and how it was written if it is a number."""
    quoted = scanner.take(_QUOTED)
    if quoted:
        return _unquoted(quoted), ""
    number = scanner.take(_NUMBER)
    if not number:
        raise scanner.refusal("a number, or a text in quotes")
    try:
        return int(number), number
    except ValueError:
        return float(number), number


def _listed(scanner: _Scanner) -> tuple[str, ...]:
    if not scanner.take(re.compile(r"\(")):
        raise scanner.refusal("a list like ('a', 'b')")
    values: list[str] = []
    while True:
        quoted = scanner.take(_QUOTED)
        if not quoted:
            raise scanner.refusal("a text in quotes")
        values.append(_unquoted(quoted))
        if scanner.take(re.compile(r"\)")):
            return tuple(values)
        if not scanner.take(re.compile(r",")):
            raise scanner.refusal("',' or ')'")


def _unquoted(quoted: str) -> str:
    mark, inner = quoted[0], quoted[1:-1]
    return inner if mark == "`" else inner.replace(mark * 2, mark)


class _Scanner:
    """A text and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip_space(self) -> int:
        found = _SPACE.match(self.text, self.position)
        if found:
            self.position = found.end()
        return self.position

    def at_end(self) -> bool:
        return self.skip_space() == len(self.text)

    def take(self, pattern: re.Pattern[str]) -> str:
        """What matches here, after white space; empty when it does not."""
        found = pattern.match(self.text, self.skip_space())
        if not found:
            return ""
        self.position = found.end()
        return found[0]

    def refusal(self, wanted: str) -> InvalidInput:
        rest = self.text[self.position :]
        found = repr(rest[:40]) if rest else "the end"
        return InvalidInput(f"The filter {self.text[:200]!r} needs {wanted} where {found} stands.")
