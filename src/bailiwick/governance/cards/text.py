"""A card as plain text for a terminal: aligned, one fact a line, what is not known at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import indent

from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.model import ModelCard
from bailiwick.governance.cards.wording import (
    attribution,
    bindings,
    bounds,
    dataset_facts,
    label,
    line,
    said_of,
    shown,
    visible,
)

WIDEST = 36


def text(card: ModelCard) -> str:
    """The whole card; every line break in it is ours or one that a statement has."""
    parts = [_heading(line(card.title), "="), _stated(card)]
    parts.append(_block("Metrics", _metrics(card)))
    for dataset in card.datasets:
        rows = [(name, told, attribution(dataset.source)) for name, told in dataset_facts(dataset)]
        parts.append(_block(f"Data for {dataset.role}", rows))
    parts += [
        _block(each.title, [(fact.name, shown(fact.value), attribution(fact.source)) for fact in each.facts])
        for each in card.sections
    ]
    tensors = [
        (f"{each.direction} {each.name}", f"{each.datatype} {each.shape}".strip(), attribution(each.source))
        for each in card.tensors
    ]
    parts.append(_block("Inputs and outputs", tensors))
    packages = [
        (each.name, f"{each.version}  {each.licence}".strip(), attribution(each.source)) for each in card.packages
    ]
    parts.append(_block("Packages", packages))
    parts.append(_block("Not known", [(each.topic, each.text, "") for each in card.gaps]))
    parts.append(_block("Bound to", [(name, value, "") for name, value in bindings(card)]).rstrip("\n"))
    return "\n".join(part for part in parts if part) + "\n"


def _stated(card: ModelCard) -> str:
    parts = [_heading("In words", "-")]
    for answer in card.answers:
        words = "\n".join(visible(each) for each in answer.text.split("\n"))
        parts.append(f"{answer.title}\n{indent(words, '  ')}\n  [{line(said_of(answer))}]\n")
    if card.unanswered:
        asked = [f"{FIELDS[key].title}{' (required)' if key in card.missing else ''}" for key in card.unanswered]
        parts.append(f"Nobody has stated: {', '.join(asked)}.\n")
    return "\n".join(parts)


def _metrics(card: ModelCard) -> Iterable[tuple[str, str, str]]:
    for each in card.metrics:
        where = f" [{each.column} = {each.slice or '(missing)'}]" if each.column else ""
        interval = f" ({bounds(each)} at 95 %)" if bounds(each) else ""
        rows = f", {each.rows:,} rows" if each.rows is not None else ""
        yield f"{label(each.name)}{where}", f"{shown(each.value)}{interval}{rows}", attribution(each.source)


def _block(title: str, rows: Iterable[tuple[str, str, str]]) -> str:
    lines: Sequence[tuple[str, str, str]] = [(line(a), line(b), line(c)) for a, b, c in rows]
    if not lines:
        return ""
    size = min(max(len(name) for name, _, _ in lines), WIDEST)
    sources = {source for _, _, source in lines}
    shared = f"  [{sources.pop()}]" if len(sources) == 1 and lines[0][2] else ""
    told = [
        f"  {name:<{size}}  {value}{'' if shared or not source else f'  [{source}]'}" for name, value, source in lines
    ]
    return "\n".join([_heading(line(title), "-"), *([shared] if shared else []), *(each.rstrip() for each in told), ""])


def _heading(title: str, rule: str) -> str:
    return f"{title}\n{rule * len(title)}"
