"""Dataset snapshots: what is in them, where they came from, who read them, and how one differs from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bailiwick.core.actor import Permission
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import BailiwickError
from bailiwick.data.distributions.listing import NARROWINGS, SORTS, Choice, count_moved
from bailiwick.data.distributions.model import Column, Slice
from bailiwick.data.model import Snapshot
from bailiwick.data.splits import splits_among
from bailiwick.lifecycle.inspection import found_before
from bailiwick.server.ui import links
from bailiwick.server.ui.column_parts import NARROWING_WORDS, SORT_WORDS, cards_of
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.views.monitor import KINDS

if TYPE_CHECKING:
    from bailiwick.data.distributions import slices
    from bailiwick.data.schema import text as schemas
else:  # the control plane loads what computes when somebody looks at columns
    slices = deferred("bailiwick.data.distributions.slices")
    schemas = deferred("bailiwick.data.schema.text")

PAGE = 50
OFFERED = 200
_LONGEST = 200


def listing(visit: Visit) -> Context:
    """Snapshots by dataset."""
    dataset = visit.query.get("dataset") or None
    return {
        "snapshots": visit.platform.data.snapshots(visit.workspace, dataset),
        "datasets": visit.platform.data.datasets(visit.workspace),
        "dataset": dataset,
    }


def snapshot(visit: Visit) -> Context:
    """One snapshot with what its columns hold, beside another where one is asked for, and the runs that read it."""
    found = visit.platform.data.snapshot(visit.workspace, visit.path["snapshot"])
    others = _others(visit, found)
    labels = visit.platform.data.labels(visit.workspace, found.id)
    splits, tags = splits_among(labels.tags)
    return {
        "snapshot": found,
        "labels": labels,
        "splits": splits,
        "tags": tags,
        "readers": visit.platform.tracking.runs_of_snapshot(visit.workspace, found.id),
        "inspection": found_before(visit.platform, visit.workspace, found.id),
        "alarms": visit.platform.data_alarms.about(visit.workspace, found.id),
        "kinds": KINDS,
        "may_acknowledge": visit.may(Permission.MONITORS_WRITE),
        "others": others,
        **_columns(visit, found),
    }


def _others(visit: Visit, found: Snapshot) -> list[Snapshot]:
    """What it can be compared with: snapshots of its own dataset first, the newest of each first."""
    kept = visit.platform.data.snapshots(visit.workspace)
    others = sorted((each for each in kept if each.id != found.id), key=lambda each: each.dataset != found.dataset)
    return others[:OFFERED]


def _columns(visit: Visit, found: Snapshot) -> Context:
    """The columns that are asked for, a page of them, and what stands above them."""
    query = visit.query
    against = query.get("against", "")
    baseline, problem = None, ""
    try:
        baseline = visit.platform.data.snapshot(visit.workspace, against) if against else None
        described = _described(visit, found, baseline)
    except BailiwickError as error:
        described, problem = None, error.message
        baseline = None
    first = "drift" if baseline else "source"
    choice = Choice(
        find=query.get("find", "")[:_LONGEST],
        sort=_one_of(query.get("sort", ""), SORTS, first),
        only=_one_of(query.get("only", ""), NARROWINGS, "all"),
    )
    columns = choice.of(described.columns) if described else []
    start = _start(query.get("from", ""), len(columns))
    return {
        "problem": problem,
        "described": described,
        "baseline": baseline,
        "choice": choice,
        "moved": count_moved(described.columns) if described and baseline else 0,
        "wrong": sum(bool(column.anomalies) for column in described.columns) if described else 0,
        "cards": cards_of(columns[start : start + PAGE]),
        "found": len(columns),
        "start": start,
        "earlier": _page(found, query, start - PAGE) if start else "",
        "later": _page(found, query, start + PAGE) if start + PAGE < len(columns) else "",
        "sorts": _offered(described.columns if described else (), compared=baseline is not None),
        "narrowings": NARROWING_WORDS,
    }


def _described(visit: Visit, found: Snapshot, baseline: Snapshot | None) -> Slice | None:
    """The columns by the statistics that were kept; None where none were."""
    if not found.statistics or (baseline and not baseline.statistics):
        return None
    data, blobs = visit.platform.data, visit.platform.blobs
    before = data.statistics(visit.workspace, baseline.id) if baseline else None
    schema = blobs.get(found.schema) if found.schema else b""
    return _kept(data.statistics(visit.workspace, found.id), before, found.columns, schema)


@lru_cache(maxsize=8)
def _kept(current: bytes, before: bytes | None, types: tuple[tuple[str, str], ...], schema: bytes) -> Slice:
    """Searching and paging ask for the same again and again; what it is made of never changes."""
    against = schemas.parse_schema(schema.decode(), "The snapshot's schema") if schema else None
    return slices.kept_slice(current, before, types=dict(types), judgement=slices.Judgement(schema=against))


def _offered(columns: Sequence[Column], *, compared: bool) -> dict[str, str]:
    """Sorts that tell something apart here."""
    wrong = any(column.anomalies for column in columns)
    return {
        sort: text
        for sort, text in SORT_WORDS.items()
        if (sort != "drift" or compared) and (sort != "anomalies" or wrong)
    }


def _one_of(word: str, known: Sequence[str], otherwise: str) -> str:
    return word if word in known else otherwise


def _start(text: str, count: int) -> int:
    """The first column of the page that holds the one asked for."""
    asked = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
    return min(asked, max(count - 1, 0)) // PAGE * PAGE


def _page(found: Snapshot, query: Mapping[str, str], start: int) -> str:
    kept = {key: value for key, value in query.items() if key in {"against", "find", "sort", "only"} and value}
    return f"{links.snapshot(found.id)}?{urlencode({**kept, 'from': start})}#columns"
