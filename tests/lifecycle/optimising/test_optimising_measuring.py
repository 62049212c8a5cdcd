"""Times are told apart from noise, and what is measured fits the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bailiwick.lifecycle.optimising.alone import measuring_alone
from bailiwick.lifecycle.optimising.measuring import (
    LEFT_OUT,
    ROUNDS,
    _together,
    combinations,
    confirm,
    runtime_of,
    served_rows,
    speed_of,
    sweep,
)
from bailiwick.lifecycle.optimising.model import Setting
from bailiwick.serving.runtime import OnnxRuntime
from tests_support.composed import logistic

COLUMNS = {"x": np.zeros((300, 1), np.float32)}


class Timed(OnnxRuntime):
    """Takes as long as the machine's clock says, which is `speed` times as fast, in bursts."""

    def __init__(self, path: Path, seconds: float, *, slow_after: float = 1e9) -> None:
        super().__init__(path)
        self.seconds, self.slow_from = seconds, time.perf_counter() + slow_after

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        end = time.perf_counter() + self.seconds * (5 if time.perf_counter() > self.slow_from else 1)
        while time.perf_counter() < end:
            pass
        return super().run(feed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "package"
    made.write_bytes(logistic(1.0))
    return made


def test_a_form_of_half_the_time_is_faster_and_one_of_the_same_is_not(path: Path) -> None:
    version = Timed(path, 4e-4)
    half = speed_of(Timed(path, 2e-4), COLUMNS, beside=version, seconds=0.2)
    assert half.faster
    assert 0.3 < half.ratio_low <= half.ratio <= half.ratio_high < 1
    same = speed_of(Timed(path, 4e-4), COLUMNS, beside=version, seconds=0.2)
    assert same.ratio == pytest.approx(1, abs=0.15)
    double = speed_of(Timed(path, 8e-4), COLUMNS, beside=version, seconds=0.2)
    assert not double.faster


def test_a_machine_that_becomes_slow_slows_both(path: Path) -> None:
    """The ratio holds where the times do not."""
    half = speed_of(
        Timed(path, 2e-4, slow_after=0.2),
        COLUMNS,
        beside=Timed(path, 4e-4, slow_after=0.2),
        seconds=0.2,
    )
    assert half.ratio == pytest.approx(0.5, abs=0.15)


def test_the_rounds_are_enough_for_what_is_stated() -> None:
    from scipy.stats import binom

    assert 9 * binom.cdf(LEFT_OUT, ROUNDS, 0.5) < 0.02  # of nine forms, any that is no faster is called faster


def test_no_more_threads_than_cores_and_no_more_sessions_than_fit() -> None:
    small = combinations(1_000, cores=2, free_bytes=1 << 40)
    assert {threads for _, threads in small} == {1, 2}
    assert (8, 1) in small
    assert (4, 2) in small
    assert (8, 2) not in small
    huge = combinations(1 << 30, cores=8, free_bytes=1 << 34)
    assert {workers for workers, _ in huge} == {1}
    assert combinations(1_000)


def test_the_sweep_says_how_far_it_is_and_what_is_confirmed_is_counted() -> None:
    shares: list[float] = []
    package = logistic(1.0)
    settings = sweep(package, COLUMNS, seconds=0.003, watch=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any(each.best for each in settings)
    assert {(each.workers, each.threads) for each in settings} == set(combinations(len(package)))
    generous, hard = (confirm(package, COLUMNS, settings[:2], limit, seconds=0.05) for limit in (1e4, 1e-6))
    assert (len(generous), generous[0].shown, generous[0].beyond) == (1, True, 0)
    assert [each.shown for each in hard] == [False, False]
    assert hard[0].beyond == hard[0].calls
    assert served_rows(Setting(1, 1 << 20, 1.0, 1.0)) == 4_096


def test_what_fails_while_it_is_measured_is_raised(path: Path) -> None:
    class Failing(OnnxRuntime):
        def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        _together([Failing(path), runtime_of(logistic(1.0))], COLUMNS, 0.01)


def test_one_measures_at_a_time(tmp_path: Path) -> None:
    waited: list[str] = []
    order: list[Any] = []
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with measuring_alone(tmp_path / "home", lambda: waited.append("first")):
            inside.set()
            go.wait(10)
            order.append("first")

    def told() -> None:
        waited.append("second")
        go.set()

    def second() -> None:
        with measuring_alone(tmp_path / "home", told):
            order.append("second")

    threads = [threading.Thread(target=each) for each in (first, second)]
    threads[0].start()
    inside.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert (waited, order) == (["second"], ["first", "second"])
