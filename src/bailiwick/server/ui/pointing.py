"""What a model's aliases and stages meant when: one history of both, as lines of a table and as bars of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bailiwick.registry.model import AliasChange, Stage, StageChange
from bailiwick.server.ui import links
from bailiwick.server.ui.charts import Span

Changed = TypeVar("Changed", AliasChange, StageChange)

_ORDER = {stage: place for place, stage in enumerate((Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED))}
_DEEDS = {
    "set": "set",
    "rolled_back": "rolled back",
    "removed": "removed",
    "version_deleted": "version deleted",
}


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the history: `name` is `@champion` or a stage; what it came from and went to, None for nothing."""

    time: int
    name: str
    deed: str
    before: str
    before_href: str
    after: str
    after_href: str
    actor: str
    reason: str


def moves_of(model: str, aliases: Iterable[AliasChange], stages: Iterable[StageChange]) -> list[Move]:
    """Every change, the newest first."""
    found = [
        Move(
            each.time,
            f"@{each.alias}",
            _DEEDS.get(each.action, each.action),
            *_version(model, each.previous),
            *_version(model, each.number),
            each.actor,
            each.reason,
        )
        for each in aliases
    ]
    found += [
        Move(
            each.time,
            f"v{each.number}",
            _DEEDS.get(each.action, each.action),
            each.previous,
            "",
            each.stage,
            links.version(model, each.number),
            each.actor,
            each.reason,
        )
        for each in stages
    ]
    return sorted(found, key=lambda move: move.time)[::-1]


def spans_of(model: str, aliases: Sequence[AliasChange], stages: Sequence[StageChange]) -> list[Span]:
    """Stretches in which an alias meant a version, or a version was at a stage: aliases by name, then stages."""
    of_aliases = [
        _span(model, f"@{name}", number, change, end)
        for name in sorted({each.alias for each in aliases})
        for change, end in _stretches([each for each in aliases if each.alias == name])
        if (number := change.number) is not None
    ]
    of_stages = [
        _span(model, change.stage, change.number, change, end)
        for number in sorted({each.number for each in stages})
        for change, end in _stretches([each for each in stages if each.number == number])
        if change.stage != Stage.NONE
    ]
    of_stages.sort(key=lambda span: (_ORDER.get(Stage(span.row), len(_ORDER)), span.start))
    return [*of_aliases, *of_stages]


def _stretches(changes: Sequence[Changed]) -> list[tuple[Changed, int | None]]:
    """Each change with the time of the next, None for the last."""
    ends: list[int | None] = [each.time for each in changes[1:]]
    return list(zip(changes, [*ends, None], strict=True)) if changes else []


def _span(model: str, row: str, number: int, change: AliasChange | StageChange, end: int | None) -> Span:
    said = f"Set by {change.actor}{f': {change.reason}' if change.reason else ''}"
    return Span(row, f"v{number}", change.time, end, said, links.version(model, number))


def _version(model: str, number: int | None) -> tuple[str, str]:
    return ("", "") if number is None else (f"v{number}", links.version(model, number))
