"""More models than fit: loaded when asked, evicted by use, never while in use, and never in the way of others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from bailiwick.serving.control import ControlClient
from bailiwick.serving.execution import Execution
from bailiwick.serving.follower import ModelBound, RouteFollower
from bailiwick.serving.runtime import ModelFailed, OnnxRuntime, Opener, Runtime
from bailiwick.serving.runtimes.residency import SESSION_BYTES, TIMES_ITS_FILE, Residency
from tests_support.composed import logistic
from tests_support.serving import Serving
from tests_support.worker import Control, Worker

ROW = {"x": np.zeros((1, 1), np.float32)}


class Slow(OnnxRuntime):
    """Takes as long as it is told, to load and to run."""

    def __init__(self, package: Path, gate: threading.Event | None, running: threading.Event | None = None) -> None:
        if gate is not None:
            gate.wait(10)
        super().__init__(package)
        self.closed = False
        self._running = running

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        assert not self.closed
        if self._running is not None:
            self._running.wait(10)
        return super().run(feed)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def packages(tmp_path: Path) -> Callable[[str], Path]:
    """One file a digest; digests are any words here."""

    def fetch(digest: str) -> Path:
        path = tmp_path / f"{digest}.onnx"
        if not path.exists():
            path.write_bytes(logistic(1.0, bias=float(int(digest))))
        return path

    return fetch


@pytest.fixture
def size(packages: Callable[[str], Path]) -> int:
    return SESSION_BYTES + TIMES_ITS_FILE * packages("0").stat().st_size


@pytest.fixture
def residency(packages: Callable[[str], Path], size: int) -> Iterator[Callable[..., Residency]]:
    made: list[Residency] = []

    def make(models: float, opened: Opener = OnnxRuntime, **options: float) -> Residency:
        made.append(Residency(int(models * size), packages, opened, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def settle(residency: Residency) -> None:
    """Wait until what was just loaded may be evicted."""
    for held in residency._held.values():
        held.leased = 0.0


def test_what_was_used_least_recently_makes_room(residency: Callable[..., Residency]) -> None:
    held = residency(2.5)
    models = [held.model(str(number)) for number in range(2)]
    settle(held)
    models[0].run(ROW)
    third = held.model("2")
    assert held.resident == ["0", "2"]
    assert models[1].apart
    assert not third.apart
    settle(held)
    assert models[1].run(ROW)[0][0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert (held.loads, held.evictions) == (4, 2)
    assert held.bytes <= held.limit_bytes


def test_a_model_that_runs_or_is_about_to_is_not_evicted(residency: Callable[..., Residency]) -> None:
    release = threading.Event()
    held = residency(1.5, lambda path, _=1: Slow(path, None, release if path.stem == "0" else None), load_seconds=0.3)
    release.set()
    first = held.model("0")
    release.clear()
    answers: list[Any] = []
    running = threading.Thread(target=lambda: answers.append(first.run(ROW)))
    running.start()
    while not next(iter(held._held.values())).running:
        time.sleep(0.001)
    settle(held)
    with pytest.raises(Unavailable, match="no room"):
        held.model("1")
    release.set()
    running.join()
    assert answers
    assert not first.apart  # which leases it
    assert held._evictable(held.limit_bytes) is None
    settle(held)
    assert held._evictable(held.limit_bytes) is not None


def test_a_load_that_takes_long_is_answered_in_time_and_goes_on(residency: Callable[..., Residency]) -> None:
    gate = threading.Event()
    gate.set()
    held = residency(1.5, lambda path, _=1: Slow(path, gate), load_seconds=0.2)
    first = held.model("0")
    settle(held)
    held.model("1")
    settle(held)
    gate.clear()
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"within 0\.2 seconds"):
        first.run(ROW)
    assert time.monotonic() - began < 5
    assert held.refusals == 1
    gate.set()
    held.load_seconds = 10
    assert first.run(ROW)[0].shape == (1,)


def test_many_who_ask_for_a_cold_model_load_it_once(residency: Callable[..., Residency]) -> None:
    held = residency(1.5)
    first = held.model("0")
    settle(held)
    held.model("1")
    settle(held)
    before = held.loads
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(first.run(ROW)[0][0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), held.loads - before) == (16, 1)


def test_on_the_event_loop_nothing_waits_for_a_load(residency: Callable[..., Residency]) -> None:
    held = residency(1.5)
    first = held.model("0")
    settle(held)
    held.model("1")

    async def ask() -> None:
        with pytest.raises(Unavailable, match="being loaded"):
            first.run(ROW)

    settle(held)
    asyncio.run(ask())


def test_a_note_spares_the_next_process_the_loading(
    residency: Callable[..., Residency], packages: Callable[[str], Path]
) -> None:
    residency(5).model("0")
    again = residency(5)
    model = again.model("0")
    assert (again.loads, model.signature.inputs[0].name, model.apart) == (0, "x", True)
    packages("0").with_suffix(".json").write_bytes(b"{}")
    again.model("0")
    assert again.loads == 1


def test_a_package_that_is_none_never_becomes_a_model(
    residency: Callable[..., Residency], packages: Callable[[str], Path]
) -> None:
    held = residency(5)
    packages("0").write_bytes(b"no model")
    with pytest.raises(InvalidInput):
        held.model("0")
    assert held.resident == []
    packages("0").write_bytes(logistic(1.0))
    model = held.model("0")
    held.keep([])
    packages("0").write_bytes(b"no model")
    with pytest.raises(ModelFailed, match="could not be loaded again"):
        model.run(ROW)


def test_what_is_dropped_while_it_runs_is_closed_when_it_is_done(residency: Callable[..., Residency]) -> None:
    release = threading.Event()
    release.set()
    opened: list[Slow] = []

    def opener(path: Path, _: int = 1) -> Runtime:
        opened.append(Slow(path, None, release))
        return opened[-1]

    held = residency(5, opener)
    model = held.model("0")
    release.clear()
    running = threading.Thread(target=model.run, args=(ROW,))
    running.start()
    while not next(iter(held._held.values())).running:
        time.sleep(0.001)
    held.keep([])
    assert not opened[0].closed
    release.set()
    running.join()
    assert (opened[0].closed, held.resident) == (True, [])


def test_two_hundred_models_are_served_where_twenty_fit(serving: Serving, size: int) -> None:
    follower = RouteFollower(
        ControlClient("http://127.0.0.1:9"), serving.cache, serving.handler, serving.metrics,
        bound=ModelBound(20 * size + size // 2, 10.0),
    )  # fmt: skip
    endpoints = []
    for number in range(200):
        digest = serving.store(logistic(1.0, bias=number / 100))
        variant = Variant("v1", f"m{number}", 1, digest, 10_000)
        endpoints.append(Endpoint(f"m{number}", "salt", 1, (variant,)))
    follower.install(RouteTable(1, 1, tuple(endpoints)))
    held = follower.residency
    assert held is not None
    assert (held.loads, len(held.resident)) == (200, 20)
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[0]}]}'

    async def asked() -> None:
        for number in [*range(0, 200, 9), *range(195, 200)]:
            path = f"/v2/models/m{number}/infer"
            slow = serving.handler.inference("POST", path, {}, body) if path in serving.handler.routes.apart else None
            if slow is None:
                answer = serving.handler.handle("POST", path, {}, body)
            else:
                answer = await serving.handler.handle_apart(slow, elsewhere)
            assert answer.status == 200
            expected = 1 / (1 + np.exp(-number / 100))
            assert float(answer.body.partition(b'"data":[')[2].partition(b"]")[0]) == pytest.approx(expected, abs=1e-6)
            assert held.bytes <= held.limit_bytes

    async def elsewhere(work: Callable[[], Execution]) -> Execution:
        return await asyncio.to_thread(work)

    asyncio.run(asked())
    assert len(held.resident) == 20
    assert held.evictions == held.loads - 20
    follower.stop()


def test_a_worker_answers_for_more_models_than_it_holds_over_http(tmp_path: Path, size: int) -> None:
    control = Control()
    endpoints = []
    for number in range(12):
        variant = control.variant(number + 1, data=logistic(1.0, bias=number / 10))
        endpoints.append(Endpoint(f"m{number}", "salt", 1, (variant,)))
    control.table = RouteTable(1, 1, tuple(endpoints))
    worker = Worker(tmp_path, control.port, serve_model_bytes=4 * size + size // 2)
    try:
        worker.wait_for(1)
        wrong: list[Any] = []

        def ask(first: int) -> None:
            for step in range(24):
                number = (first + 5 * step) % 12
                body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0]}]}
                status, answer = worker.call("POST", f"/v2/models/m{number}/infer", body)
                expected = 1 / (1 + np.exp(-number / 10))
                if status != 200 or abs(answer["outputs"][0]["data"][0] - expected) > 1e-6:
                    wrong.append((number, status, answer))

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        connection = worker.connect()
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        told = {
            line.partition("{")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("bailiwick_model")
        }
        assert told["bailiwick_models_resident"] <= 4
        assert told["bailiwick_model_bytes"] <= 4.5 * size
        assert told["bailiwick_model_evictions"] == told["bailiwick_model_loads"] - told["bailiwick_models_resident"]
    finally:
        worker.stop()
        control.close()
