"""The latest value of a metric is the largest by (step, time, value), in whatever order and batches points arrive."""

from __future__ import annotations

import math
import sys
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.store.records import Records
from bailiwick.tracking.metrics import latest_of, normal, rank
from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.service import TrackingService

few = st.integers(0, 2)
values = st.sampled_from([0.0, -0.0, 1.5, -1.5, math.nan, math.inf, -math.inf]) | st.floats()
points = st.lists(
    st.builds(MetricPoint, key=st.sampled_from(["a", "b"]), value=values, time=few, step=st.integers(-1, 1)),
    max_size=12,
)


def _identity(point: MetricPoint) -> tuple[object, ...]:
    kept = normal(point)
    is_nan = math.isnan(kept.value)
    return kept.key, kept.time, kept.step, is_nan, 0.0 if is_nan else kept.value


@given(points, st.randoms())
def test_the_latest_point_does_not_depend_on_the_order_of_arrival(batch: list[MetricPoint], random: Random) -> None:
    shuffled = random.sample(batch, len(batch))
    ranks = {key: rank(point) for key, point in latest_of(batch).items()}
    assert {key: rank(point) for key, point in latest_of(shuffled).items()} == ranks


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(points, max_size=3))
def test_history_and_latest_agree_with_the_rule(
    records: Records, admin: Actor, batches: list[list[MetricPoint]]
) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    for batch in batches:
        tracking.log(admin, run.id, metrics=batch)
    logged = [point for batch in batches for point in batch]
    for key in ("a", "b"):
        history = tracking.metric_history("default", run.id, key)
        assert {_identity(point) for point in history} == {_identity(each) for each in logged if each.key == key}
        assert len({_identity(point) for point in history}) == len(history)
    stored = {_identity(point) for point in tracking.run("default", run.id).latest}
    assert stored == {_identity(point) for point in latest_of(map(normal, logged)).values()}


def test_nan_and_infinity_survive(records: Records, admin: Actor) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, metrics={"nan": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324})
    metrics = tracking.run("default", run.id).metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["up"], metrics["down"]) == (sys.float_info.max, -sys.float_info.max)
    assert metrics["tiny"] == 5e-324


def test_history_is_by_time_then_step_then_value(records: Records, admin: Actor) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    written = [MetricPoint("m", 1.0, 2, 0), MetricPoint("m", 3.0, 1, 1), MetricPoint("m", 2.0, 1, 1)]
    tracking.log(admin, run.id, metrics=written)
    assert tracking.metric_history("default", run.id, "m") == [written[2], written[1], written[0]]


@pytest.mark.parametrize(
    "point", [MetricPoint("m", 1.0, -1), MetricPoint("m", 1.0, 2**63), MetricPoint("m", 1.0, 0, 2**63)]
)
def test_times_and_steps_outside_64_bits_are_refused(records: Records, admin: Actor, point: MetricPoint) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    with pytest.raises(InvalidInput, match="64 bits"):
        tracking.log(admin, run.id, metrics=[point])


def test_ten_thousand_points_are_one_quick_batch(records: Records, admin: Actor) -> None:
    tracking = TrackingService(records)
    run = tracking.start_run(admin, "flights")
    tracking.log(admin, run.id, metrics=[MetricPoint("loss", 1 / (1 + n), n, n) for n in range(10_000)])
    assert len(tracking.metric_history("default", run.id, "loss")) == 10_000
    assert tracking.run("default", run.id).metrics == {"loss": 1 / 10_000}
