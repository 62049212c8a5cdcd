"""Runs as people use them: started, logged to, ended, hidden, listed; each write whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text

from bailiwick.core.actor import Actor
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.model import PARENT_TAG, RUN_NAME_TAG, MetricPoint, RunInput
from bailiwick.tracking.runs import page_query
from bailiwick.tracking.service import TrackingService


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


def _entries(records: Records) -> list[str]:
    with records.read() as connection:
        return list(connection.scalars(select(entries.c.action).order_by(entries.c.number)))


def test_a_run_tells_its_whole_story(
    records: Records, tracking: TrackingService, admin: Actor, clock: FakeClock
) -> None:
    started = tracking.start_run(admin, "flights", name="first", inputs=[RunInput("s1"), RunInput("s2", "test")])
    tracking.log(
        admin, started.id, params={"depth": "6"}, metrics=[MetricPoint("auc", 0.7, clock(), 1)], tags={"team": "ops"}
    )
    clock.advance(5_000)
    run = tracking.finish_run(admin, started.id)
    assert (run.status, run.ended, run.ended and run.ended - run.started) == ("FINISHED", clock(), 5_000)
    assert run.params == {"depth": "6"}
    assert run.metrics == {"auc": 0.7}
    assert run.latest == (MetricPoint("auc", 0.7, started.started, 1),)
    assert run.tags == {"team": "ops", RUN_NAME_TAG: "first"}
    assert run.inputs == (RunInput("s2", "test"), RunInput("s1", "training"))
    assert run.created_by == admin.identity
    assert run == tracking.run("default", run.id)
    assert _entries(records) == ["experiment.created", "run.started", "run.logged", "run.updated"]


def test_a_run_without_a_name_is_given_one(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    assert len(run.name.split("-")) == 3
    assert run.tags[RUN_NAME_TAG] == run.name


def test_the_default_experiment_has_id_zero_in_every_workspace(
    tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    assert tracking.start_run(admin, "Default").experiment_id == "0"
    assert tracking.start_run(stranger, "Default").experiment_id == "0"


def test_experiment_ids_are_whole_numbers_and_differ(tracking: TrackingService, admin: Actor) -> None:
    ids = [tracking.create_experiment(admin, name).id for name in ("a", "b", "c")]
    assert all(each.isdecimal() for each in ids)
    assert len(set(ids)) == 3


def test_a_deleted_experiment_keeps_its_name_and_hides_its_runs(
    tracking: TrackingService, admin: Actor, clock: FakeClock
) -> None:
    kept = tracking.start_run(admin, "flights")
    gone = tracking.start_run(admin, "flights")
    tracking.delete_run(admin, gone.id)
    clock.advance(1)
    tracking.delete_experiment(admin, kept.experiment_id)
    assert tracking.experiments("default") == []
    assert tracking.runs("default") == []
    with pytest.raises(AlreadyExists, match="restore it"):
        tracking.create_experiment(admin, "flights")
    with pytest.raises(Conflict, match="deleted"):
        tracking.start_run(admin, "flights")
    clock.advance(1)
    tracking.restore_experiment(admin, kept.experiment_id)
    assert [run.id for run in tracking.runs("default", "flights")] == [kept.id]


def test_experiment_tags_are_kept_and_a_missing_name_suggests_the_nearest(
    tracking: TrackingService, admin: Actor
) -> None:
    made = tracking.create_experiment(admin, "flights", tags={"team": "ops"}, artifact_location="s3://b/x")
    assert tracking.experiment_named("default", "flights") == made == tracking.experiment("default", made.id)
    assert made.tags == {"team": "ops"}
    with pytest.raises(NotFound, match="Did you mean 'flights'"):
        tracking.runs("default", "fligths")


def test_starting_with_the_same_key_returns_the_same_run(tracking: TrackingService, admin: Actor) -> None:
    first = tracking.start_run(admin, "flights", key="p1/train")
    assert tracking.start_run(admin, "flights", key="p1/train") == first
    tracking.finish_run(admin, first.id, "FAILED")
    again = tracking.start_run(admin, "flights", key="p1/train")
    assert (again.id, again.status, again.ended) == (first.id, "RUNNING", None)
    tracking.finish_run(admin, first.id)
    assert tracking.start_run(admin, "flights", key="p1/train").status == "FINISHED"


def test_eight_threads_starting_one_key_get_one_run(tracking: TrackingService, admin: Actor) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: tracking.start_run(admin, "flights", key="k").id, range(8)))
    assert len(set(started)) == 1
    assert len(tracking.runs("default")) == 1


def test_parent_and_children_find_each_other(tracking: TrackingService, admin: Actor) -> None:
    parent = tracking.start_run(admin, "tune")
    children = [tracking.start_run(admin, "tune", parent=parent.id) for _ in range(2)]
    assert {run.id for run in tracking.children("default", parent.id)} == {run.id for run in children}
    assert children[0].tags[PARENT_TAG] == parent.id
    with pytest.raises(NotFound, match="Parent run 'nobody'"):
        tracking.start_run(admin, "tune", parent="nobody")


def test_a_name_and_a_name_tag_that_disagree_are_refused(tracking: TrackingService, admin: Actor) -> None:
    with pytest.raises(Conflict, match="one of them"):
        tracking.start_run(admin, "flights", name="a", tags={RUN_NAME_TAG: "b"})


def test_setting_the_name_tag_renames_the_run(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights", name="a")
    tracking.log(admin, run.id, tags={RUN_NAME_TAG: "b"})
    assert tracking.run("default", run.id).name == "b"
    assert tracking.update_run(admin, run.id, name="c").tags[RUN_NAME_TAG] == "c"


def test_a_batch_with_one_changed_param_leaves_nothing_behind(
    records: Records, tracking: TrackingService, admin: Actor
) -> None:
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, params={"depth": "6"})
    before, journal = tracking.run("default", run.id), _entries(records)
    with pytest.raises(Conflict, match=r"Param 'depth' .* is '6' and cannot become '7'"):
        tracking.log(admin, run.id, params={"new": "x", "depth": "7"}, metrics={"auc": 1.0}, tags={"t": "v"})
    assert tracking.run("default", run.id) == before
    assert tracking.metric_history("default", run.id, "auc") == []
    assert _entries(records) == journal


def test_a_batch_may_be_sent_again(tracking: TrackingService, admin: Actor, clock: FakeClock) -> None:
    run = tracking.start_run(admin, "flights")
    for _ in range(2):
        tracking.log(
            admin,
            run.id,
            params={"depth": "6"},
            tags={"t": "v"},
            metrics=[MetricPoint("loss", 0.5, clock(), 1), MetricPoint("loss", 0.5, clock(), 1)],
        )
    assert len(tracking.metric_history("default", run.id, "loss")) == 1


def test_a_large_batch_of_params_is_checked_as_a_small_one(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    params = {f"p{number}": str(number) for number in range(1_200)}
    tracking.log(admin, run.id, params=params)
    tracking.log(admin, run.id, params=params)
    assert tracking.run("default", run.id).params == params
    with pytest.raises(Conflict, match="p1199"):
        tracking.log(admin, run.id, params={**params, "p1199": "other"})


def test_a_deleted_run_is_readable_by_id_and_not_writable(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    assert tracking.delete_run(admin, run.id) == tracking.delete_run(admin, run.id)
    assert tracking.run("default", run.id).lifecycle == "deleted"
    with pytest.raises(Conflict, match="is deleted"):
        tracking.log(admin, run.id, metrics={"auc": 1.0})
    tracking.restore_run(admin, run.id)
    tracking.log(admin, run.id, metrics={"auc": 1.0})
    assert tracking.run("default", run.id).metrics == {"auc": 1.0}


def test_finishing_twice_keeps_the_first_end_and_unknown_statuses_are_refused(
    tracking: TrackingService, admin: Actor, clock: FakeClock
) -> None:
    run = tracking.start_run(admin, "flights")
    first = tracking.finish_run(admin, run.id)
    clock.advance(10)
    assert tracking.finish_run(admin, run.id) == first
    with pytest.raises(InvalidInput, match="choose one of: FAILED, FINISHED, KILLED"):
        tracking.finish_run(admin, run.id, "RUNNING")
    with pytest.raises(InvalidInput, match="Did you mean 'FINISHED'"):
        tracking.update_run(admin, run.id, status="FINISH")


def test_tags_can_be_deleted_once(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights", tags={"t": "v"})
    tracking.delete_tag(admin, run.id, "t")
    assert "t" not in tracking.run("default", run.id).tags
    with pytest.raises(NotFound, match="Tag 't'"):
        tracking.delete_tag(admin, run.id, "t")


def test_inputs_can_be_added_and_lead_back_to_their_runs(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    for _ in range(2):
        tracking.add_inputs(admin, run.id, [RunInput("s1", "validation")])
    assert tracking.run("default", run.id).inputs == (RunInput("s1", "validation"),)
    assert [each.id for each in tracking.runs_of_snapshot("default", "s1")] == [run.id]
    with pytest.raises(InvalidInput, match="at least one"):
        tracking.add_inputs(admin, run.id, [])


def test_pages_cover_every_run_once_newest_first(tracking: TrackingService, admin: Actor, clock: FakeClock) -> None:
    made = []
    for number in range(11):
        made.append(tracking.start_run(admin, "flights").id)
        clock.advance(number % 3)  # some start in the same millisecond
    seen: list[str] = []
    while page := tracking.runs("default", "flights", 4, after=seen[-1] if seen else ""):
        seen += [run.id for run in page]
    expected = sorted((tracking.run("default", each) for each in made), key=lambda run: (-run.started, run.id))
    assert seen == [run.id for run in expected]
    with pytest.raises(InvalidInput, match="first page"):
        tracking.runs("default", after="garbage")
    with pytest.raises(InvalidInput, match="limit 0"):
        tracking.runs("default", limit=0)


@pytest.mark.parametrize("everywhere", [True, False])
def test_listing_runs_reads_an_index_and_sorts_nothing(
    records: Records, tracking: TrackingService, admin: Actor, everywhere: bool
) -> None:
    run = [tracking.start_run(admin, "flights") for _ in range(50)][-1]
    experiment_id = None if everywhere else run.experiment_id
    query = page_query("default", experiment_id=experiment_id, lifecycle="active").limit(3)
    sql = str(query.compile(records.database.engine, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN " if records.database.dialect == "sqlite" else "EXPLAIN "
    with records.read() as connection:
        if records.database.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(str(row) for row in connection.execute(text(explain + sql)))
    assert "ix_tracking_runs_" in plan  # PostgreSQL may take either of the two while the table is small
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_other_workspaces_and_viewers_see_and_change_nothing(
    records: Records, tracking: TrackingService, admin: Actor, stranger: Actor, viewer: Actor
) -> None:
    run = tracking.start_run(admin, "flights", tags={"t": "v"}, inputs=[RunInput("s1")])
    before = len(_entries(records))
    for attempt in (
        lambda: tracking.run("elsewhere", run.id),
        lambda: tracking.log(stranger, run.id, metrics={"auc": 1.0}),
        lambda: tracking.finish_run(stranger, run.id),
        lambda: tracking.delete_run(stranger, run.id),
        lambda: tracking.delete_tag(stranger, run.id, "t"),
        lambda: tracking.metric_history("elsewhere", run.id, "auc"),
        lambda: tracking.experiment("elsewhere", run.experiment_id),
        lambda: tracking.delete_experiment(stranger, run.experiment_id),
        lambda: tracking.start_run(stranger, "x", parent=run.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    for forbidden in (
        lambda: tracking.start_run(viewer, "flights"),
        lambda: tracking.log(viewer, run.id, metrics={"auc": 1.0}),
        lambda: tracking.log(viewer, run.id),
        lambda: tracking.finish_run(viewer, run.id),
        lambda: tracking.delete_run(viewer, run.id),
        lambda: tracking.create_experiment(viewer, "x"),
        lambda: tracking.restore_experiment(viewer, run.experiment_id),
    ):
        with pytest.raises(NotAllowed):
            forbidden()
    assert tracking.runs("elsewhere") == []
    assert tracking.runs_of_snapshot("elsewhere", "s1") == []
    assert len(_entries(records)) == before


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("", "v", InvalidInput),
        ("/a", "v", InvalidInput),
        ("a//b", "v", InvalidInput),
        ("../a", "v", InvalidInput),
        ("a\x00", "v", InvalidInput),
        ("a" * 251, "v", LimitExceeded),
        ("a", "v\x00", InvalidInput),
        ("a", "\ud800", InvalidInput),
        ("a", "v" * 8_001, LimitExceeded),
    ],
)
def test_texts_that_cannot_be_stored_are_refused(
    tracking: TrackingService, admin: Actor, key: str, value: str, error: type[Exception]
) -> None:
    run = tracking.start_run(admin, "flights")
    with pytest.raises(error):
        tracking.log(admin, run.id, params={key: value})
    with pytest.raises(error):
        tracking.log(admin, run.id, tags={key: value})


def test_threads_logging_to_one_run_lose_nothing(records: Records, tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")

    def log(thread: int) -> None:
        for step in range(5):
            tracking.log(admin, run.id, metrics=[MetricPoint("loss", float(thread), 1, step)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log, range(8)))
    assert len(tracking.metric_history("default", run.id, "loss")) == 40
    assert tracking.run("default", run.id).latest == (MetricPoint("loss", 7.0, 1, 4),)
    with records.read() as connection:
        logged = select(func.count()).select_from(entries).where(entries.c.action == "run.logged")
        assert connection.scalar(logged) == 40


def test_ids_and_times_that_do_not_fit_are_refused(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    with pytest.raises(InvalidInput, match="snapshot id and a role"):
        tracking.add_inputs(admin, run.id, [RunInput("s1", " ")])
    with pytest.raises(LimitExceeded, match="snapshot id"):
        tracking.start_run(admin, "flights", inputs=[RunInput("s" * 65)])
    with pytest.raises(LimitExceeded, match="parent run id"):
        tracking.log(admin, run.id, tags={PARENT_TAG: "p" * 65})
    with pytest.raises(InvalidInput, match="end time -1"):
        tracking.update_run(admin, run.id, ended=-1)
    with pytest.raises(LimitExceeded, match="artifact location"):
        tracking.create_experiment(admin, "x", artifact_location="x" * 2_049)
    assert tracking.update_run(admin, run.id, ended=5).ended == 5
    assert tracking.run("default", run.id).status == "RUNNING"
