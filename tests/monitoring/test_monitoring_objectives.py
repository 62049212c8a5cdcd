"""Promises about endpoints: what workers report, when an alarm is raised, and how seldom one is raised for nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, NotAllowed
from bailiwick.endpoints.log import PredictionLogs
from bailiwick.endpoints.reporting import CLASSES, LATENCY_BOUNDS_US, Counts, WorkerReport
from bailiwick.monitoring.model import SERVING, AlarmStatus, Kind
from bailiwick.monitoring.objectives.burn import ALPHA, LOOK_MS, PAIRS, tail
from bailiwick.monitoring.objectives.model import Objectives
from bailiwick.monitoring.objectives.service import ServingWatch
from bailiwick.monitoring.service import MonitorService
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

MINUTE = 60_000


def counts(answered: int = 0, failed: int = 0, slow: int = 0) -> Counts:
    """Answers of 1 ms, answers of 100 ms, failures."""
    latency = [0] * CLASSES
    latency[LATENCY_BOUNDS_US.index(1_000)] = answered
    latency[LATENCY_BOUNDS_US.index(100_000)] = slow
    return Counts(failed, tuple(latency))


class Stage:
    """Workers, and somebody on duty who looks every 5 s."""

    def __init__(self, records: Records, clock: FakeClock, actor: Actor, tables: DeltaTables) -> None:
        self.clock, self.actor = clock, actor
        self.watch = ServingWatch(records)
        self.monitors = MonitorService(records, PredictionLogs(tables))
        self.totals: dict[str, Counts] = {}

    def serve(self, new: Counts = Counts(), *, worker: str = "a", leaving: bool = False, fails: str = "") -> None:  # noqa: B008
        """One worker reports what it answered since its last report."""
        self.totals[worker] = self.totals.get(worker, Counts()) + new
        served = () if fails else ("late",)
        self.watch.report(
            self.actor,
            WorkerReport(
                worker=worker,
                revision=3,
                endpoints=served,
                failures={"late": fails} if fails else {},
                counts={"late": self.totals[worker]},
                leaving=leaving,
            ),
        )

    def look(self, seconds: int = 5) -> list[str]:
        """Time passes, with a look every 5 s; returns what was said."""
        said: list[str] = []
        for _ in range(0, seconds, 5):
            self.clock.now += LOOK_MS
            said += self.watch.judge(self.actor, ["late"])
        return said

    def live(self, seconds: int, new: Counts = Counts()) -> list[str]:  # noqa: B008
        """The same while a worker reports."""
        said: list[str] = []
        for _ in range(0, seconds, 5):
            self.serve(new)
            said += self.look()
        return said

    def open(self) -> list[Kind]:
        found = self.monitors.alarms("default", "late", AlarmStatus.OPEN.value)
        return sorted(alarm.kind for alarm in found)


@pytest.fixture
def stage(records: Records, clock: FakeClock, admin: Actor, tables: DeltaTables) -> Stage:
    return Stage(records, clock, admin, tables)


def test_a_report_that_comes_twice_counts_once_and_one_that_was_lost_is_made_good(stage: Stage) -> None:
    stage.serve(counts(answered=10))
    stage.serve()
    stage.totals["a"] += counts(answered=5)  # its report is lost
    stage.serve(counts(failed=1))
    assert [burn.requests for burn in stage.watch.standings("default", "late")[0].burns[:1]] == [16]


def test_a_worker_that_starts_anew_counts_anew_and_workers_add_up(stage: Stage) -> None:
    stage.serve(counts(answered=10, failed=2))
    stage.totals["a"] = Counts()
    stage.serve(counts(answered=3))
    stage.serve(counts(answered=4), worker="b")
    (availability,) = stage.watch.standings("default", "late")
    assert (availability.burns[0].requests, availability.burns[0].bad) == (19, 2)


def test_a_silent_worker_raises_an_alarm_within_a_quarter_of_a_minute_that_ends_when_one_is_back(stage: Stage) -> None:
    stage.live(20)
    assert stage.look(10) == []
    (said,) = stage.look(5)
    assert "No worker has been heard of for 20 s" in said
    assert stage.open() == [Kind.SERVING_DOWN]
    assert stage.look(300) == []
    stage.serve(worker="b")
    (said,) = stage.look()
    assert "does again what was promised" in said
    assert stage.open() == []


def test_one_worker_that_goes_on_is_enough(stage: Stage) -> None:
    stage.live(10)
    for _ in range(20):
        stage.serve(worker="b")
        assert stage.look() == []


def test_workers_that_were_asked_to_end_have_a_minute_to_come_back(stage: Stage) -> None:
    stage.live(10)
    stage.serve(leaving=True)
    assert stage.look(60) == []
    (said,) = stage.look(5)
    assert "The last worker was stopped 65 s ago, and none has started since." in said


def test_a_server_that_was_stopped_in_order_raises_nothing_when_it_is_started_again(stage: Stage) -> None:
    stage.live(10)
    stage.serve(leaving=True)
    stage.clock.now += 3_600_000
    assert stage.look() == []
    stage.serve(worker="b")
    assert stage.live(60) == []


def test_who_begins_to_watch_gives_workers_their_time(stage: Stage) -> None:
    stage.live(10)
    stage.clock.now += 3_600_000  # the whole machine was off
    assert stage.look(20) == []
    assert len(stage.look(5)) == 1


def test_an_endpoint_that_nobody_ever_served_is_not_down(stage: Stage) -> None:
    assert stage.look(120) == []


def test_an_endpoint_that_no_worker_could_load_is_down_at_once_with_the_reason(stage: Stage) -> None:
    stage.serve(fails="model.onnx is not an ONNX model")
    (said,) = stage.look()
    assert "model.onnx is not an ONNX model" in said


def test_an_outage_of_a_quiet_endpoint_is_told_after_a_few_requests(stage: Stage) -> None:
    """Where one of a thousand may fail, two that fail may be chance; that three of three do never is."""
    assert [len(stage.live(5, counts(failed=1))) for _ in range(4)] == [0, 0, 1, 0]
    assert stage.open() == [Kind.AVAILABILITY]


def test_an_outage_of_a_busy_endpoint_is_told_at_once_and_the_alarm_ends_by_itself(stage: Stage) -> None:
    assert stage.live(120, counts(answered=500)) == []
    (said,) = stage.live(30, counts(answered=100, failed=400))
    assert "requests failed in an hour, where 0.100% may" in said
    stage.clock.now += 6 * 60 * MINUTE  # the short window of the slowest pair
    assert "does again" in "".join(stage.live(10, counts(answered=500)))
    assert stage.open() == []


def test_failures_at_the_promised_rate_raise_nothing(stage: Stage) -> None:
    stage.watch.promise(stage.actor, "late", Objectives(availability=0.99, latency_us=10_000, latency_share=0.95))
    assert stage.live(600, counts(answered=940, failed=10, slow=50)) == []


def test_slow_answers_break_a_promise_of_latency_only(stage: Stage) -> None:
    stage.watch.promise(stage.actor, "late", Objectives(latency_us=10_000))
    (said,) = stage.live(30, counts(answered=50, slow=50))
    assert "answers took longer than 10 ms" in said
    assert stage.open() == [Kind.LATENCY]


def test_what_is_left_of_the_budget_is_known(stage: Stage) -> None:
    assert stage.watch.standings("default", "late")[0].budget_left is None
    stage.serve(counts(answered=9_995, failed=5))
    assert stage.watch.standings("default", "late")[0].budget_left == pytest.approx(0.5)


def test_promises_are_kept_changed_and_journalled(stage: Stage, stranger: Actor) -> None:
    promised = Objectives(availability=0.99)
    assert stage.watch.promise(stage.actor, "late", promised) == promised
    stage.watch.promise(stage.actor, "late", promised)
    stage.watch.promise(stage.actor, "late", Objectives(availability=0.95))
    assert stage.watch.objectives("default") == {"late": Objectives(availability=0.95)}
    assert stage.watch.objectives(stranger.workspace) == {}


@pytest.mark.parametrize(
    "wrong", [{"availability": 1.0}, {"availability": 0.2}, {"latency_us": 1_234}, {"latency_share": 1.5}]
)
def test_a_promise_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Objectives(**wrong)  # type: ignore[arg-type]


def test_a_viewer_neither_reports_nor_promises(stage: Stage, viewer: Actor) -> None:
    with pytest.raises(NotAllowed):
        stage.watch.report(viewer, WorkerReport(worker="a", revision=1))
    with pytest.raises(NotAllowed):
        stage.watch.promise(viewer, "late", Objectives())


@given(
    requests=st.integers(1, 3000),
    budget=st.floats(1e-4, 0.1),
    pair=st.sampled_from(PAIRS),
)
@settings(deadline=None)
def test_at_the_rate_of_a_pair_a_look_is_wrong_at_most_as_often_as_said(
    requests: int, budget: float, pair: object
) -> None:
    """Exact: the chance of all counts of failures at which the test would speak."""
    allowed = min(pair.rate * budget, 1.0)  # type: ignore[attr-defined]
    speaks = next((bad for bad in range(requests + 2) if tail(bad, requests, allowed) < ALPHA), requests + 1)
    assert stats.binom.sf(speaks - 1, requests, allowed) <= ALPHA * (1 + 1e-6)


@given(st.lists(st.integers(0, 1000), min_size=CLASSES, max_size=CLASSES))
def test_bounds_and_classes_agree(latency: list[int]) -> None:
    found = Counts(0, tuple(latency))
    slower = [found.slower_than(bound) for bound in LATENCY_BOUNDS_US]
    assert all(before >= after for before, after in pairwise(slower))
    assert slower[0] == sum(latency[1:])
    assert slower[-1] == latency[-1]


def test_serving_alarms_are_not_of_data() -> None:
    assert not any(kind.of_data for kind in SERVING)
