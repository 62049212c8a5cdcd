"""What the text of an expression shows of types: of what it gives, and of the names that it reads."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.rules.tokens import Token, tokens_of

NUMBER, TEXT, TRUTH = "FP64", "BYTES", "BOOL"

_OF_TEXTS = frozenset(
    {"upper", "lower", "contains", "startsWith", "endsWith", "matches", "extract", "trim", "split", "d", "date"}
)
_OF_NUMBERS = frozenset({"round", "floor", "ceil", "abs", "min", "max"})
_ORDER = frozenset({"<", ">", "<=", ">="})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "^"})
_TRUTHS = _ORDER | {"==", "!=", "and", "or", "not", "in"}
_EQUAL = frozenset({"==", "!=", "in", "??"})
_GIVEN_BY = {
    **dict.fromkeys(("upper", "lower", "string", "trim"), TEXT),
    **dict.fromkeys((*_OF_NUMBERS, "number", "len", "trunc"), NUMBER),
    **dict.fromkeys(("bool", "contains", "startsWith", "endsWith", "matches"), TRUTH),
}
_NOTHING = Token("", "")
_LITERALS = {"text": TEXT, "number": NUMBER}


def literal(token: Token) -> str | None:
    """The type of a literal; None of what is none."""
    return TRUTH if token.text in {"true", "false"} else _LITERALS.get(token.kind)


def kind_of(source: str) -> str | None:
    """The type of what an expression gives, where its text shows that; None where it does not, or gives nothing."""
    tokens = list(tokens_of(source))
    signs = {token.text for token in tokens if token.kind in {"sign", "name"}}
    if "?" in signs:
        return _of_choice(tokens)
    if source.lstrip().startswith("`"):
        return TEXT
    if signs & _TRUTHS:
        return TRUTH
    if len(tokens) < 2:
        return literal(tokens[0]) if tokens else None
    if signs & _ARITHMETIC:
        return None if any(token.kind == "text" for token in tokens) else NUMBER
    return _GIVEN_BY.get(tokens[0].text) if tokens[1].text == "(" else None


def _of_choice(tokens: Sequence[Token]) -> str | None:
    """Of `a ? b : c`: the type of the literals that it ends in, if they agree."""
    ends = [place + 1 for place, token in enumerate(tokens) if token.text in {"?", ":"}]
    found = {literal(tokens[place]) for place in ends if place < len(tokens)} - {None}
    return found.pop() if len(found) == 1 else None


def compared(tokens: Sequence[Token]) -> frozenset[str]:
    """Types that the cell of a condition shows of what it is about."""
    if any(token.text in _OF_TEXTS for token in tokens):
        return frozenset({TEXT})
    return frozenset(filter(None, map(literal, tokens)))


def shown(tokens: Sequence[Token], start: int, end: int) -> frozenset[str]:
    """What the words beside the name that stands from `start` to `end` show of its type."""
    found = _shown(tokens, start, end)
    return frozenset({found} if found else ())


def _shown(tokens: Sequence[Token], start: int, end: int) -> str | None:
    before = tokens[start - 1].text if start else ""
    called = tokens[start - 2].text if start > 1 and before == "(" else ""
    after = [*(token for token in tokens[end : end + 3] if token.text != "not"), _NOTHING][0]
    if called in _OF_TEXTS:
        return TEXT
    if after.text in _EQUAL:
        there = (token for token in tokens[end + 1 :] if token.text not in {"[", "(", "in", "-", "=="})
        return literal(next(there, _NOTHING))
    if called in _OF_NUMBERS or after.text in _ORDER | {"*", "/", "%", "^"} or before in _ORDER | {"*", "/", "%"}:
        return NUMBER
    if {before, after.text} & _ARITHMETIC:
        return None if any(token.kind == "text" for token in tokens) else NUMBER
    return TRUTH if after.text == "?" or before == "not" or {before, after.text} & {"and", "or"} else None
