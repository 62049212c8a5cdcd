"""Text in columns: tables that fit the terminal, numbers to the right, long text wrapped, nothing that could steer a terminal."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence

GAP = "  "
LEAST = 8
"""Fewest characters of a column that is narrowed; a table on a narrower terminal runs over its edge."""


def width() -> int:
    """Columns of the terminal (or `COLUMNS`); where output goes to a file or a pipe nothing is wrapped, for grep's sake."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 10_000, 24)).columns


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, room: int, below: str = "") -> list[str]:
    """The lines of a table, the header first. The text of column `below` stands under its row, over the whole width."""
    kept = [place for place, name in enumerate(columns) if not below or name != below]
    cells = [[cell(value) for value in row] for row in rows]
    numeric = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in kept]
    widths = _fit([max(cells_of(line[place]) for line in [list(columns), *cells]) for place in kept], room)
    lines = _row([columns[place] for place in kept], widths, numeric)
    for line in cells:
        lines += _row([line[place] for place in kept], widths, numeric)
        if below and line[columns.index(below)]:
            lines += paragraph(line[columns.index(below)], room=room)
    return lines


def paragraph(text: str, *, room: int, indent: str = "    ") -> list[str]:
    """Wrapped and indented lines of a text; its own line breaks are kept."""
    return [indent + line for line in wrapped(text, max(room, 40) - len(indent))]


def wrapped(text: str, size: int) -> list[str]:
    """Lines of at most `size` terminal cells, broken between words, and within a word that is longer than a line."""
    lines = []
    for part in text.splitlines() or [""]:
        line = ""
        for word in part.split():
            joined = f"{line} {word}" if line else word
            if cells_of(joined) <= size:
                line = joined
                continue
            lines += [line] if line else []
            *full, line = _chopped(word, size)
            lines += full
        lines.append(line)
    return lines


def cell(value: object) -> str:
    """A value as people read it: four digits of a fraction, thousands in groups, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 10_000 <= abs(value) < 1e9 else f"{value:.4g}"
    return plain(str(value))


def plain(text: str) -> str:
    """The text without anything a terminal would obey: control and direction characters are spelt out, as in Python."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _fit(widths: list[int], room: int) -> list[int]:
    """Narrow the widest column, again and again, until the row fits."""
    fitted = list(widths)
    while sum(fitted) + len(GAP) * (len(fitted) - 1) > room and max(fitted) > LEAST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> list[str]:
    """One row; a cell that is wider than its column goes on in the lines below."""
    broken = [_broken(text, size) for text, size in zip(cells, widths, strict=True)]
    lines = []
    for place in range(max(map(len, broken))):
        parts = [
            _padded(texts[place] if place < len(texts) else "", size, right=right)
            for texts, size, right in zip(broken, widths, numeric, strict=True)
        ]
        lines.append(GAP.join(parts).rstrip())
    return lines


def _broken(text: str, size: int) -> list[str]:
    return [text] if cells_of(text) <= size and "\n" not in text else wrapped(text, size)


def _chopped(word: str, size: int) -> list[str]:
    """The word in pieces that fit."""
    pieces = [""]
    for letter in word:
        if cells_of(pieces[-1] + letter) > size:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _padded(text: str, size: int, *, right: bool) -> str:
    space = " " * max(0, size - cells_of(text))
    return space + text if right else text + space


def cells_of(text: str) -> int:
    """Terminal cells of a text: wide East Asian letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
