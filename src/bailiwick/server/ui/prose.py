"""Notes as people write them, in a small and safe part of Markdown: whatever is not understood stays text.

Nothing of a note becomes markup by itself: every piece is escaped, and links lead to http, https and mail addresses only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

NOTE_TAG = "mlflow.note.content"
"""The tag in which MLflow's clients keep the note of a run or an experiment."""

MAX_SHOWN = 20_000

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_BULLET = re.compile(r"\s{0,3}[-*+]\s+(.*)")
_NUMBERED = re.compile(r"\s{0,3}\d{1,4}[.)]\s+(.*)")
_QUOTE = re.compile(r"\s{0,3}>\s?(.*)")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_RULE = re.compile(r"\s{0,3}([-*_])(?:\s*\1){2,}\s*")
_CELLS = re.compile(r"(?<!\\)\|")
_DASHES = re.compile(r"[\s|:\-]+")
_SPAN = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<strong>[^*\n]+)\*\*"
    r"|(?<![\w*])[*_](?P<emphasis>[^*_\n]+)[*_](?![\w*])"
    r"|\[(?P<label>[^\[\]\n]*)\]\((?P<target>[^\s()]+)\)"
    r"|(?P<url>https?://[^\s<>()\[\]\"'`]+)"
)
_SAFE = re.compile(r"(?:https?://|mailto:)\S+", re.IGNORECASE)


def prose(text: str) -> Markup:
    """A note as HTML; the part past 20,000 characters is left out, and that is said."""
    cut = len(text) > MAX_SHOWN
    lines = text[:MAX_SHOWN].replace("\r\n", "\n").split("\n")
    blocks = list(_blocks(lines))
    if cut:
        blocks.append(Markup('<p class="muted">The rest of the note is not shown; the tag has all of it.</p>'))
    return Markup("\n").join(blocks)


def _blocks(lines: Sequence[str]) -> Iterator[Markup]:
    at = 0
    while at < len(lines):
        line = lines[at]
        heading = _HEADING.fullmatch(line)
        if _FENCE.match(line):
            end = next((each for each in range(at + 1, len(lines)) if _FENCE.match(lines[each])), len(lines))
            yield Markup('<pre tabindex="0"><code>{}</code></pre>').format("\n".join(lines[at + 1 : end]))
            at = end + 1
        elif not line.strip():
            at += 1
        elif heading:
            level = "h3" if len(heading[1]) < 3 else "h4"
            yield Markup("<{0}>{1}</{0}>").format(level, _inline(heading[2].rstrip("# ")))
            at += 1
        elif _RULE.fullmatch(line):
            yield Markup("<hr>")
            at += 1
        else:
            block, at = _run(lines, at)
            yield block


def _run(lines: Sequence[str], at: int) -> tuple[Markup, int]:
    """A list, a quote, a table or a paragraph that begins here, and the line after it."""
    for kind, tag in ((_BULLET, "ul"), (_NUMBERED, "ol"), (_QUOTE, "blockquote")):
        if kind.fullmatch(lines[at]):
            end = at
            found = []
            while end < len(lines) and (match := kind.fullmatch(lines[end])):
                found.append(match[1])
                end += 1
            return _listed(found, tag), end
    if "|" in lines[at] and at + 1 < len(lines) and "-" in lines[at + 1] and _DASHES.fullmatch(lines[at + 1]):
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        return _table([lines[at], *lines[at + 2 : end]]), end
    end = at + 1
    while end < len(lines) and lines[end].strip() and not _begins(lines[end]):
        end += 1
    text = Markup("<br>").join(_inline(line.strip()) for line in lines[at:end])
    return Markup('<p dir="auto">{}</p>').format(text), end


def _begins(line: str) -> bool:
    return any(kind.match(line) for kind in (_HEADING, _FENCE, _QUOTE)) or bool(
        _BULLET.fullmatch(line) or _NUMBERED.fullmatch(line)
    )


def _listed(found: Sequence[str], tag: str) -> Markup:
    if tag == "blockquote":
        return Markup("<blockquote><p>{}</p></blockquote>").format(Markup("<br>").join(_inline(each) for each in found))
    items = Markup("").join(Markup("<li>{}</li>").format(_inline(each)) for each in found)
    return Markup("<{0}>{1}</{0}>").format(tag, items)


def _table(lines: Sequence[str]) -> Markup:
    head, *rows = [[_inline(cell.strip()) for cell in _CELLS.split(line.strip().strip("|"))] for line in lines]

    def row(cells: Sequence[Markup], tag: str) -> Markup:
        made = Markup("").join(Markup("<{0}>{1}</{0}>").format(tag, cell) for cell in cells)
        return Markup("<tr>{}</tr>").format(made)

    body = Markup("").join(row(cells, "td") for cells in rows)
    return Markup(
        '<div class="table-wrap" tabindex="0" role="region" aria-label="Table of the note">'
        '<table class="list compact"><thead>{}</thead><tbody>{}</tbody></table></div>'
    ).format(row(head, "th"), body)


def _inline(text: str) -> Markup:
    pieces, at = [], 0
    for found in _SPAN.finditer(text):
        pieces.append(escape(text[at : found.start()]))
        pieces.append(_piece(found))
        at = found.end()
    return Markup("").join([*pieces, escape(text[at:])])


def _piece(found: re.Match[str]) -> Markup:
    if found["code"]:
        return Markup("<code>{}</code>").format(found["code"])
    if found["strong"]:
        return Markup("<strong>{}</strong>").format(found["strong"])
    if found["emphasis"]:
        return Markup("<em>{}</em>").format(found["emphasis"])
    target = found["url"] or found["target"]
    if not _SAFE.fullmatch(target):
        return escape(found[0])
    link = Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>')
    return link.format(target, found["label"] or target)
