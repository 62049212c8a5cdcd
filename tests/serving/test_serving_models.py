"""Models that take long to load: their endpoints wait for them, nobody else does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from bailiwick.serving.follower import RouteFollower
from bailiwick.serving.models import ModelSet, StillLoading
from bailiwick.serving.runtime import OnnxRuntime
from tests_support.server import until
from tests_support.serving import Serving, package_bytes

BODY = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
    ]
}


class Slow:
    """Opens packages; those of `slow` only once `go` is set."""

    def __init__(self) -> None:
        self.slow: set[str] = set()
        self.go = threading.Event()
        self.opened: list[str] = []

    def __call__(self, path: Path, threads: int = 1, /) -> OnnxRuntime:
        self.opened.append(path.stem)
        if path.stem in self.slow:
            assert self.go.wait(30)
        return OnnxRuntime(path, threads)


@pytest.fixture
def slow(serving: Serving) -> Iterator[Slow]:
    opened = Slow()
    serving.follower._models = ModelSet(serving.follower._fetch, opened)
    yield opened
    opened.go.set()


def endpoint(serving: Serving, name: str, version: int) -> Endpoint:
    package = serving.store(package_bytes(version))
    return Endpoint(name, "salt", 1, (Variant(f"v{version}", name, version, package, 10_000),))


def put(serving: Serving, *endpoints: Endpoint) -> bool:
    serving.revision += 1
    return serving.follower.install(RouteTable(1, serving.revision, endpoints), patience_seconds=0.1)


def version_of(serving: Serving, name: str) -> tuple[int, object]:
    status, answer = serving.infer(BODY, f"/v2/models/{name}/infer")
    return status, answer.get("model_version", answer.get("error"))


def test_a_version_that_hangs_while_it_loads_holds_up_no_other_endpoint(serving: Serving, slow: Slow) -> None:
    first, other = endpoint(serving, "first", 1), endpoint(serving, "other", 2)
    assert put(serving, first, other)
    hanging = endpoint(serving, "first", 3)
    slow.slow = {hanging.variants[0].package}
    began = time.monotonic()
    assert not put(serving, hanging, endpoint(serving, "other", 4))
    assert time.monotonic() - began < 2
    assert version_of(serving, "first") == (200, "1")
    assert version_of(serving, "other") == (200, "4")
    assert serving.call("GET", "/v2/health/ready")[1]["loading"] == ["first"]
    slow.go.set()
    until(lambda: put(serving, hanging, endpoint(serving, "other", 4)), "the version that took long")
    assert version_of(serving, "first") == (200, "3")
    assert "loading" not in serving.call("GET", "/v2/health/ready")[1]
    assert slow.opened.count(hanging.variants[0].package) == 1  # it went on with what had begun


def test_a_new_endpoint_that_is_being_loaded_says_so(serving: Serving, slow: Slow) -> None:
    new = endpoint(serving, "new", 1)
    slow.slow = {new.variants[0].package}
    assert not put(serving, new)
    status, said = version_of(serving, "new")
    assert (status, said) == (503, "Endpoint 'new' is being loaded; ask again in a moment.")
    index = serving.handler.handle("POST", "/v2/repository/index", {}, b"").body
    assert b'"UNAVAILABLE","reason":"it is being loaded"' in index


def test_a_version_that_is_no_longer_wanted_is_let_go_when_it_is_loaded(serving: Serving, slow: Slow) -> None:
    first = endpoint(serving, "first", 1)
    hanging = endpoint(serving, "first", 3)
    slow.slow = {hanging.variants[0].package}
    put(serving, first)
    put(serving, hanging)
    assert put(serving, first)
    slow.go.set()
    assert version_of(serving, "first") == (200, "1")
    assert list(serving.follower._models.loaded) == [first.variants[0].package]


def test_a_process_that_starts_without_control_answers_before_all_is_loaded(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, late = endpoint(serving, "quick", 1), endpoint(serving, "late", 2)
    put(serving, quick, late)
    serving.follower._keep(1)
    opened = Slow()
    opened.slow = {late.variants[0].package}
    follower = RouteFollower(serving.follower._control, serving.cache, serving.handler, serving.metrics, opened)
    table = serving.cache.load()
    assert table is not None
    assert not follower.install(table, patience_seconds=0.1)
    assert version_of(serving, "quick") == (200, "1")
    assert version_of(serving, "late")[0] == 503
    follower._keep(1)  # what is being loaded is not forgotten, should this process be killed now
    assert serving.cache.load() == table
    monkeypatch.setattr("bailiwick.serving.follower.START_SECONDS", 0.1)
    follower.start()
    assert serving.call("GET", "/v2/health/live")[0] == 200
    assert serving.call("GET", "/v2/health/ready")[0] == 503  # until it answers as much as it did before
    opened.go.set()
    until(lambda: version_of(serving, "late")[0] == 200, "the rest")
    assert serving.call("GET", "/v2/health/ready")[0] == 200
    follower.stop()


def test_what_cannot_be_loaded_is_told_to_whoever_waits_for_it(serving: Serving) -> None:
    models = ModelSet(serving.cache.package)
    with pytest.raises(InvalidInput, match="is not an ONNX model"):
        models.load(serving.store(b"nonsense"), 5)
    slow = Slow()
    slow.slow = {package := serving.store(package_bytes(1))}
    models = ModelSet(serving.cache.package, slow)
    with pytest.raises(StillLoading, match="is being loaded"):
        models.load(package, 0.05)
    slow.go.set()
    assert models.load(package, 10) is models.load(package)
