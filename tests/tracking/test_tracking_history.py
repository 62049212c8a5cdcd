"""Metric histories: pages join to the whole, samples keep both ends and spread evenly between them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, LimitExceeded, NotFound
from bailiwick.store.records import Records
from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.service import TrackingService

VALUES = st.sampled_from([0.0, 1.0, -2.5, math.nan])
POINTS = st.lists(st.builds(MetricPoint, st.just("m"), VALUES, st.integers(0, 2), st.integers(-1, 2)), max_size=12)


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POINTS, st.integers(1, 4))
def test_pages_join_to_the_whole_history(records: Records, admin: Actor, points: list[MetricPoint], size: int) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, metrics=points)
    whole = tracking.metric_history("default", run.id, "m")
    joined: list[MetricPoint] = []
    token = ""
    while True:
        page = tracking.metric_history_page("default", run.id, "m", limit=size, token=token)
        joined += page.items
        token = page.next
        if not token:
            break
    assert repr(joined) == repr(whole)
    assert repr(tracking.metric_history_page("default", run.id, "m").items) == repr(whole)


def _tiles(points: list[MetricPoint], limit: int) -> list[MetricPoint]:
    """NTILE written out: `limit` stretches, the first ones one longer, the first point of each."""
    size, longer = divmod(len(points), limit)
    starts, at = [], 0
    for place in range(min(limit, len(points))):
        starts.append(at)
        at += size + (place < longer)
    chosen = [points[start] for start in starts]
    if points and chosen[-1] is not points[-1]:
        chosen = [*chosen[: limit - 1], points[-1]]
    return chosen


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POINTS, POINTS, st.integers(1, 9))
def test_samples_are_spread_evenly_and_end_where_the_history_ends(
    records: Records, admin: Actor, one: list[MetricPoint], two: list[MetricPoint], limit: int
) -> None:
    tracking = TrackingService(records)
    runs = [tracking.start_run(admin, "flights") for _ in range(2)]
    for run, points in zip(runs, (one, two), strict=True):
        tracking.log(admin, run.id, metrics=points)
    samples = tracking.metric_samples("default", [run.id for run in runs], "m", limit=limit)
    for run in runs:
        whole = tracking.metric_history("default", run.id, "m")
        plain = {id(each): 0.0 if math.isnan(each.value) else each.value for each in whole}
        whole.sort(key=lambda each: (each.step, each.time, plain[id(each)], math.isnan(each.value)))
        assert repr(samples[run.id]) == repr(_tiles(whole, limit))


def test_a_long_history_is_thinned_out_for_a_chart(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, metrics=[MetricPoint("m", at, at, at) for at in range(3_000)])
    sample = tracking.metric_samples("default", [run.id, "missing"], "m")
    assert sample["missing"] == []
    steps = [point.step for point in sample[run.id]]
    assert (len(steps), steps[0], steps[-1]) == (320, 0, 2_999)
    assert max(later - earlier for earlier, later in pairwise(steps)) <= 19
    some = tracking.metric_samples("default", [run.id], "m", limit=5, steps=(10, 12))[run.id]
    assert [point.step for point in some] == [10, 11, 12]


def test_histories_of_several_runs_come_run_by_run(tracking: TrackingService, admin: Actor, stranger: Actor) -> None:
    runs = sorted(tracking.start_run(admin, "flights").id for _ in range(2))
    for run in runs:
        tracking.log(admin, run, metrics=[MetricPoint("m", at, 1, at) for at in (2, 1)])
    found = tracking.metric_histories("default", [*reversed(runs), "missing"], "m", limit=10)
    assert [(run, point.step) for run, point in found] == [(run, step) for run in runs for step in (1, 2)]
    assert len(tracking.metric_histories("default", runs, "m", limit=3)) == 3
    assert tracking.metric_histories("elsewhere", runs, "m", limit=3) == []
    assert tracking.metric_samples("elsewhere", runs, "m") == {run: [] for run in runs}


def test_what_makes_no_sense_is_refused(tracking: TrackingService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, metrics=[MetricPoint("m", at, at) for at in range(3)])
    with pytest.raises(InvalidInput, match="not positive"):
        tracking.metric_history_page("default", run.id, "m", limit=0)
    with pytest.raises(InvalidInput, match="not positive"):
        tracking.metric_samples("default", [run.id], "m", limit=0)
    token = tracking.metric_history_page("default", run.id, "m", limit=1).next
    with pytest.raises(InvalidInput, match="another query"):
        tracking.metric_history_page("default", run.id, "other", limit=1, token=token)
    with pytest.raises(NotFound, match="'missing'"):
        tracking.metric_history_page("default", "missing", "m")
    for many in ([], ["r"] * 101):
        with pytest.raises(LimitExceeded, match="1 to 100"):
            tracking.metric_samples("default", many, "m")


def test_curves_are_samples_of_every_metric_of_every_run(
    tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    runs = [tracking.start_run(admin, "flights") for _ in range(3)]
    for place, run in enumerate(runs[:2]):
        points = [MetricPoint(key, float(step), step, step) for key in ("a", "b") for step in range(50 + place)]
        tracking.log(admin, run.id, metrics=points)
    ids = [run.id for run in runs]
    curves = tracking.metric_curves("default", ids, ["a", "b", "none", "a"], limit=10)
    assert sorted(curves) == sorted((run_id, key) for run_id in ids[:2] for key in ("a", "b"))
    for (run_id, key), points in curves.items():
        assert points == tracking.metric_samples("default", [run_id], key, limit=10)[run_id]
    assert tracking.metric_curves("default", [], ["a"]) == tracking.metric_curves("default", ids, []) == {}
    assert tracking.metric_curves(stranger.workspace, ids, ["a"]) == {}
    with pytest.raises(LimitExceeded, match="1000 curves"):
        tracking.metric_curves("default", ids, [str(key) for key in range(400)])
    with pytest.raises(InvalidInput, match="limit 0"):
        tracking.metric_curves("default", ids, ["a"], limit=0)
