"""What happens after a version is proposed: approval, first deployment, canary, promotion, alarms and retraining."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotAllowed, NotFound
from bailiwick.endpoints.assignment import choose_many
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.duties import Duties
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.releasable import releasable
from bailiwick.lifecycle.release import release_proposed, settle_promotions
from bailiwick.lifecycle.retraining import retrain_on_alarms
from bailiwick.lifecycle.training.pipeline import engine_for, training_pipeline
from bailiwick.monitoring.model import AlarmStatus
from bailiwick.pipelines.project import load_project
from bailiwick.rollout.model import Status
from tests_support.fraud_project import DAY, START, rows

Train = Callable[..., int]


@pytest.fixture
def train(platform: Platform, admin: Actor, folder: Path) -> Train:
    """Runs the pipeline and returns the version's number."""

    def run(**params: object) -> int:
        project = apply_project(platform, admin, load_project(folder))
        wanted = {"project": "fraud", "start": None, "end": None, "reason": "test", **params}
        submitted = platform.pipelines.submit(admin, training_pipeline(platform, project), wanted)  # type: ignore[arg-type]
        finished = engine_for(platform, submitted).execute(admin, submitted.id)
        assert finished.status == "FINISHED", finished.message
        return int(str(finished.step("register").outputs["version"]))

    return run


def approve(platform: Platform, second: Actor) -> None:
    for request in platform.governance.requests("default", status="PENDING"):
        platform.governance.approve(second, request.id)


def release(platform: Platform, admin: Actor) -> None:
    """The first release, with a salt that is the same each time: who gets which variant decides what is measured."""
    release_proposed(platform, admin)
    with platform.database.write() as connection:
        connection.execute(sqlalchemy.text("UPDATE endpoints SET salt = 'the same each time'"))


def serve(platform: Platform, *, day: int, wrong: str = "", seed: int = 5, a_day: int = 1500) -> None:
    """A day of answered predictions with outcomes, as the data plane logs them; variant `wrong` answers upside down."""
    endpoint = platform.endpoints.endpoint("default", "fraud")
    data = rows(days=1, a_day=a_day, seed=seed + day, first_day=day)
    units = data["id"].to_pylist()
    chosen = [endpoint.variants[index] for index in choose_many(endpoint, units)]
    bad = data["bad"].to_numpy().astype(np.float64)
    right = np.random.default_rng(seed + day).uniform(size=data.num_rows) < 0.8
    good_answer = np.where((bad == 1) == right, 0.7, 0.3)
    probability = [1 - p if v.name == wrong else p for p, v in zip(good_answer, chosen, strict=True)]
    count, ids = data.num_rows, [f"{unit}:0" for unit in units]
    predictions = pa.table(
        {
            "prediction_id": ids,
            "request_id": units,
            "row": pa.array([0] * count, pa.int32()),
            "endpoint": ["fraud"] * count,
            "epoch": pa.array([endpoint.epoch] * count, pa.int32()),
            "variant": [v.name for v in chosen],
            "model": [v.model for v in chosen],
            "version": pa.array([v.version for v in chosen], pa.int32()),
            "unit": units,
            "time": data["at"],
            "received": data["at"],
            "latency_us": pa.array([100] * count, pa.int32()),
            "status": pa.array([200] * count, pa.int16()),
            "error": pa.array([None] * count, pa.string()),
            "in_amount": data["amount"].cast(pa.float32()),
            "in_country": data["country"],
            "out_probability": pa.array(probability, pa.float32()),
        }
    )
    platform.logs.of("default").append_predictions("fraud", predictions)
    outcomes = {"prediction_id": ids, "outcome": bad, "time": data["at"], "received": data["at"]}
    platform.logs.of("default").append_outcomes("fraud", pa.table(outcomes))


def test_nothing_goes_out_before_somebody_else_approves(
    platform: Platform, admin: Actor, second: Actor, train: Train
) -> None:
    train()
    assert release_proposed(platform, admin) == []
    with pytest.raises(NotFound):
        platform.endpoints.endpoint("default", "fraud")
    approve(platform, second)
    assert release_proposed(platform, admin) == ["fraud version 1 serves endpoint fraud"]
    assert platform.registry.aliases("default", "fraud")["production"] == 1
    assert release_proposed(platform, admin) == []


def test_nobody_gets_an_unapproved_version_out_by_hand(
    platform: Platform, admin: Actor, second: Actor, train: Train
) -> None:
    train()
    with pytest.raises(NotAllowed, match="production"):
        releasable(platform, admin, "fraud", 1)
    approve(platform, second)
    assert releasable(platform, admin, "fraud", 1).number == 1


def test_a_second_version_goes_out_by_canary_and_is_promoted_on_evidence(
    platform: Platform, admin: Actor, second: Actor, train: Train, folder: Path
) -> None:
    train()
    approve(platform, second)
    release(platform, admin)
    pq.write_table(rows(seed=9, first_day=10), folder / "data" / "second.parquet")
    train()
    approve(platform, second)
    assert release_proposed(platform, admin) == ["fraud version 2 started a canary on endpoint fraud"]
    [rollout] = platform.rollouts.rollouts("default")
    for day in range(20, 30):
        serve(platform, day=day)
        rollout = platform.rollouts.advance(admin, rollout.id)
        if rollout.status is not Status.RUNNING:
            break
    assert rollout.status is Status.PROMOTED
    assert settle_promotions(platform, admin) == ["fraud version 2 is in production"]
    assert platform.registry.aliases("default", "fraud")["production"] == 2
    assert settle_promotions(platform, admin) == []


def test_a_broken_version_is_rolled_back_and_never_sent_out_again(
    platform: Platform, admin: Actor, second: Actor, train: Train, folder: Path
) -> None:
    train()
    approve(platform, second)
    release(platform, admin)
    pq.write_table(rows(seed=9, first_day=10), folder / "data" / "second.parquet")
    train()
    approve(platform, second)
    release_proposed(platform, admin)
    [rollout] = platform.rollouts.rollouts("default")
    serve(platform, day=20, wrong="v2")
    assert platform.rollouts.advance(admin, rollout.id).status is Status.ROLLED_BACK
    assert [v.version for v in platform.endpoints.endpoint("default", "fraud").variants] == [1]
    assert settle_promotions(platform, admin) == []
    assert platform.registry.aliases("default", "fraud")["production"] == 1
    assert release_proposed(platform, admin) == []


def test_an_alarm_starts_one_training_run_on_the_recent_window(
    platform: Platform, admin: Actor, second: Actor, train: Train
) -> None:
    train()
    approve(platform, second)
    release_proposed(platform, admin)
    for day in range(20, 24):
        serve(platform, day=day, wrong="v1")
    platform.monitors.evaluate_due(admin, "fraud")
    assert platform.monitors.alarms("default", status=AlarmStatus.OPEN)
    [said] = retrain_on_alarms(platform, admin)
    assert "started training run" in said
    run = platform.pipelines.runs("default", limit=1)[0]
    newest = platform.monitors.windows("default", "fraud")[-1]
    assert (run.params["end"], run.params["start"]) == (newest.end, newest.end - 30 * DAY)
    assert run.params["retrain"] is True
    assert retrain_on_alarms(platform, admin) == []
    assert newest.end > START


def test_an_unanswered_alarm_is_answered_again_only_after_the_cooldown(
    platform: Platform, admin: Actor, second: Actor, train: Train
) -> None:
    train()
    approve(platform, second)
    release_proposed(platform, admin)
    for day in range(20, 24):
        serve(platform, day=day, wrong="v1")
    platform.monitors.evaluate_due(admin, "fraud")
    retrain_on_alarms(platform, admin)
    platform.pipelines.cancel(admin, platform.pipelines.runs("default", limit=1)[0].id)
    assert retrain_on_alarms(platform, admin) == []
    for day in range(24, 27):
        serve(platform, day=day, wrong="v1")
    platform.monitors.evaluate_due(admin, "fraud")
    assert len(retrain_on_alarms(platform, admin)) == 1


def test_a_promotion_resolves_what_was_said_of_the_version_before(
    platform: Platform, admin: Actor, second: Actor, train: Train, folder: Path
) -> None:
    train()
    approve(platform, second)
    release(platform, admin)
    for day in range(12, 16):
        serve(platform, day=day, wrong="v1")
    platform.monitors.evaluate_due(admin, "fraud")
    assert {alarm.version for alarm in platform.monitors.alarms("default", status=AlarmStatus.OPEN)} == {1}
    pq.write_table(rows(seed=9, first_day=10), folder / "data" / "second.parquet")
    train()
    approve(platform, second)
    release_proposed(platform, admin)
    [rollout] = platform.rollouts.rollouts("default")
    for day in range(20, 30):
        serve(platform, day=day)
        if platform.rollouts.advance(admin, rollout.id).status is not Status.RUNNING:
            break
    for day in range(31, 34):
        serve(platform, day=day, wrong="v2")
    platform.monitors.evaluate_due(admin, "fraud")
    settle_promotions(platform, admin)
    opened = platform.monitors.alarms("default", status=AlarmStatus.OPEN)
    resolved = platform.monitors.alarms("default", status=AlarmStatus.RESOLVED)
    assert {alarm.version for alarm in opened} == {2}
    assert {alarm.version for alarm in resolved} == {1}
    assert resolved[0].note == "fraud version 2 serves instead"


class _NoRunner:
    busy = False

    def __init__(self) -> None:
        self.executed: list[str] = []

    def execute(self, run_id: str) -> None:
        self.executed.append(run_id)


def test_a_pass_does_everything_that_is_due_in_order(
    platform: Platform, admin: Actor, second: Actor, train: Train
) -> None:
    train()
    approve(platform, second)
    runner = _NoRunner()
    duties = Duties(platform, admin, runner)
    made = duties.make_pass()
    assert made.troubles == ()
    assert made.moved
    assert platform.endpoints.endpoint("default", "fraud").variants[0].version == 1
    assert platform.journal.checkpoint() is not None
    for day in range(20, 24):
        serve(platform, day=day, wrong="v1")
    duties.make_pass()
    duties.make_pass()
    assert len(set(runner.executed)) == 1


def test_a_duty_that_fails_does_not_hold_up_the_others(platform: Platform, admin: Actor, train: Train) -> None:
    train()
    schema = sqlalchemy.text("ALTER TABLE rollouts RENAME TO elsewhere")
    with platform.database.write() as connection:
        connection.execute(schema)
    made = Duties(platform, admin, _NoRunner()).make_pass()
    assert [trouble for trouble in made.troubles if trouble.startswith("rollouts")]
    assert platform.journal.checkpoint() is not None
