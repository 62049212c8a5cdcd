"""A search finds what a plain reading of the rules finds, in the same order, on every page size and both databases."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cmp_to_key, partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Clause, Ordering, parse_filter, parse_ordering
from bailiwick.core.paging import page_token
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking import search as search_module
from bailiwick.tracking.conditions import ENTITIES
from bailiwick.tracking.model import MetricPoint, Run, RunInput, View
from bailiwick.tracking.search import RunSearch
from bailiwick.tracking.service import TrackingService

METRIC_VALUES = st.sampled_from([0.0, 1.0, -1.5, 2.5, math.nan, math.inf])
TEXTS = st.sampled_from(["a", "A", "ab", "b_b", "", "x" * 70, "x" * 70 + "y", "100%", "[a]"])
KEYS = st.sampled_from(["k", "m m"])
PATTERNS = st.sampled_from(["a%", "A%", "%b%", "_", "x%y", "%", "[a]", "100\\%", "", "?", "*"])
RUNS = st.fixed_dictionaries(
    {
        "experiment": st.sampled_from(["one", "two", "three"]),
        "metrics": st.dictionaries(KEYS, METRIC_VALUES),
        "params": st.dictionaries(KEYS, TEXTS),
        "tags": st.dictionaries(KEYS, TEXTS),
        "started": st.integers(0, 3),
        "status": st.sampled_from(["RUNNING", "FINISHED", "FAILED"]),
        "deleted": st.booleans(),
        "roles": st.lists(st.sampled_from(["training", "test"]), max_size=2, unique=True),
    }
)
NUMBERS = st.sampled_from(["=", "!=", ">", ">=", "<", "<="])
CLAUSES = st.one_of(
    st.builds(Clause, st.just("metric"), KEYS, NUMBERS, st.sampled_from([0, 1.0, -1.5, 2])),
    st.builds(Clause, st.sampled_from(["param", "tag"]), KEYS, st.sampled_from(["=", "!="]), TEXTS),
    st.builds(Clause, st.sampled_from(["param", "tag"]), KEYS, st.sampled_from(["LIKE", "ILIKE"]), PATTERNS),
    st.builds(Clause, st.sampled_from(["param", "tag"]), KEYS, st.sampled_from(["IS NULL", "IS NOT NULL"]), st.none()),
    st.builds(Clause, st.just("attribute"), st.sampled_from(["start_time", "end_time"]), NUMBERS, st.integers(0, 3)),
    st.builds(Clause, st.just("attribute"), st.just("status"), st.sampled_from(["=", "!="]), st.just("FAILED")),
    st.builds(Clause, st.just("attribute"), st.just("run_name"), st.sampled_from(["LIKE", "="]), st.just("run-1")),
    st.builds(Clause, st.just("dataset"), st.just("context"), st.sampled_from(["=", "!="]), st.just("test")),
)
ORDERINGS = st.lists(
    st.one_of(
        st.builds(Ordering, st.sampled_from(["metric", "param", "tag"]), KEYS, st.booleans()),
        st.builds(
            Ordering,
            st.just("attribute"),
            st.sampled_from(["start_time", "end_time", "status", "run_name", "run_id"]),
            st.booleans(),
        ),
    ),
    max_size=3,
    unique_by=lambda ordering: (ordering.entity, ordering.key),
)


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


def _made(tracking: TrackingService, actor: Actor, clock: FakeClock, wanted: Sequence[dict[str, Any]]) -> list[Run]:
    made = []
    for number, each in enumerate(wanted):
        experiment = tracking.start_run(actor, each["experiment"]).experiment_id  # makes it; is part of the search too
        tags = {**each["tags"], "mlflow.runName": f"run-{number % 3}"}
        run = tracking.create_run(actor, experiment, started=each["started"], tags=tags, user="ann")
        points = [MetricPoint(key, value, 1, 0) for key, value in each["metrics"].items()]
        tracking.log(actor, run.id, metrics=points, params=each["params"])
        if each["roles"]:
            tracking.add_inputs(actor, run.id, [RunInput("s", role) for role in each["roles"]])
        tracking.revise_run(actor, run.id, status=each["status"], ended=each["started"] + 1 if number % 2 else None)
        if each["deleted"]:
            tracking.delete_run(actor, run.id)
        made.append(run)
    return [tracking.run(actor.workspace, run.id) for run in made] + [
        run for run in tracking.runs(actor.workspace) if run.id not in {each.id for each in made}
    ]


def _attribute(run: Run, key: str) -> Any:
    named = {"start_time": run.started, "end_time": run.ended, "run_name": run.name, "run_id": run.id}
    return named.get(key, run.status)


def _value(run: Run, entity: str, key: str) -> Any:
    if entity == "attribute":
        return _attribute(run, key)
    return {"metric": run.metrics, "param": run.params, "tag": run.tags}[entity].get(key)


def _like(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    parts = [{"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern]
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _compares(left: Any, comparator: str, right: Any) -> bool:
    if comparator in {"LIKE", "ILIKE"}:
        return bool(_like(right, ignore_case=comparator == "ILIKE").fullmatch(left))
    return bool(
        {
            "=": left == right,
            "!=": left != right,
            ">": comparator == ">" and left > right,
            ">=": comparator == ">=" and left >= right,
            "<": comparator == "<" and left < right,
            "<=": comparator == "<=" and left <= right,
        }[comparator]
    )


def _meets(run: Run, clause: Clause) -> bool:
    if clause.entity == "dataset":
        return any(_compares(read.role, clause.comparator, clause.value) for read in run.inputs)
    value = _value(run, clause.entity, clause.key)
    if clause.comparator in {"IS NULL", "IS NOT NULL"}:
        return (value is None) == (clause.comparator == "IS NULL")
    return value is not None and _compares(value, clause.comparator, clause.value)


def _rank(value: Any) -> int:
    return 2 if value is None else 1 if isinstance(value, float) and math.isnan(value) else 0


def _compare(orderings: Sequence[Ordering], one: Run, two: Run) -> int:
    orders = [*orderings, Ordering("attribute", "start_time", False), Ordering("attribute", "run_id", True)]
    for ordering in orders:
        left, right = (_value(run, ordering.entity, ordering.key) for run in (one, two))
        if _rank(left) != _rank(right):
            return _rank(left) - _rank(right)
        if _rank(left) == 0 and left != right:
            return (1 if left > right else -1) * (1 if ordering.ascending else -1)
    return 0


def _pages(tracking: TrackingService, search: RunSearch, size: int) -> list[Run]:
    found: list[Run] = []
    token = ""
    while True:
        page = tracking.search_runs("default", search, limit=size, token=token)
        found += page.items
        assert len(page.items) <= size
        if not page.next:
            return found
        token = page.next


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(RUNS, max_size=8),
    st.lists(CLAUSES, max_size=3),
    ORDERINGS,
    st.sampled_from(View),
    st.sampled_from([("one",), ("one", "two"), None]),
    st.integers(1, 4),
    st.sampled_from([search_module.FEW, -1]),
    st.sampled_from([search_module.MAX_BRANCHES, 1]),
)
def test_a_search_finds_what_a_plain_reading_of_the_rules_finds(
    records: Records,
    admin: Actor,
    clock: FakeClock,
    wanted: list[dict[str, Any]],
    clauses: list[Clause],
    orderings: list[Ordering],
    view: View,
    names: tuple[str, ...] | None,
    size: int,
    few: int,
    branches: int,
) -> None:
    """Whichever index is followed: `few` -1 never follows a filter, one branch merges no indexes."""
    tracking = TrackingService(records)
    _made(tracking, admin, clock, wanted)
    everything = _pages(tracking, RunSearch(view=View.ALL), 50)
    known = {each.name: each.id for each in tracking.experiments("default")}
    ids = None if names is None else tuple(known[name] for name in names if name in known)
    search = RunSearch(ids, tuple(clauses), tuple(orderings), view)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "FEW", few)
        patch.setattr(search_module, "MAX_BRANCHES", branches)
        found = _pages(tracking, search, size)
    seen = [
        run
        for run in everything
        if (ids is None or run.experiment_id in ids)
        and run.lifecycle in view.lifecycles
        and all(_meets(run, clause) for clause in clauses)
    ]
    expected = sorted(seen, key=cmp_to_key(partial(_compare, orderings)))
    assert [run.id for run in found] == [run.id for run in expected]


def _search(text: str = "", *order: str, experiments: tuple[str, ...] | None = None) -> RunSearch:
    clauses = parse_filter(text, entities=ENTITIES, default="attribute")
    return RunSearch(
        experiments, clauses, tuple(parse_ordering(each, entities=ENTITIES, default="attribute") for each in order)
    )


@pytest.mark.parametrize(
    ("text", "order", "index"),
    [
        ("", [], "ix_tracking_runs_experiment"),
        ("metrics.m > 0.5", [], "ix_tracking_run_latest_metrics_search"),
        ("params.p = 'x'", ["metrics.m DESC"], "ix_tracking_run_params_search"),
        ("attributes.run_name = 'x'", [], "ix_tracking_run_tags_search"),
        ("", ["metrics.m DESC"], "ix_tracking_run_latest_metrics_search"),
        ("", ["params.p"], "ix_tracking_run_params_search"),
        ("status = 'FINISHED'", ["end_time DESC"], "ix_tracking_runs_ended"),
        ("", ["tags.t DESC", "metrics.m"], "ix_tracking_run_tags_search"),
    ],
)
def test_a_search_follows_an_index_and_reads_no_whole_table(
    records: Records, tracking: TrackingService, admin: Actor, text: str, order: list[str], index: str
) -> None:
    """On SQLite, which has no statistics here and so plans by the shape of the query alone."""
    if records.database.dialect != "sqlite":
        pytest.skip("PostgreSQL plans by the sizes of the tables, which are small here")
    run = tracking.start_run(admin, "flights")
    search = _search(text, *order, experiments=(run.experiment_id,))
    plans = _plans(records, lambda: tracking.search_runs("default", search, limit=5))
    assert any(index in plan for plan in plans)
    assert [plan for plan in plans if "SCAN tracking" in plan or "SCAN runs" in plan] == []
    assert [plan for plan in plans if "tracking_runs USING INDEX ix_tracking_runs_parent" in plan] == []


def _queries(records: Records, call: Any) -> list[tuple[str, Any]]:
    """Each SELECT of a call, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        seen.append((sql, parameters))

    event.listen(records.database.engine, "before_cursor_execute", note)
    call()
    event.remove(records.database.engine, "before_cursor_execute", note)
    return [(sql, parameters) for sql, parameters in seen if sql.startswith("SELECT")]


def _plans(records: Records, call: Any) -> list[str]:
    """What SQLite says it does for each query of a call."""
    queries = _queries(records, call)
    with records.read() as connection:
        return [
            "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters))
            for sql, parameters in queries
        ]


def test_a_page_costs_the_same_few_queries_however_long_it_is(
    records: Records, tracking: TrackingService, admin: Actor
) -> None:
    for number in range(12):
        run = tracking.start_run(admin, "flights")
        tracking.log(admin, run.id, metrics={"m": number}, params={"p": "x"})
    search = _search("metrics.m >= 0", "metrics.m DESC")
    counts = [
        len(_queries(records, partial(tracking.search_runs, "default", search, limit=limit))) for limit in (2, 12)
    ]
    assert counts[0] == counts[1] <= 9


def test_a_token_belongs_to_its_search_and_to_nothing_else(tracking: TrackingService, admin: Actor) -> None:
    for _ in range(3):
        tracking.start_run(admin, "flights")
    search = _search("", "metrics.m")
    token = tracking.search_runs("default", search, limit=1).next
    assert len(tracking.search_runs("default", search, limit=5, token=token).items) == 2  # pages may differ in size
    for other in (
        _search(),
        _search("", "metrics.m DESC"),
        _search("status = 'x'", "metrics.m"),
        _search(experiments=("1",)),
    ):
        with pytest.raises(InvalidInput, match="page_token"):
            tracking.search_runs("default", other, limit=1, token=token)
    for position in ([0, 1.0, 10**30, "r"], [0, 1.0, 1, "r\x00"], [0, 1.0, 1], [0, "x", 1, "r"]):
        with pytest.raises(InvalidInput, match="not one that was given"):
            tracking.search_runs("default", search, token=page_token(position, search.identity()))
    for garbage in ("x", token[:-4], "é", "W10="):
        with pytest.raises(InvalidInput):
            tracking.search_runs("default", search, limit=1, token=garbage)


def test_lists_of_runs_are_found_by_id_in_their_experiments_only(
    tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    here, there = tracking.start_run(admin, "flights"), tracking.start_run(stranger, "flights")
    listed = f"run_id IN ('{here.id}', '{there.id}', 'none')"
    assert [run.id for run in tracking.search_runs("default", _search(listed)).items] == [here.id]
    assert [run.id for run in tracking.search_runs("elsewhere", _search(listed)).items] == [there.id]
    assert tracking.search_runs("default", _search(f"run_id NOT IN ('{here.id}')")).items == []
    assert tracking.search_runs("default", _search(listed, experiments=("no",))).items == []
    assert tracking.search_runs("default", _search(experiments=())).items == []


@pytest.mark.parametrize(
    "text",
    [
        "metrics.m LIKE 'x'", "metrics.m = 'x'", "metrics.m IS NULL", "params.p > 'x'", "params.p = 1", "tags.t IN ('a')",
        "attributes.status > 'x'", "attributes.status IN ('x')", "start_time = 'x'", "start_time LIKE 'x'", "run_id IS NULL",
        "dataset.color = 'x'", "dataset.name > 'x'", "attributes.color = 'x'", "start_time > 99999999999999999999",
    ],
)  # fmt: skip
def test_clauses_that_make_no_sense_are_refused(tracking: TrackingService, text: str) -> None:
    with pytest.raises(InvalidInput):
        tracking.search_runs("default", _search(text))


@pytest.mark.parametrize("order", [["attributes.color"], ["dataset.name"], ["metrics.m", "metrics.m DESC"]])
def test_orders_that_make_no_sense_are_refused(tracking: TrackingService, order: list[str]) -> None:
    with pytest.raises(InvalidInput):
        tracking.search_runs("default", _search("", *order))


@pytest.mark.parametrize("limit", [0, -1, 50_001])
def test_pages_have_a_size(tracking: TrackingService, limit: int) -> None:
    with pytest.raises(InvalidInput, match="50000"):
        tracking.search_runs("default", _search(), limit=limit)
