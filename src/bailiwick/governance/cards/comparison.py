"""Does a saved card still say what the platform says? Any form of a card is held against the same form as it is now."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.governance.cards.model import ModelCard, content_digest

MOST_BYTES = 16 << 20
MOST_PAIRS = 4_000_000
_NAMING = ("bom-ref", "ref", "field", "key", "name", "topic", "snapshot", "column", "slice", "type", "direction")
_DIGEST = re.compile(r"Card digest.{1,40}?\b([0-9a-f]{64})\b", re.DOTALL)
_BLOCKS = frozenset(
    {"p", "div", "tr", "li", "dt", "dd", "h1", "h2", "h3", "h4", "section", "figure", "summary", "footer"}
)
_UNSEEN = frozenset({"style", "head", "svg"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same; None on the side that does not have it."""

    path: str
    saved: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `edited`: the file's content is not what its own digest says, so somebody changed it since."""

    form: str
    saved_digest: str
    digest: str
    edited: bool
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether the file says exactly what the platform says."""
        return not self.edited and not self.differences


def form_of(data: bytes) -> str:
    """`json`, `cyclonedx`, `html`, `markdown` or `text`, by content. Raises InvalidInput for what is no text at all."""
    text = _decoded(data).lstrip()
    if text.startswith("{"):
        return "cyclonedx" if _object(text).get("bomFormat") == "CycloneDX" else "json"
    if text[:15].lower().startswith("<!doctype html"):
        return "html"
    return "markdown" if text.startswith("---") else "text"


def compare(card: ModelCard, data: bytes, *, form: str, written: str) -> Comparison:
    """`written` is the card as it is now, in the file's form. Raises InvalidInput for the card of another version."""
    text = _decoded(data)
    if form in {"json", "cyclonedx"}:
        try:
            return _compare_objects(card, _object(text), _object(written), form)
        except RecursionError as error:
            raise InvalidInput("This is not a model card: it is nested deeper than any card.") from error
    told = _DIGEST.findall(text)
    if not told:
        raise InvalidInput("This is not a model card: it names no card digest.")
    if form == "html":
        before, after = _text_of(text), _text_of(written)
    else:
        before, after = text.splitlines(), written.splitlines()
    if _title(before, form) != _title(after, form):
        raise InvalidInput(f"This is the card of {_title(before, form)!r}, not of {card.title!r}.")
    differences = tuple(_line_differences(before, after))
    named = told[-1]  # it stands at the end, where no statement can say another
    edited = bool(differences or text != written) and named == card.digest
    return Comparison(form, named, card.digest, edited, differences)


def _title(lines: list[str], form: str) -> str:
    """The first line of a text or a page; the first heading of Markdown, which comes after the front matter."""
    return next((each.removeprefix("# ") for each in lines if form != "markdown" or each.startswith("# ")), "")


def _compare_objects(card: ModelCard, saved: dict[str, Any], now: dict[str, Any], form: str) -> Comparison:
    if _subject(saved, form) != _subject(now, form):
        model, number = _subject(saved, form)
        raise InvalidInput(f"This is the card of '{model}, version {number}', not of {card.title!r}.")
    if form == "json":
        digest = str(saved.get("digest", ""))
        edited = _digest_of(saved) != digest
    else:
        known = {str(each.get("name")): str(each.get("value")) for each in _properties(saved)}
        digest = known.get("bailiwick:card-digest", "")
        edited = digest == card.digest and saved != now
    before, after = dict(_leaves(saved)), dict(_leaves(now))
    differences = tuple(
        Difference(path, before.get(path), after.get(path))
        for path in dict.fromkeys((*before, *after))
        if before.get(path) != after.get(path)
    )
    return Comparison(form, digest, card.digest, edited, differences)


def _subject(document: Mapping[str, Any], form: str) -> tuple[str, str]:
    """Model and version that a document is about."""
    if form == "json":
        return str(document.get("model")), str(document.get("number"))
    component = _component(document)
    return str(component.get("name")), str(component.get("version"))


def _digest_of(document: dict[str, Any]) -> str:
    try:
        return content_digest(document)
    except InvalidInput:  # numbers that no card of ours holds
        return ""


def _properties(bom: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = _component(bom).get("properties")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _component(bom: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = bom.get("metadata")
    component = metadata.get("component") if isinstance(metadata, Mapping) else None
    return component if isinstance(component, Mapping) else {}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value by its path; items of a list go by what names them, so that one that is added moves no other."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        seen: dict[str, int] = {}
        for each in value:
            name = _name(each)
            seen[name] = seen.get(name, 0) + 1
            again = f" #{seen[name]}" if seen[name] > 1 else ""
            yield from _leaves(each, f"{path}[{name}{again}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _name(item: Any) -> str:
    if isinstance(item, Mapping):
        return " ".join(str(item[key]) for key in _NAMING if item.get(key) not in (None, ""))
    return ""


def _line_differences(before: list[str], after: list[str]) -> Iterator[Difference]:
    """Lines that changed, side by side where that is affordable; an enormous difference is told without pairing."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    heading = _heading(before[:start])
    if (len(before) - start) * (len(after) - start) > MOST_PAIRS:
        gone, new = Counter(before[start:]), Counter(after[start:])
        yield from (Difference(heading, text, None) for text in gone - new)
        yield from (Difference(heading, None, text) for text in new - gone)
        return
    for tag, first, end, other, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            heading = _heading(before[first:end]) or heading
            continue
        for index in range(max(end - first, last - other)):
            saved = before[first + index] if first + index < end else None
            now = after[other + index] if other + index < last else None
            yield Difference(heading or f"line {first + index + 1}", saved, now)


def _heading(lines: list[str]) -> str:
    return next((each.lstrip("# ") for each in reversed(lines) if each.startswith("#")), "")


class _Reader(HTMLParser):
    """What a page says, one line a block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines = [""]
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS:
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN
        if tag in {"td", "th"}:
            self.handle_data(" | ")
        if tag in _BLOCKS:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.lines[-1] += data


def _text_of(page: str) -> list[str]:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return [" ".join(each.split()) for each in reader.lines if each.strip(" |\n\t")]


def _decoded(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"A model card has at most {MOST_BYTES} bytes; this file has {len(data)}.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"This is not a model card: it is not UTF-8 text ({error.reason}).") from error


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is not a model card: its JSON cannot be read ({error}).") from error
    if not isinstance(found, dict):
        raise InvalidInput("This is not a model card: it is not a JSON object.")
    return found
