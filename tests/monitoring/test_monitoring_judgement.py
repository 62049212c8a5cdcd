"""One window judged: calibrated without a change, quick with one, and exact about numbers that became 32-bit."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.core.clock import MILLISECONDS_PER_DAY as DAY
from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import build_profile
from bailiwick.monitoring.detector import DetectorState
from bailiwick.monitoring.judgement import Judgement, Standard, comparable, judge
from bailiwick.monitoring.model import WATCHED, Kind, MonitorConfig
from bailiwick.monitoring.performance import bounded_baseline, bounded_losses, summarise
from bailiwick.monitoring.windows import Rows

CARRIERS = np.array(["AA", "UA", "DL", "B6", "EV", "WN"])


def _population(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pa.Table:
    hour = rng.integers(5, 23, rows)
    columns = {
        "hour": pa.array(hour, pa.float32()),
        "wind": pa.array(np.round(rng.gamma(4, 2.5, rows), 2) + shift * 5, pa.float32()),
        "distance": pa.array(rng.choice([187.0, 733.5, 1020.1, 2475.0], rows), pa.float32()),
        "carrier": pa.array(rng.choice(CARRIERS, rows, p=[0.3, 0.2, 0.2, 0.15, 0.1, 0.05])),
        "out_probability": pa.array(np.clip(rng.beta(2, 6, rows) + shift * 0.2, 0, 1), pa.float32()),
    }
    return pa.table(columns)


def _rows(rng: np.random.Generator, rows: int, *, shift: float = 0.0, wrong: float = 0.0) -> Rows:
    """Outcomes follow the probabilities, but for a share `wrong` of them that turns round."""
    table = _population(rng, rows, shift)
    probability = table["out_probability"].to_numpy().astype(np.float64)
    outcome = (rng.random(rows) < probability) ^ (rng.random(rows) < wrong)
    return Rows("flights", 1, table, outcome.astype(np.float64), probability)


def _standard(rng: np.random.Generator, rows: int = 5000) -> Standard:
    sample = _rows(rng, rows)
    loss = summarise(*_large_sample(rng))["misclassification"]
    return Standard(build_profile(sample.inputs), loss, DetectorState())


def _large_sample(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    sample = _rows(rng, 200_000)
    return sample.outcomes, sample.probabilities


def _judge(config: MonitorConfig, standard: Standard, rows: Rows) -> Judgement:
    return judge(config, standard, rows, start=0, end=DAY)


def test_without_a_change_the_whole_monitor_keeps_its_budget() -> None:
    """Margins of zero are the hardest null there is; the budget is generous so that it could be overdrawn."""
    config = MonitorConfig(drift_margin=0.0, performance_margin=0.0, false_alarms=1, period_ms=5 * DAY)
    rng = np.random.default_rng(1)
    counted, windows = dict.fromkeys(WATCHED, 0), 300
    for _ in range(3):
        standard = _standard(rng)
        for _ in range(windows // 3):
            found = _judge(config, standard, _rows(rng, 300))
            standard = Standard(standard.profile, standard.expected_loss, found.state)
            for finding in found.findings:
                counted[finding.kind] += 1
    for kind in WATCHED:
        print(
            f"{kind.value}: {counted[kind]} false alarms in {windows} windows, promised at most {config.budget[kind] * windows:.1f}"
        )
    assert sum(counted.values()) <= windows / 5
    assert all(counted[kind] <= config.budget[kind] * windows + 3 for kind in WATCHED)


@pytest.mark.parametrize("rows", [60, 200, 2000])
def test_small_windows_raise_no_more_false_alarms_than_large_ones(rows: int) -> None:
    config, rng = MonitorConfig(), np.random.default_rng(2)
    standard = _standard(rng)
    assert not any(_judge(config, standard, _rows(rng, rows)).findings for _ in range(40))


def test_a_shift_of_inputs_and_predictions_is_named() -> None:
    config, rng = MonitorConfig(), np.random.default_rng(3)
    found = _judge(config, _standard(rng), _rows(rng, 2000, shift=1.0))
    by_kind = {finding.kind: finding for finding in found.findings}
    assert "wind" in by_kind[Kind.FEATURE_DRIFT].message
    assert "carrier" not in by_kind[Kind.FEATURE_DRIFT].message
    assert "1 of 4 inputs" in by_kind[Kind.FEATURE_DRIFT].message
    assert "once in 300 windows" in by_kind[Kind.FEATURE_DRIFT].message
    assert "predicted probabilities" in by_kind[Kind.PREDICTION_DRIFT].message
    assert [drift.feature for drift in found.drift if drift.drifted] == ["wind"]


def test_a_shift_within_the_margin_is_no_alarm_however_many_rows() -> None:
    rng = np.random.default_rng(4)
    found = _judge(MonitorConfig(), _standard(rng, 50_000), _rows(rng, 50_000, shift=0.02))
    assert not found.findings


def test_worse_outcomes_alarm_within_few_windows() -> None:
    config, rng = MonitorConfig(), np.random.default_rng(5)
    standard = _standard(rng)
    window, found = 0, Judgement()
    while not found.findings and window < 8:
        found = _judge(config, standard, _rows(rng, 500, wrong=0.15))
        standard = Standard(standard.profile, standard.expected_loss, found.state)
        window += 1
    print(f"15 % of outcomes turned round: alarm after {window} windows of 500 outcomes")
    assert found.findings[0].kind is Kind.PERFORMANCE
    assert "worse than expected" in found.findings[0].message
    assert window <= 3


def test_without_an_expected_loss_performance_is_reported_but_not_judged() -> None:
    rng = np.random.default_rng(6)
    standard = _standard(rng)
    found = _judge(MonitorConfig(), Standard(standard.profile, None, DetectorState()), _rows(rng, 500, wrong=0.5))
    assert found.performance["auc"] < 0.6
    assert Kind.PERFORMANCE not in found.spent
    assert not found.findings


def test_numbers_that_became_32_bit_stay_in_their_bins() -> None:
    values = np.round(np.random.default_rng(7).uniform(0, 10, 20_000), 1)
    reference = build_profile(pa.table({"x": pa.array(values, pa.float64())}))
    logged = pa.table({"x": pa.array(values, pa.float32())})
    found = _judge(MonitorConfig(drift_margin=0.0), Standard(reference, None, DetectorState()), _only(logged))
    assert found.drift[0].distance == 0


def _only(table: pa.Table) -> Rows:
    return Rows("flights", 1, table, np.array([]), np.array([]))


def test_features_that_cannot_be_compared_are_named_not_guessed() -> None:
    reference = build_profile(pa.table({"a": [1.0, 2.0], "b": ["x", "y"], "gone": [1.0, 2.0]}))
    kept, skipped = comparable(reference, pa.table({"a": pa.array([1.0], pa.float32()), "b": [1.0]}))
    assert [feature.name for feature in kept] == ["a"]
    assert skipped == ("b", "gone")


def test_a_window_of_a_busy_day_is_judged_in_time() -> None:
    rng = np.random.default_rng(8)
    wide = {f"n{i}": pa.array(rng.normal(size=6000), pa.float32()) for i in range(10)}
    wide |= {f"c{i}": pa.array(rng.choice(CARRIERS, 6000)) for i in range(5)}
    table = pa.table(wide)
    rows = Rows("flights", 1, table, (rng.random(6000) < 0.3).astype(float), rng.random(6000))
    standard = Standard(build_profile(table), 0.5, DetectorState())
    _judge(MonitorConfig(), standard, rows)
    started = perf_counter()
    _judge(MonitorConfig(), standard, rows)
    elapsed = perf_counter() - started
    print(f"6000 rows of 15 features and 6000 outcomes judged in {elapsed * 1000:.0f} ms")
    assert elapsed < 1.0  # generous: the machine may be shared


def test_losses_are_bounded_and_their_baseline_is_in_the_same_scale() -> None:
    outcomes, scores = np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.2, 0.0])
    assert bounded_losses("misclassification", outcomes, scores).tolist() == [0, 0, 1]
    assert bounded_losses("brier", outcomes, scores) == pytest.approx([0.01, 0.04, 1.0])
    logs = bounded_losses("log_loss", outcomes, scores)
    assert logs.max() == 1.0
    assert logs[0] * np.log(100) == pytest.approx(-np.log(0.9))
    assert bounded_baseline("log_loss", 0.4, 0.1) == pytest.approx(0.44 / np.log(100))


def test_a_single_class_has_no_auc() -> None:
    assert "auc" not in summarise(np.ones(5), np.full(5, 0.4))
    assert summarise(np.array([]), np.array([])) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_ms": 0},
        {"false_alarms": 0},
        {"drift_margin": -0.1},
        {"performance_metric": "auc"},
        {"feature_share": 0.9},
        {"false_alarms": 60, "period_ms": 90 * DAY},
    ],
)
def test_a_monitor_that_promises_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        MonitorConfig(**wrong)  # type: ignore[arg-type]
