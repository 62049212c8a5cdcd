"""Batches: logging one twice is logging it once, several runs may share a transaction, and runs can be compared."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, LimitExceeded, NotFound
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.batches import Batch, lock_runs, refusals, write_batches
from bailiwick.tracking.errors import ParamChanged, RunDeleted, RunNotFound
from bailiwick.tracking.model import PARENT_TAG, RUN_NAME_TAG, MetricPoint, Run
from bailiwick.tracking.service import TrackingService

KEYS = st.sampled_from(["a", "b"])
TEXTS = st.dictionaries(KEYS, st.sampled_from(["x", "", "y" * 70]))
VALUES = st.sampled_from([0.0, 1.5, -1.0, math.nan, math.inf])
POINTS = st.lists(st.builds(MetricPoint, KEYS, VALUES, st.integers(0, 2), st.integers(0, 2)), max_size=6)


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


def _told(tracking: TrackingService, run: Run) -> str:
    histories = [tracking.metric_history("default", run.id, key) for key in ("a", "b")]
    return repr((tracking.run("default", run.id), histories))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POINTS, TEXTS, TEXTS)
def test_a_batch_logged_twice_is_a_batch_logged_once(
    records: Records, admin: Actor, points: list[MetricPoint], params: dict[str, str], tags: dict[str, str]
) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, metrics=points, params=params, tags=tags)
    once = _told(tracking, run)
    tracking.log(admin, run.id, metrics=points, params=params, tags=tags)
    assert _told(tracking, run) == once


def test_batches_of_several_runs_are_judged_one_by_one_and_written_together(
    records: Records, tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    one, two, gone = (tracking.start_run(admin, "flights").id for _ in range(3))
    foreign = tracking.start_run(stranger, "flights").id
    tracking.delete_run(admin, gone)
    batches = [
        Batch("default", one, params={"p": "1"}, metrics=[MetricPoint("m", 1.0, 1, 1)]),
        Batch("default", gone, tags={"t": "v"}),
        Batch("default", foreign, tags={"t": "v"}),
        Batch("default", one, params={"p": "2"}),
        Batch("default", one, params={"p": "1"}, tags={"t": "old"}, metrics=[MetricPoint("m", 3.0, 1, 3)]),
        Batch("default", two, params={"p": "2"}, metrics=[MetricPoint("m", 5.0, 1, 5)]),
        Batch("default", one, tags={"t": "new"}, metrics=[MetricPoint("m", 2.0, 1, 2)]),
    ]
    with records.database.write() as connection:
        locked = lock_runs(connection, [batch.run_id for batch in batches])
        refused = refusals(connection, batches, locked)
        fine = [batch for batch, refusal in zip(batches, refused, strict=True) if refusal is None]
        write_batches(connection, fine, {run_id: row.experiment_id for run_id, row in locked.items()})
    assert [type(refusal) for refusal in refused] == [
        type(None),
        RunDeleted,
        RunNotFound,
        ParamChanged,
        type(None),
        type(None),
        type(None),
    ]
    first, second = (tracking.run("default", each) for each in (one, two))
    assert (first.params, first.metrics, first.tags["t"]) == ({"p": "1"}, {"m": 3.0}, "new")
    assert (second.params, second.metrics) == ({"p": "2"}, {"m": 5.0})
    assert "t" not in tracking.run("elsewhere", foreign).tags


def test_a_changed_param_names_every_change(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, params={"a": "1", "b": "2", "c": "3"})
    with pytest.raises(ParamChanged) as refused:
        tracking.log(admin, run.id, params={"a": "9", "b": "2", "c": "4"})
    assert refused.value.changed == {"a": ("1", "9"), "c": ("3", "4")}


def test_long_values_are_cut_where_that_is_asked_for(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    for _ in range(2):
        tracking.log(admin, run.id, params={"p": "x" * 6_001}, tags={"t": "y" * 8_001}, truncate=True)
    found = tracking.run("default", run.id)
    assert (len(found.params["p"]), len(found.tags["t"])) == (6_000, 8_000)


def test_a_run_is_created_as_a_client_says(tracking: TrackingService, admin: Actor, clock: FakeClock) -> None:
    experiment = tracking.create_experiment(admin, "flights", artifact_location="s3://b/x")
    tags = {PARENT_TAG: "nobody", "long": "x" * 8_001, RUN_NAME_TAG: ""}
    run = tracking.create_run(admin, experiment.id, name="one", user="ann", started=5, tags=tags)
    assert run == tracking.run("default", run.id)
    assert (run.name, run.tags[RUN_NAME_TAG], run.user, run.started) == ("one", "one", "ann", 5)
    assert (run.parent, len(run.tags["long"])) == ("nobody", 8_000)
    assert run.artifact_uri == f"s3://b/x/{run.id}/artifacts"
    plain = tracking.create_run(admin, experiment.id)
    assert (plain.user, plain.started) == (admin.name, clock())
    with pytest.raises(InvalidInput, match="start time -1"):
        tracking.create_run(admin, experiment.id, started=-1)
    info = tracking.run_info("default", run.id)
    assert (info.id, info.artifact_uri, info.status) == (run.id, run.artifact_uri, "RUNNING")
    assert tracking.revise_run(admin, run.id, status="FAILED", ended=9).ended == 9
    assert tracking.run_info("default", run.id).ended == 9


def test_runs_are_compared_key_by_key(tracking: TrackingService, admin: Actor) -> None:
    one, two = (tracking.start_run(admin, "flights", name=name) for name in ("one", "two"))
    tracking.log(admin, one.id, params={"depth": "6", "same": "x"}, metrics={"auc": 0.7, "nan": math.nan})
    tracking.log(admin, two.id, params={"same": "x"}, metrics={"auc": 0.8, "nan": math.nan})
    found = tracking.compare_runs("default", [two.id, one.id, two.id])
    assert [run.id for run in found.runs] == [two.id, one.id]
    assert [(row.key, row.values, row.differs) for row in found.params] == [
        ("depth", (None, "6"), True),
        ("same", ("x", "x"), False),
    ]
    assert [(row.key, row.differs) for row in found.metrics] == [("auc", True), ("nan", False)]
    assert [row.values for row in found.tags] == [("two", "one")]
    with pytest.raises(NotFound, match="'missing'"):
        tracking.compare_runs("default", [one.id, "missing"])
    with pytest.raises(InvalidInput, match="name the runs"):
        tracking.compare_runs("default", [])
    with pytest.raises(LimitExceeded, match="100"):
        tracking.compare_runs("default", [str(number) for number in range(101)])


def test_the_end_of_an_id_finds_a_run(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    assert tracking.ids_like("default", run.id[-8:]) == [run.id]
    assert tracking.ids_like("default", run.id[:20]) == [run.id]
    assert tracking.ids_like("default", "%") == tracking.ids_like("elsewhere", run.id) == []
