"""What an expression of a rule says, read from its text: what it refers to, what types it shows, and what it may not do.

The engine itself says whether it can be parsed. That is asked here, when a version is registered, for the engine takes a
cell that cannot be parsed for one that does not hit, and says nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.rules.document import Text
from bailiwick.rules.kinds import compared, shown
from bailiwick.rules.tokens import tokens_of

if TYPE_CHECKING:
    import zen
else:
    zen = deferred("zen")


_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})
_LOOPS = frozenset({"map", "filter", "flatMap", "some", "all", "none", "one", "count"})
_LOOP = re.compile(rf"\b({'|'.join(sorted(_LOOPS))})\s*\(")
_CHANGING = re.compile(r"\brand\s*\(|\bd\s*\(\s*\)|['\"`]now['\"`]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that an expression refers to: `path` with dots; `kinds` are the types that its use shows.

    `root` is empty, `$` (the node itself, or the value that is compared) or the node that is named by `$nodes`.
    """

    path: str
    root: str = ""
    kinds: frozenset[str] = frozenset()


def check_text(text: Text) -> None:
    """Raises InvalidInput for what cannot be parsed, what would not always give the same, and what may grow without end."""
    source = text.source.strip()
    if not source:
        return
    # `zen.validate_unary_expression` reads a condition as a whole expression, and refuses `> 10`; compiling reads it right.
    try:
        if text.unary:
            zen.compile_unary_expression(source)
        else:
            zen.compile_expression(source)
    except Exception as error:  # the engine's errors have no class but this
        hint = "An empty cell stands for any value." if source == "-" else ""
        raise InvalidInput(f"{_at(text)} cannot be read: {_reason(error)}.", hint=hint) from error
    if _CHANGING.search(source):
        raise InvalidInput(
            f"{_at(text)} gives something else at another time, and a prediction must be explainable later.",
            hint="Take the moment as an input.",
        )
    tokens = list(tokens_of(source))
    for place, token in enumerate(tokens):
        called = token.kind == "name" and [each.text for each in tokens[place + 1 : place + 2]] == ["("]
        hidden = token.text.startswith("`") and ("#" in token.text or _LOOP.search(token.text))
        if token.text == "#" or (called and token.text in _LOOPS) or hidden:
            raise InvalidInput(
                f"{_at(text)} loops over a list, and a loop over a long one would stop the whole server."
            )
        if token.text == "{":
            raise InvalidInput(f"{_at(text)} makes an object, and an output here is one value.")


def references_of(text: Text) -> list[Reference]:
    """Names that are read, in order. The field that a condition's cell is compared with is one of them."""
    tokens = list(tokens_of(text.source))
    found = _of_field(text, compared(tokens)) if text.unary else []
    local = {
        tokens[place].text
        for place in range(len(tokens) - 1)
        if tokens[place].kind == "name" and tokens[place + 1].text == "="
    }
    place = 0
    while place < len(tokens):
        token, start = tokens[place], place
        place += 1
        if token.kind != "name" or token.text in _WORDS or token.text in local:
            continue
        path = [token.text]
        while place + 1 < len(tokens) and tokens[place].text == ".":
            path.append(tokens[place + 1].text)
            place += 2
        if place < len(tokens) and tokens[place].text == "(" and len(path) == 1:
            continue
        root = ""
        if path[0] == "$nodes":
            if len(path) == 1 and place + 2 < len(tokens) and tokens[place].text == "[":
                path.append(tokens[place + 1].text[1:-1])
                place += 3
                while place + 1 < len(tokens) and tokens[place].text == ".":
                    path.append(tokens[place + 1].text)
                    place += 2
            root, path = (path[1], path[2:]) if len(path) > 1 else ("$", [])
        elif path[0] in {"$root", "$"}:
            root, path = ("" if path[0] == "$root" else "$"), path[1:]
        if path:
            found.append(Reference(".".join(path), root, shown(tokens, start, place)))
    return found


def _of_field(text: Text, kinds: frozenset[str]) -> list[Reference]:
    """What a condition's column reads: a name as a rule, whose type the cells show, or any expression."""
    found = references_of(Text(text.node, text.place, text.field))
    plain = all(token.kind == "name" or token.text == "." for token in tokens_of(text.field))
    return [Reference(each.path, each.root, kinds) for each in found] if plain else found


def _reason(error: Exception) -> str:
    line = str(error).partition("\n")[0]
    try:
        return str(json.loads(line)["source"])[:300]
    except (ValueError, KeyError, TypeError):
        return line[:300]


def _at(text: Text) -> str:
    return str(text)[0].upper() + str(text)[1:]
