"""Monitors on real tables and databases: each window judged once, alarms raised once, in time."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.clock import MILLISECONDS_PER_DAY as DAY
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.data.profile import build_profile, to_json
from bailiwick.endpoints.log import PredictionLogs, outcome_schema, prediction_schema
from bailiwick.monitoring.model import WATCHED, AlarmStatus, Kind, MonitorConfig, Window, WindowStatus
from bailiwick.monitoring.service import MonitorService
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records

HOUR = DAY // 24
MONDAY = 20_000 * DAY
CONFIG = MonitorConfig(outcome_delay_ms=6 * HOUR)


class Stage:
    """A monitored endpoint whose traffic the test makes, a day at a time."""

    def __init__(self, records: Records, tables: DeltaTables, actor: Actor) -> None:
        self.actor = actor
        self.logs = PredictionLogs(tables)
        self.log = self.logs.of("default")
        self.monitors = MonitorService(records, self.logs)
        self.rng = np.random.default_rng(5)
        self.sent = 0

    def watch(self, config: MonitorConfig = CONFIG, *, version: int = 1) -> None:
        self.monitors.configure(self.actor, "late", config)
        sample = self._features(4000, 0.0)
        profile = to_json(build_profile(sample))
        self.monitors.set_reference(
            self.actor, "late", model="flights", version=version, profile=profile, expected_loss=0.2
        )

    def day(self, number: int, *, rows: int = 400, shift: float = 0.0, wrong: float = 0.2, version: int = 1) -> None:
        """Traffic of one day, an outcome for each prediction."""
        time = np.sort(self.rng.integers(0, DAY, rows)) + MONDAY + number * DAY
        ids = [f"{self.sent + row:032x}:0" for row in range(rows)]
        features = self._features(rows, shift)
        decided = features["out_probability"].to_numpy() >= 0.5
        missed = self.rng.random(rows) < wrong
        columns = {
            "prediction_id": ids,
            "request_id": [text[:32] for text in ids],
            "row": [0] * rows,
            "endpoint": ["late"] * rows,
            "epoch": [1] * rows,
            "variant": [f"v{version}"] * rows,
            "model": ["flights"] * rows,
            "version": [version] * rows,
            "unit": ids,
            "time": time,
            "received": time,
            "latency_us": [800] * rows,
            "status": [200] * rows,
            "error": [None] * rows,
        }
        logged = pa.table(columns, schema=prediction_schema())
        for name in ("hour", "carrier"):
            logged = logged.append_column(f"in_{name}", features[name])
        self.log.append_predictions("late", logged.append_column("out_probability", features["out_probability"]))
        outcomes = {"prediction_id": ids, "outcome": np.where(missed, ~decided, decided) * 1.0}
        outcomes |= {"time": time + HOUR, "received": time + HOUR}
        self.log.append_outcomes("late", pa.table(outcomes, schema=outcome_schema()))
        self.sent += rows

    def _features(self, rows: int, shift: float) -> pa.Table:
        return pa.table(
            {
                "hour": pa.array(self.rng.integers(0, 24, rows) + shift * 12, pa.float32()),
                "carrier": pa.array(self.rng.choice(["AA", "UA", "DL"], rows)),
                "out_probability": pa.array(np.clip(self.rng.random(rows) + shift / 3, 0, 1), pa.float32()),
            }
        )

    def evaluate(self) -> list[Window]:
        return self.monitors.evaluate_due(self.actor, "late")


@pytest.fixture
def stage(records: Records, tables: DeltaTables, admin: Actor) -> Stage:
    return Stage(records, tables, admin)


def test_each_complete_window_is_judged_once_and_in_order(stage: Stage) -> None:
    stage.watch()
    for number in range(3):
        stage.day(number)
    done = stage.evaluate()
    assert [(window.start, window.end) for window in done] == [
        (MONDAY, MONDAY + DAY),
        (MONDAY + DAY, MONDAY + 2 * DAY),
    ]
    assert all(window.status is WindowStatus.OK for window in done)
    assert all(window.predictions == window.outcomes == 400 for window in done)
    assert done[0].performance["misclassification"] == pytest.approx(0.2, abs=0.06)
    assert [drift.feature for drift in done[0].drift] == ["hour", "carrier"]
    assert done[0].prediction_drift is not None
    assert stage.evaluate() == []
    assert stage.monitors.windows("default", "late") == done
    assert stage.monitors.window("default", done[0].id) == done[0]


def test_a_window_waits_for_its_outcomes(stage: Stage) -> None:
    stage.watch(MonitorConfig(outcome_delay_ms=DAY))
    stage.day(0)
    stage.day(1)
    assert stage.evaluate() == []
    stage.day(2)
    assert len(stage.evaluate()) == 1


def test_days_without_predictions_are_passed_over(stage: Stage) -> None:
    stage.watch()
    stage.day(0)
    stage.day(40)
    stage.day(41)
    assert [(window.start - MONDAY) // DAY for window in stage.evaluate()] == [0, 40]


def test_a_shift_raises_one_alarm_of_each_kind_until_it_is_answered(stage: Stage) -> None:
    stage.watch()
    for number in range(5):
        stage.day(number, shift=0.0 if number == 0 else 1.0, wrong=0.2 if number == 0 else 0.6)
    done = stage.evaluate()
    assert [window.status for window in done] == ["ok", "alarm", "alarm", "alarm"]
    raised = stage.monitors.alarms("default", endpoint="late", status="OPEN")
    assert {alarm.kind for alarm in raised} == set(WATCHED)
    assert len(raised) == 3
    drift = next(alarm for alarm in raised if alarm.kind is Kind.FEATURE_DRIFT)
    assert drift.window == done[1].id
    assert "hour" in drift.message
    stage.monitors.acknowledge(stage.actor, drift.id, "a new schedule")
    stage.day(5, shift=1.0, wrong=0.6)
    stage.evaluate()
    again = stage.monitors.alarms("default", endpoint="late", status="OPEN")
    assert len(again) == 3
    answered = stage.monitors.alarm("default", drift.id)
    assert (answered.status, answered.note, answered.closed_by) == (AlarmStatus.ACKNOWLEDGED, "a new schedule", "admin")


def test_another_version_is_held_against_its_own_reference(stage: Stage) -> None:
    stage.watch()
    stage.watch(version=2)
    for number in range(4):
        stage.day(number, shift=1.0, wrong=0.2, version=1 if number < 2 else 2)
    assert [window.version for window in stage.evaluate()] == [1, 1, 2]
    kinds = [(alarm.version, alarm.kind) for alarm in stage.monitors.alarms("default")]
    assert {version for version, kind in kinds if kind is Kind.FEATURE_DRIFT} == {1, 2}
    assert len(kinds) == len(set(kinds))


def test_thin_windows_and_unknown_versions_never_alarm(stage: Stage) -> None:
    stage.watch()
    stage.day(0, rows=30, shift=1.0, wrong=1.0)
    stage.day(1, shift=1.0, wrong=1.0, version=7)
    stage.day(2)
    assert [window.status for window in stage.evaluate()] == [WindowStatus.THIN, WindowStatus.NO_REFERENCE]
    assert stage.monitors.alarms("default") == []


def test_what_is_not_watched_is_not_judged(stage: Stage) -> None:
    stage.day(0)
    stage.day(1)
    assert stage.evaluate() == []


def test_of_two_processes_one_judges_a_window(stage: Stage) -> None:
    stage.watch()
    stage.day(0)
    stage.day(1)
    seen = stage.monitors._monitor("default", "late")
    assert seen is not None
    assert stage.monitors._evaluate(stage.actor, seen, MONDAY) is not None
    assert stage.monitors._evaluate(stage.actor, seen, MONDAY) is None
    assert len(stage.monitors.windows("default", "late")) == 1


def test_configuring_twice_is_configuring_once(stage: Stage) -> None:
    stage.watch()
    references = stage.monitors.references("default", "late")
    known = references[0]
    stage.monitors.configure(stage.actor, "late", CONFIG)
    again = stage.monitors.set_reference(
        stage.actor, "late", model="flights", version=1, profile=known.profile, expected_loss=0.2
    )
    assert again == known
    assert stage.monitors.references("default", "late") == references


def test_the_summary_counts_promised_and_raised_alarms(stage: Stage) -> None:
    stage.watch()
    for number in range(4):
        stage.day(number)
    stage.evaluate()
    summary = stage.monitors.summary("default", "late")
    assert summary.judged == 3
    assert summary.promised[Kind.PERFORMANCE] == pytest.approx(3 * 0.4 / 90)
    assert summary.raised == dict.fromkeys(WATCHED, 0)
    assert (summary.open_alarms, len(summary.windows)) == ((), 3)


def test_a_resolved_alarm_stays_resolved(stage: Stage) -> None:
    stage.watch()
    stage.day(0, shift=1.0)
    stage.day(1)
    stage.evaluate()
    alarm = stage.monitors.alarms("default")[0]
    resolved = stage.monitors.resolve(stage.actor, alarm.id, "retrained")
    assert stage.monitors.resolve(stage.actor, alarm.id) == resolved
    with pytest.raises(Conflict):
        stage.monitors.acknowledge(stage.actor, alarm.id)


def test_monitors_are_private_to_their_workspace_and_need_the_permission(
    stage: Stage, viewer: Actor, stranger: Actor
) -> None:
    stage.watch()
    stage.day(0, shift=1.0)
    stage.day(1)
    stage.evaluate()
    alarm = stage.monitors.alarms("default")[0]
    assert stage.monitors.alarms("elsewhere") == []
    assert stage.monitors.evaluate_due(stranger, "late") == []
    unwatched = stage.monitors.summary("elsewhere", "late")
    assert (unwatched.config, unwatched.windows, unwatched.judged) == (None, (), 0)
    done = stage.monitors.windows("default", "late")
    with pytest.raises(NotFound):
        stage.monitors.window("elsewhere", done[0].id)
    with pytest.raises(NotFound):
        stage.monitors.alarm("elsewhere", alarm.id)
    with pytest.raises(NotAllowed):
        stage.monitors.configure(viewer, "late", CONFIG)
    with pytest.raises(NotAllowed):
        stage.monitors.set_reference(viewer, "late", model="m", version=1, profile="{}")
    with pytest.raises(NotAllowed):
        stage.monitors.evaluate_due(viewer, "late")
    with pytest.raises(NotAllowed):
        stage.monitors.acknowledge(viewer, alarm.id)
    with pytest.raises(NotFound):
        stage.monitors.acknowledge(stranger, alarm.id)


def test_a_reference_must_be_a_profile_and_a_status_a_status(stage: Stage) -> None:
    with pytest.raises(InvalidInput, match="not a profile"):
        stage.monitors.set_reference(stage.actor, "late", model="m", version=1, profile="{}")
    with pytest.raises(InvalidInput, match="OPEN"):
        stage.monitors.alarms("default", status="open")


def test_a_busy_window_is_read_and_judged_in_time(stage: Stage) -> None:
    stage.watch()
    for number in range(5):
        stage.day(number, rows=6000)
    started = perf_counter()
    done = stage.evaluate()
    each = (perf_counter() - started) / len(done)
    print(f"a window of 6000 predictions and outcomes: {each * 1000:.0f} ms")
    assert each < 2.0  # generous: the machine may be shared
