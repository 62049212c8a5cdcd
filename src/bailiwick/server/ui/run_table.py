"""The table of runs that the page of an experiment and that of all runs share: filter, order, columns, parts, pages.

Everything that is chosen is in the address, so that a table can be sent to somebody, and works without script.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.core.filters import Clause, Ordering, parse_filter, parse_ordering
from bailiwick.server.ui.page import Context, Visit
from bailiwick.tracking.conditions import ENTITIES
from bailiwick.tracking.lineage.model import DatasetInput
from bailiwick.tracking.model import PARENT_TAG, Page, Run, View
from bailiwick.tracking.search import RunSearch

PAGE = 50
SHOWN_PARTS = 200
OPENED_AT_ONCE = 10
DEFAULT_METRICS, DEFAULT_PARAMS = 4, 3
MAX_COLUMNS = 60
SYSTEM = "system/"
KINDS = ("metric", "param", "tag")
_FIRST = ("roc_auc", "auc", "log_loss", "accuracy", "loss", "calibration_error", "brier")
_PLAIN_KEY = re.compile(r"[\w\-./:]+")
_SET_BY_CLIENTS = re.compile(r"mlflow\.|bailiwick\.")

Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A metric, param or tag; `key` of kind `attribute` is one of the run's own columns."""

    kind: str
    key: str

    @property
    def name(self) -> str:
        """As it is written in an address and a filter: `metric.val loss`."""
        return f"{self.kind}.{self.key}"

    @property
    def ordering(self) -> str:
        """As it is written in an order: the key in backticks where it has to be."""
        key = self.key if _PLAIN_KEY.fullmatch(self.key) else f"`{self.key}`"
        return key if self.kind == "attribute" else f"{self.kind}.{key}"


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column; `sorted` is a value of aria-sort, empty for the others."""

    column: Column
    label: str
    href: str
    sorted: str


@dataclass(frozen=True, slots=True)
class Row:
    """One run; `depth` 1 for a part that is shown below the run it belongs to. `toggle` shows or hides its parts."""

    run: Run
    depth: int
    parts: int
    opened: bool
    toggle: str
    datasets: tuple[DatasetInput, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for."""

    path: str
    filter: str
    order: str
    view: View
    parts: bool
    columns: Texts | None
    opened: Texts
    token: str
    also: tuple[tuple[str, str], ...] = ()

    def at(self, **changes: object) -> str:
        """The address of the same table with something else chosen; from its first page, unless a token is given."""
        chosen = {
            "filter": self.filter,
            "order": self.order,
            "view": "" if self.view is View.ACTIVE_ONLY else self.view.value,
            "parts": "all" if self.parts else "",
            "columns": "" if self.columns is None else "chosen",
            "column": self.columns or (),
            "open": self.opened,
            "token": "",
            **changes,
        }
        pairs: list[tuple[str, str]] = [(name, value) for name, value in self.also if value]
        for name, value in chosen.items():
            values = value if isinstance(value, tuple) else (value,)
            pairs += [(name, str(each)) for each in values if each]
        return f"{self.path}?{urlencode(pairs)}" if pairs else self.path

    @property
    def grouped(self) -> bool:
        """Parts of runs are below the runs they belong to, as long as nothing is searched or sorted."""
        return not (self.parts or self.filter or self.order)


def asked_of(visit: Visit, path: str, **also: str) -> tuple[Asked, str]:
    """What the address of a visit asks for, and what is wrong with it in words."""
    view, problem = visit.query.get("view", ""), ""
    if view not in {"", *View}:
        problem = str(InvalidInput.choice("view", view, list(View)))
    columns = visit.every.get("column", ())[:MAX_COLUMNS] if visit.query.get("columns") else None
    asked = Asked(
        path=path,
        filter=visit.query.get("filter", "").strip(),
        order=visit.query.get("order", "").strip(),
        view=View(view) if view in set(View) else View.ACTIVE_ONLY,
        parts=visit.query.get("parts") == "all",
        columns=columns,
        opened=visit.every.get("open", ())[:OPENED_AT_ONCE],
        token=visit.query.get("token", ""),
        also=tuple(also.items()),
    )
    return asked, problem


def run_table(visit: Visit, asked: Asked, problem: str, experiment_ids: Texts | None) -> Context:
    """One page of the table; what cannot be understood is said above it, and the table is empty."""
    found: Page[Run] = Page((), "")
    if not problem:
        try:
            found = _search(visit, asked, experiment_ids)
        except BailiwickError as error:
            problem = " ".join(each for each in (error.message, error.hint) if each)
    rows = _rows(visit, asked, list(found.items))
    runs = [row.run for row in rows]
    known = _known(runs)
    columns = _columns(asked, known, runs)
    return {
        "asked": asked,
        "problem": problem,
        "rows": rows,
        "heads": [_head(asked, column, column.key) for column in columns],
        "attributes": {
            key: _head(asked, Column("attribute", key), label)
            for key, label in (
                ("run_name", "Run"),
                ("status", "Status"),
                ("start_time", "Started"),
                ("user_id", "User"),
            )
        },
        "choices": {kind: [(key, Column(kind, key) in columns) for key in known[kind]] for kind in KINDS},
        "next": asked.at(token=found.next, open=()) if found.next else "",
        "first": asked.at() if asked.token else "",
        "views": [(View.ACTIVE_ONLY, "Active"), (View.DELETED_ONLY, "Deleted"), (View.ALL, "All")],
    }


def cell(run: Run, column: Column) -> str | float | None:
    """A run's value in a column."""
    if column.kind == "metric":
        return run.metrics.get(column.key)
    return (run.params if column.kind == "param" else run.tags).get(column.key)


def _search(visit: Visit, asked: Asked, experiment_ids: Texts | None) -> Page[Run]:
    clauses = parse_filter(asked.filter, entities=ENTITIES, default="attribute")
    orderings: tuple[Ordering, ...] = ()
    if asked.order:
        orderings = (parse_ordering(asked.order, entities=ENTITIES, default="attribute"),)
    if asked.grouped:
        clauses = (Clause("tag", PARENT_TAG, "IS NULL", None),)
    search = RunSearch(experiment_ids, clauses, orderings, asked.view)
    return visit.platform.tracking.search_runs(visit.workspace, search, limit=PAGE, token=asked.token)


def _rows(visit: Visit, asked: Asked, runs: Sequence[Run]) -> list[Row]:
    """The runs of the page, and below each that was opened its parts; a few queries in all, however many there are."""
    tracking, workspace = visit.platform.tracking, visit.workspace
    ids = [run.id for run in runs]
    parts = tracking.part_counts(workspace, ids)
    listed: list[tuple[Run, int]] = []
    for run in runs:
        listed.append((run, 0))
        if asked.grouped and run.id in asked.opened and run.id in parts:
            listed += [(part, 1) for part in tracking.children(workspace, run.id, limit=SHOWN_PARTS)]
    below = [run.id for run, depth in listed if depth]
    parts |= tracking.part_counts(workspace, below) if below else {}
    links = visit.platform.run_lineage.links(workspace, [run.id for run, _ in listed])
    return [
        Row(
            run,
            depth,
            parts.get(run.id, 0),
            run.id in asked.opened,
            _toggle(asked, run.id) if asked.grouped and not depth else "",
            links[run.id].datasets if run.id in links else (),
        )
        for run, depth in listed
    ]


def _toggle(asked: Asked, run_id: str) -> str:
    opened = asked.opened
    changed = tuple(each for each in opened if each != run_id) if run_id in opened else (*opened, run_id)
    return f"{asked.at(open=changed, token=asked.token)}#run-{run_id}"


def _known(runs: Iterable[Run]) -> Mapping[str, list[str]]:
    """Keys that runs of the page have, the most common first; what clients set by themselves comes last."""
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for run in runs:
        for kind, keys in (("metric", run.metrics), ("param", run.params), ("tag", run.tags)):
            counted[kind].update(iter(keys))
    return {
        kind: sorted(counts, key=lambda key: (_is_technical(key), -counts[key], key))
        for kind, counts in counted.items()
    }


def _is_technical(key: str) -> bool:
    return key.startswith(SYSTEM) or _SET_BY_CLIENTS.match(key) is not None


def _columns(asked: Asked, known: Mapping[str, Sequence[str]], runs: Sequence[Run]) -> list[Column]:
    """Those that are chosen; else the most common metrics, and params in which the runs differ. What is sorted by is there."""
    if asked.columns is not None:
        chosen = [Column(kind, key) for each in asked.columns for kind, _, key in (each.partition("."),) if key]
        columns = [each for each in chosen if each.kind in KINDS]
    else:
        metrics = [key for key in known["metric"] if not _is_technical(key)][:DEFAULT_METRICS]
        params = [key for key in known["param"] if len({run.params.get(key) for run in runs}) > 1][:DEFAULT_PARAMS]
        columns = [*(Column("metric", key) for key in metrics), *(Column("param", key) for key in params)]
    ordering = _ordering(asked)
    if ordering is not None and ordering.entity in KINDS:
        columns.append(Column(ordering.entity, ordering.key))
    return list(dict.fromkeys(columns))


def _ordering(asked: Asked) -> Ordering | None:
    try:
        return parse_ordering(asked.order, entities=ENTITIES, default="attribute") if asked.order else None
    except InvalidInput:
        return None


def _head(asked: Asked, column: Column, label: str) -> Head:
    """Chosen once, a column is sorted: numbers and times from the largest, words from A; chosen again, the other way."""
    current = _ordering(asked)
    mine = current is not None and (current.entity, current.key) == (column.kind, column.key)
    up = column.kind in {"param", "tag"} or column.key in {"run_name", "status", "user_id"}
    if mine and current is not None:
        up = not current.ascending
    href = asked.at(order=f"{column.ordering} {'ASC' if up else 'DESC'}")
    sorted_ = "" if not mine or current is None else "ascending" if current.ascending else "descending"
    return Head(column, label, href, sorted_)


def metric_rank(key: str) -> tuple[int, str]:
    """For sorting: what most people look at first comes first, the rest by name."""
    plain = key.rpartition("/")[2].removeprefix("test_").removeprefix("valid_").removeprefix("val_")
    return (_FIRST.index(plain) if plain in _FIRST else len(_FIRST), key)
