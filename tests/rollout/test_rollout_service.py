"""Rollouts from start to end on real tables and databases: an equal version is promoted, a broken one is rolled back."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, NotAllowed, NotFound
from bailiwick.endpoints.assignment import choose_many
from bailiwick.endpoints.log import PredictionLogs, outcome_schema, prediction_schema
from bailiwick.endpoints.model import Variant
from bailiwick.endpoints.service import EndpointService
from bailiwick.rollout.canary import WRONG, CanaryConfig
from bailiwick.rollout.evidence import count_units
from bailiwick.rollout.model import Rollout, Status
from bailiwick.rollout.service import RolloutService
from bailiwick.store.delta import DeltaTables
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records

CONFIG = CanaryConfig(ramp=(10, 50), min_units_per_step=500)
DAY = 86_400_000


class Stage:
    """An endpoint with version 1 in service, and traffic whose outcomes are known at once."""

    def __init__(self, records: Records, tables: DeltaTables, actor: Actor) -> None:
        self.records, self.actor = records, actor
        self.endpoints = EndpointService(records)
        self.logs = PredictionLogs(tables)
        self.log = self.logs.of("default")
        self.rollouts = RolloutService(records, self.endpoints, self.logs)
        self.endpoints.deploy(actor, "late", model="flights", version=1, package="a" * 64)
        self.rng = np.random.default_rng(7)
        self.sent = 0

    def start(self, config: CanaryConfig = CONFIG) -> Rollout:
        return self.rollouts.start(self.actor, "late", model="flights", version=2, package="b" * 64, config=config)

    def send(self, rows: int, wrong: dict[int, float], failed: dict[int, float] | None = None) -> None:
        """`wrong` and `failed` are rates by model version."""
        endpoint = self.endpoints.endpoint(self.actor.workspace, "late")
        ids = [f"{self.sent + row:032x}:0" for row in range(rows)]
        chosen = [endpoint.variants[index] for index in choose_many(endpoint, ids)]
        version = np.array([variant.version for variant in chosen])
        fails = self.rng.random(rows) < np.array([(failed or {}).get(v, 0.0) for v in version])
        misses = self.rng.random(rows) < np.array([wrong[v] for v in version])
        decided = self.rng.random(rows) < 0.5
        time = np.arange(self.sent, self.sent + rows)
        columns = {
            "prediction_id": ids,
            "request_id": [text[:32] for text in ids],
            "row": [0] * rows,
            "endpoint": ["late"] * rows,
            "epoch": [endpoint.epoch] * rows,
            "variant": [variant.name for variant in chosen],
            "model": ["flights"] * rows,
            "version": version,
            "unit": ids,
            "time": time,
            "received": time,
            "latency_us": [900] * rows,
            "status": np.where(fails, 500, 200),
            "error": [None] * rows,
        }
        predictions = pa.table(columns, schema=prediction_schema())
        predictions = predictions.append_column("out_probability", pa.array(np.where(decided, 0.9, 0.1), pa.float32()))
        self.log.append_predictions("late", predictions)
        outcome = np.where(misses, ~decided, decided).astype(float)
        known = {"prediction_id": ids, "outcome": outcome, "time": time, "received": time}
        self.log.append_outcomes("late", pa.table(known, schema=outcome_schema()).filter(pa.array(~fails)))
        self.sent += rows

    def run(self, rollout: Rollout, wrong: dict[int, float], failed: dict[int, float] | None = None) -> Rollout:
        for _ in range(12):
            if rollout.status is not Status.RUNNING:
                break
            self.send(1500, wrong, failed)
            rollout = self.rollouts.advance(self.actor, rollout.id)
        return rollout

    def serving(self) -> list[tuple[int, int]]:
        found = self.endpoints.endpoint(self.actor.workspace, "late")
        return [(variant.version, variant.weight) for variant in found.variants]

    def journalled(self) -> list[str]:
        with self.records.read() as connection:
            found = select(entries.c.action).where(entries.c.resource.like("rollout/%")).order_by(entries.c.number)
            return list(connection.scalars(found))


@pytest.fixture
def stage(records: Records, tables: DeltaTables, admin: Actor) -> Stage:
    return Stage(records, tables, admin)


def test_starting_gives_the_candidate_the_first_step_ahead_of_the_control(stage: Stage) -> None:
    started = stage.start()
    assert stage.serving() == [(2, 1000), (1, 9000)]
    assert started.status is Status.RUNNING
    assert stage.rollouts.active("default", "late") == started


def test_an_equal_version_is_promoted(stage: Stage) -> None:
    ended = stage.run(stage.start(), {1: 0.2, 2: 0.2})
    assert ended.status is Status.PROMOTED
    assert stage.serving() == [(2, 10_000)]
    assert stage.rollouts.active("default", "late") is None
    assert [decision.action for decision in ended.decisions][-1] == "promote"
    assert stage.journalled()[0] == "rollout.started"
    assert stage.journalled()[-1] == "rollout.promoted"
    assert "rollout.stepped" in stage.journalled()


def test_a_broken_version_is_rolled_back(stage: Stage) -> None:
    ended = stage.run(stage.start(), {1: 0.2, 2: 0.6})
    assert ended.status is Status.ROLLED_BACK
    assert stage.serving() == [(1, 10_000)]
    assert "wrong predictions" in ended.reason
    evidence = ended.decisions[-1].evidence[WRONG]
    assert evidence["worse"] >= evidence["worse_needed"]
    assert stage.journalled()[-1] == "rollout.rolled_back"


def test_a_version_that_fails_is_rolled_back_without_any_wrong_prediction(stage: Stage) -> None:
    ended = stage.run(stage.start(), {1: 0.2, 2: 0.2}, {1: 0.0, 2: 0.2})
    assert ended.status is Status.ROLLED_BACK
    assert "failed predictions" in ended.reason


def test_without_outcomes_it_holds_for_ever(stage: Stage) -> None:
    started = stage.start()
    assert stage.rollouts.advance(stage.actor, started.id) == started
    assert stage.serving() == [(2, 1000), (1, 9000)]


def test_starting_twice_returns_the_running_rollout(stage: Stage) -> None:
    assert stage.start() == stage.start()


def test_a_second_candidate_waits_for_the_first(stage: Stage) -> None:
    stage.start()
    with pytest.raises(Conflict, match="under way"):
        stage.rollouts.start(stage.actor, "late", model="flights", version=3, package="c" * 64)


def test_the_version_in_service_is_no_candidate(stage: Stage) -> None:
    with pytest.raises(Conflict, match="already serves"):
        stage.rollouts.start(stage.actor, "late", model="flights", version=1, package="a" * 64)


def test_aborting_gives_the_control_everything_back(stage: Stage) -> None:
    ended = stage.rollouts.abort(stage.actor, stage.start().id, "changed our mind")
    assert (ended.status, ended.reason) == (Status.ABORTED, "changed our mind")
    assert stage.serving() == [(1, 10_000)]
    assert stage.rollouts.abort(stage.actor, ended.id, "again") == ended


def test_traffic_changed_by_hand_ends_the_rollout_and_is_left_alone(stage: Stage) -> None:
    started = stage.start()
    stage.endpoints.deploy(stage.actor, "late", model="flights", version=9, package="d" * 64)
    ended = stage.rollouts.advance(stage.actor, started.id)
    assert ended.status is Status.ABORTED
    assert stage.serving() == [(9, 10_000)]


def test_a_controller_killed_before_traffic_moved_is_finished_by_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = stage.start()
    stage.send(3000, {1: 0.2, 2: 0.7})
    with monkeypatch.context() as patch:
        patch.setattr(stage.endpoints, "set_variants", _killed)
        with pytest.raises(KeyboardInterrupt):
            stage.rollouts.advance(stage.actor, started.id)
    assert stage.serving() == [(2, 1000), (1, 9000)]
    assert stage.rollouts.rollout("default", started.id).status is Status.RUNNING
    assert stage.rollouts.advance(stage.actor, started.id).status is Status.ROLLED_BACK
    assert stage.serving() == [(1, 10_000)]


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_of_two_controllers_that_race_one_decides(stage: Stage) -> None:
    seen = stage.start()
    stage.send(1500, {1: 0.2, 2: 0.2})
    verdict = stage.rollouts.judge("default", seen.id)
    first = stage.rollouts._decide(stage.actor, seen, verdict)
    second = stage.rollouts._decide(stage.actor, seen, verdict)
    assert first == second
    assert len(second.decisions) == 1


def test_long_waits_leave_few_decisions(stage: Stage) -> None:
    rollout = stage.start(CanaryConfig(ramp=(10,), min_units_per_step=10**6, rollback_alpha=1e-9, promote_beta=1e-9))
    for _ in range(20):
        stage.send(100, {1: 0.2, 2: 0.2})
        rollout = stage.rollouts.advance(stage.actor, rollout.id)
    assert 1 < len(rollout.decisions) < 15


def test_a_rollout_is_plain_json_in_the_journal_and_stays_in_its_workspace(stage: Stage, stranger: Actor) -> None:
    started = stage.start()
    with pytest.raises(NotFound):
        stage.rollouts.rollout("elsewhere", started.id)
    with pytest.raises(NotFound):
        stage.rollouts.advance(stranger, started.id)
    with stage.records.read() as connection:
        detail = connection.scalar(select(entries.c.detail).where(entries.c.action == "rollout.started"))
    assert json.loads(detail or "")["candidate"]["version"] == 2


def test_a_reader_may_not_move_traffic(stage: Stage, viewer: Actor) -> None:
    started = stage.start()
    with pytest.raises(NotAllowed):
        stage.rollouts.start(viewer, "late", model="flights", version=2, package="b" * 64)
    with pytest.raises(NotAllowed):
        stage.rollouts.advance(viewer, started.id)
    with pytest.raises(NotAllowed):
        stage.rollouts.abort(viewer, started.id, "no")


def test_a_split_that_is_no_rollout_is_refused(stage: Stage) -> None:
    halves = [Variant(name, "flights", number, name * 64, 5000) for number, name in ((1, "a"), (2, "b"))]
    stage.endpoints.set_variants(stage.actor, "late", halves, reason="by hand")
    with pytest.raises(Conflict, match="split already"):
        stage.start()


def test_a_unit_counts_once_at_its_first_bad_event() -> None:
    rows = pa.table(
        {
            "time": [1, 2, 3, 4, 5, 6],
            "epoch": [1, 1, 2, 2, 2, 9],
            "variant": ["old", "new", "new", "new", "old", "new"],
            "unit": ["u", "v", "u", "u", "w", "x"],
            "bad": [False, False, True, True, False, True],
        }
    )
    first, second = count_units(rows, {1: 0.1, 2: 0.5}, ("new", "old"))
    assert (first.candidate_units, first.control_units, first.candidate_bad, first.control_bad) == (1, 0, 0, 0)
    assert (second.candidate_units, second.control_units, second.candidate_bad, second.control_bad) == (1, 1, 1, 0)


def test_no_rows_are_no_evidence() -> None:
    rows = pa.table({name: pa.array([], kind) for name, kind in (("time", pa.int64()), ("epoch", pa.int32()), ("variant", pa.string()), ("unit", pa.string()), ("bad", pa.bool_()))})  # fmt: skip
    assert count_units(rows, {1: 0.5}, ("new", "old"))[0].units == 0
