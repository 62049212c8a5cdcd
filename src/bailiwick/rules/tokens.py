"""The words of an expression: names, signs, literals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<text>'[^']*'|"[^"]*"|`[^`]*`)|(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_$][\w$]*)"""
    r"""|(?P<sign>\.\.|==|!=|>=|<=|\?\?|[-+*/%^<>=?:;,.()\[\]{}\#!|&])|(?P<space>\s+)|(?P<other>.)""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, sign or literal."""

    kind: str
    text: str


def tokens_of(source: str) -> Iterator[Token]:
    """Words, signs and literals; of a template those of its expressions too."""
    for found in _TOKEN.finditer(source):
        kind = str(found.lastgroup)
        if kind == "space":
            continue
        yield Token(kind, found.group())
        if kind == "text" and found.group().startswith("`"):
            for inner in re.findall(r"\$\{([^}]*)\}", found.group()):
                yield Token("sign", ";")
                yield from tokens_of(inner)


def words_of(source: str) -> Iterator[str]:
    """Every name; of a template all words, for its expressions may hide from a reader of text."""
    for token in tokens_of(source):
        if token.kind == "name":
            yield token.text
        elif token.text.startswith("`"):
            yield from re.findall(r"[A-Za-z_$][\w$]*", token.text)
