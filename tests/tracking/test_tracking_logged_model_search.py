"""Searching logged models gives what filtering and sorting them one by one would give, page by page, on every database."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.core.filters import Clause, parse_filter
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.logged_models.metrics import dataset_key
from bailiwick.tracking.logged_models.model import DatasetScope, LoggedModel, ModelMetric, ModelOrder
from bailiwick.tracking.logged_models.search import ATTRIBUTE, ENTITIES, Query, page_query, sort_keys
from bailiwick.tracking.logged_models.service import LoggedModelService, log_model_metrics
from bailiwick.tracking.service import TrackingService

World = tuple[LoggedModelService, list[LoggedModel], list[str]]
few_texts = st.sampled_from(["", "a", "b", "Ab", "a_b", "a%b", "a*b", "[a]", "ä"])
few_numbers = st.sampled_from([-1.0, 0.0, 0.5, 2.0, math.nan, math.inf])
measurement = st.tuples(
    st.sampled_from(["m", "n"]), few_numbers, st.integers(0, 2), st.integers(0, 1), st.sampled_from(["", "d", "e"])
)
description = st.fixed_dictionaries(
    {
        "experiment": st.integers(0, 1),
        "name": st.sampled_from(["a", "b", "Ab", "a_b"]),
        "type": few_texts,
        "params": st.dictionaries(st.sampled_from(["p", "q"]), few_texts),
        "tags": st.dictionaries(st.sampled_from(["p", "q"]), few_texts),
        "metrics": st.lists(measurement, max_size=4),
        "apart": st.integers(0, 1),
    }
)
text_value = st.one_of(few_texts, st.sampled_from(["a%", "_b", "%B%", "a_b", "%"]))
text_clause = st.builds(
    Clause,
    st.just("attributes"),
    st.sampled_from(["name", "model_type"]),
    st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
    text_value,
) | st.builds(
    Clause,
    st.sampled_from(["params", "tags"]),
    st.sampled_from(["p", "q"]),
    st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
    text_value,
)
other_clause = (
    st.builds(
        Clause,
        st.sampled_from(["params", "tags"]),
        st.sampled_from(["p", "q"]),
        st.sampled_from(["IN", "NOT IN"]),
        st.lists(few_texts, min_size=1, max_size=2).map(tuple),
    )
    | st.builds(
        Clause,
        st.sampled_from(["params", "tags"]),
        st.sampled_from(["p", "q"]),
        st.sampled_from(["IS NULL", "IS NOT NULL"]),
        st.none(),
    )
    | st.builds(
        Clause,
        st.just("metrics"),
        st.sampled_from(["m", "n"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from([-1, 0, 0.5, 1.9, 10**400]),
    )
)
ordering = st.builds(
    ModelOrder,
    st.sampled_from(["metrics.m", "metrics.n", "creation_timestamp", "model_id", "metrics.`m`"]),
    st.booleans(),
    st.sampled_from(["", "d"]),
)


def _like(pattern: str, text: str, flags: int) -> bool:
    translated = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(translated, text, flags | re.DOTALL) is not None


COMPARE: dict[str, Callable[..., bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "IN": lambda left, right: left in right,
    "NOT IN": lambda left, right: left not in right,
    "LIKE": lambda left, right: _like(right, left, 0),
    "ILIKE": lambda left, right: _like(right.lower(), left.lower(), 0),
}


def _measured(model: LoggedModel, scopes: Sequence[DatasetScope]) -> list[ModelMetric]:
    names = {scope.name for scope in scopes}
    return [each for each in model.metrics if not scopes or each.dataset_name in names]


def _told(points: Sequence[ModelMetric]) -> ModelMetric | None:
    """The last by step, time and value, in which NaN counts as 0."""
    if not points:
        return None
    last = max((each.step, each.time, _kept(each.value)) for each in points)
    return min(
        (each for each in points if (each.step, each.time, _kept(each.value)) == last),
        key=lambda each: (dataset_key(each.dataset_name, each.dataset_digest), math.isnan(each.value)),
    )


def _kept(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _meets(model: LoggedModel, clause: Clause, scopes: Sequence[DatasetScope]) -> bool:
    if clause.entity == "metrics":
        told = _told([each for each in _measured(model, scopes) if each.key == clause.key])
        return told is not None and COMPARE[clause.comparator](told.value, clause.value)
    if clause.entity == "attributes":
        text = model.name if clause.key == "name" else model.type
        return COMPARE[clause.comparator](text, clause.value)
    texts = model.params if clause.entity == "params" else model.tags
    if clause.comparator in {"IS NULL", "IS NOT NULL"}:
        return (clause.key in texts) == (clause.comparator == "IS NOT NULL")
    return clause.key in texts and COMPARE[clause.comparator](texts[clause.key], clause.value)


def _found(
    models: Sequence[LoggedModel], clauses: Sequence[Clause], scopes: Sequence[DatasetScope]
) -> list[LoggedModel]:
    asked = any(clause.entity == "metrics" for clause in clauses)
    return [
        model
        for model in models
        if all(_meets(model, clause, scopes) for clause in clauses)
        and (asked or not scopes or _measured(model, scopes))
    ]


def _sorted(
    models: Sequence[LoggedModel], orders: Sequence[ModelOrder], scopes: Sequence[DatasetScope]
) -> list[LoggedModel]:
    rows = sorted(models, key=lambda model: (-model.created, model.id))
    for order in reversed(orders):
        rows.sort(key=lambda model, order=order: _position(model, order, scopes))  # type: ignore[misc]
    return rows


class _Reversed:
    def __init__(self, value: object) -> None:
        self.value = value

    def __lt__(self, other: _Reversed) -> bool:
        return other.value < self.value  # type: ignore[operator,no-any-return]


def _position(model: LoggedModel, order: ModelOrder, scopes: Sequence[DatasetScope]) -> tuple[object, ...]:
    if order.field == "creation_timestamp":
        return (model.created if order.ascending else -model.created,)
    if order.field == "model_id":
        return (model.id if order.ascending else _Reversed(model.id),)
    key = order.field.partition(".")[2].strip("`")
    points = [each for each in _measured(model, scopes) if each.key == key]
    last = _told([each for each in points if order.dataset_name in {"", each.dataset_name}])
    if last is None:
        return 2, 0.0
    if math.isnan(last.value):
        return 1, 0.0
    return 0, last.value if order.ascending else -last.value


def _world(records: Records, admin: Actor, clock: FakeClock, described: Sequence[dict[str, object]]) -> World:
    tracking, service = TrackingService(records), LoggedModelService(records)
    experiments = [tracking.create_experiment(admin, f"e{clock()}-{number}").id for number in range(2)]
    run = tracking.start_run(admin, "other").id
    made = []
    for each in described:
        clock.advance(int(each["apart"]))  # type: ignore[call-overload]
        model = service.create(
            admin,
            experiments[int(each["experiment"])],  # type: ignore[call-overload]
            name=str(each["name"]),
            model_type=str(each["type"]),
            params=each["params"],  # type: ignore[arg-type]
            tags=each["tags"],  # type: ignore[arg-type]
        )
        with records.change(admin, Permission.TRACKING_WRITE) as change:
            log_model_metrics(
                change,
                [
                    ModelMetric(model.id, run, key, value, time, step, dataset, "x" if dataset else "")
                    for key, value, time, step, dataset in each["metrics"]  # type: ignore[attr-defined]
                ],
            )
            change.record("run.logged", f"run/{run}")
        made.append(service.model("default", model.id))
    clock.advance(1)
    return service, made, experiments


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    described=st.lists(description, max_size=6),
    clauses=st.lists(text_clause | other_clause, max_size=2),
    scopes=st.lists(st.sampled_from([DatasetScope("d"), DatasetScope("e", "x")]), max_size=2, unique=True),
    orders=st.lists(ordering, max_size=2),
    limit=st.integers(1, 3),
    both=st.booleans(),
)
def test_a_search_finds_what_looking_at_each_model_would(
    records: Records,
    admin: Actor,
    clock: FakeClock,
    described: list[dict[str, object]],
    clauses: list[Clause],
    scopes: list[DatasetScope],
    orders: list[ModelOrder],
    limit: int,
    both: bool,
) -> None:
    service, made, experiments = _world(records, admin, clock, described)
    asked = experiments if both else experiments[:1]
    found: list[str] = []
    token = ""
    for _ in range(len(made) + 1):
        page = service.search(
            "default", asked, clauses=clauses, datasets=scopes, order_by=orders, limit=limit, token=token
        )
        found += [model.id for model in page.models]
        assert len(page.models) <= limit
        token = page.token
        if not token:
            break
    assert not token
    within = [model for model in made if model.experiment_id in asked]
    assert found == [model.id for model in _sorted(_found(within, clauses, scopes), orders, scopes)]


def _clauses(text: str) -> tuple[Clause, ...]:
    return parse_filter(text, entities=ENTITIES, default=ATTRIBUTE)


@pytest.fixture
def world(records: Records, admin: Actor, clock: FakeClock) -> World:
    plain = {"experiment": 0, "type": "", "params": {}, "tags": {}, "metrics": [], "apart": 1}
    return _world(records, admin, clock, [{**plain, "name": name} for name in ("one", "two", "three")])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name = 'one'", ["one"]),
        ("attributes.name != 'one'", ["three", "two"]),
        ("name IN ('one', 'two')", ["two", "one"]),
        ("name LIKE 't%' AND name ILIKE 'T_O'", ["two"]),
        ("status = 'LOGGED_MODEL_READY'", ["two"]),
        ("status = 'ready'", ["two"]),
        ("status != 'PENDING'", ["two"]),
        ("status IN ('LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED')", ["two"]),
        ("status NOT IN ('ready')", ["three", "one"]),
        ("name = 1", []),
        ("creation_time > 0 AND last_updated_timestamp_ms > 0", ["three", "two", "one"]),
        ("creation_timestamp < 0", []),
        ("creation_timestamp < 99999999999999999999999999", ["three", "two", "one"]),
        ("source_run_id = '' AND artifact_location LIKE '%/models/m-%'", ["three", "two", "one"]),
    ],
)
def test_attributes_are_known_by_mlflows_names(world: World, admin: Actor, text: str, names: list[str]) -> None:
    service, made, experiments = world
    service.finalize(admin, made[1].id, "READY")
    assert [model.name for model in service.search("default", experiments, clauses=_clauses(text)).models] == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nobody = 'x'", "nobody"),
        ("name > 'x'", r"Invalid comparison operator for attributes\.name: '>'"),
        ("metrics.foo LIKE 'x'", r"Invalid comparison operator for metrics\.foo"),
        ("metrics.m = 'x'", "is a number"),
        ("creation_time = 'x'", "is a number"),
        ("name IS NULL", "Invalid comparison operator"),
    ],
)
def test_a_clause_that_makes_no_sense_is_refused(world: World, text: str, said: str) -> None:
    service, _, experiments = world
    with pytest.raises(InvalidInput, match=said):
        service.search("default", experiments, clauses=_clauses(text))


def test_an_ordering_that_makes_no_sense_is_refused(world: World) -> None:
    service, _, experiments = world
    for field in ("nobody", ""):
        with pytest.raises(InvalidInput, match="Invalid order by field name"):
            service.search("default", experiments, order_by=[ModelOrder(field)])
    with pytest.raises(InvalidInput, match="Only metrics are supported"):
        service.search("default", experiments, order_by=[ModelOrder("params.p")])
    with pytest.raises(InvalidInput, match="`dataset_name` in the `datasets` clause must be specified"):
        service.search("default", experiments, datasets=[DatasetScope("", "x")])
    with pytest.raises(LimitExceeded, match="at most 10 orderings"):
        service.search("default", experiments, order_by=[ModelOrder("name")] * 11)
    with pytest.raises(LimitExceeded, match="A pattern has at most 1000 characters"):
        service.search("default", experiments, clauses=[Clause("attributes", "name", "LIKE", "%" * 1001)])


def test_a_text_is_what_was_written_where_no_quotes_are(records: Records, admin: Actor, clock: FakeClock) -> None:
    plain = {"experiment": 0, "type": "", "tags": {}, "metrics": [], "apart": 1}
    described = [{**plain, "name": name, "params": {"lr": lr}} for name, lr in [("a", "0.010"), ("b", "0.01")]]
    service, _, experiments = _world(records, admin, clock, described)
    for text, names in (("params.lr = 0.01", ["b"]), ("params.lr = 0.010", ["a"]), ("params.lr LIKE 0", [])):
        found = service.search("default", experiments, clauses=_clauses(text)).models
        assert [model.name for model in found] == names, text


def test_a_checkpoint_is_not_what_a_metric_says_now(records: Records, admin: Actor, clock: FakeClock) -> None:
    plain = {"experiment": 0, "type": "", "params": {}, "tags": {}, "apart": 1}
    points = [("m", 0.1, 9, 0, ""), ("m", 0.9, 5, 10, "")]  # the later step was written earlier
    service, _, experiments = _world(records, admin, clock, [{**plain, "name": "one", "metrics": points}])
    for text, found in (("metrics.m < 0.5", 0), ("metrics.m > 0.5", 1), ("metrics.m != 0.9", 0)):
        assert len(service.search("default", experiments, clauses=_clauses(text)).models) == found, text


def test_a_status_is_sorted_by_how_far_the_model_has_come(world: World, admin: Actor) -> None:
    service, made, experiments = world
    service.finalize(admin, made[0].id, "FAILED")
    service.finalize(admin, made[1].id, "READY")
    found = service.search("default", experiments, order_by=[ModelOrder("status")]).models
    assert [model.status for model in found] == ["PENDING", "READY", "FAILED"]


def test_no_experiments_means_no_models(world: World) -> None:
    assert world[0].search("default", []).models == ()


def test_a_page_token_is_good_for_its_own_search_only(world: World) -> None:
    service, _, experiments = world
    token = service.search("default", experiments, limit=1).token
    assert [model.name for model in service.search("default", experiments, limit=5, token=token).models] == [
        "two",
        "one",
    ]
    others: list[dict[str, Any]] = [
        {"experiment_ids": experiments[:1]},
        {"clauses": _clauses("name = 'one'")},
        {"order_by": [ModelOrder("name")]},
        {"datasets": [DatasetScope("d")]},
    ]
    for other in others:
        asked = {"experiment_ids": experiments, "token": token, **other}
        with pytest.raises(InvalidInput, match=r"belongs to another query|not one that was given here"):
            service.search("default", **asked)
    with pytest.raises(InvalidInput, match="not one that was given here"):
        service.search("default", experiments, token="garbage")


@pytest.mark.parametrize("limit", [0, -1, 50_001])
def test_a_page_has_a_sensible_size(world: World, limit: int) -> None:
    with pytest.raises(InvalidInput, match=f"Invalid value {limit} for parameter 'max_results'"):
        world[0].search("default", world[2], limit=limit)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_search_that_names_no_order_reads_a_range_of_one_index(records: Records) -> None:
    with records.read() as connection:
        query = page_query("default", Query(("1",)), "sqlite", keys=sort_keys(()), after=[5, "m-1"])
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN " + str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        ).all()
    told = " ".join(str(row[-1]) for row in plan)
    assert "ix_tracking_logged_models_listing" in told
    assert "TEMP B-TREE" not in told
