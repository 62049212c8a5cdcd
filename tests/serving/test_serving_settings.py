"""A version's serving setting is obeyed by the worker that runs it, and one that is absurd never takes effect."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from bailiwick.core.serving_setting import ServingSetting
from bailiwick.endpoints.model import Endpoint, Fallback, Policy, RouteTable, Shadow, Variant
from bailiwick.processes.advice import worker_advice
from bailiwick.serving.control import parse_table
from bailiwick.serving.follower import ModelBound, RouteFollower
from bailiwick.serving.runtime import OnnxRuntime, threads_here
from bailiwick.serving.runtimes.residency import ResidentRuntime
from tests_support.serving import Serving, package_bytes
from tests_support.worker import Control, Worker

CORES = len(os.sched_getaffinity(0))
TWO = ServingSetting(threads=2, most_rows=8, workers=3)


def with_setting(variant: Variant, setting: ServingSetting) -> Variant:
    return msgspec.structs.replace(variant, setting=setting)


def options_of(serving: Serving, name: str = "late") -> list[int]:
    found = []
    for arm in serving.handler.routes.endpoints[name].arms:
        assert isinstance(arm.runtime, OnnxRuntime)
        found.append(arm.runtime.session.get_session_options().intra_op_num_threads)
    return found


def test_the_session_is_opened_with_its_threads_and_runs_have_so_many_rows(serving: Serving) -> None:
    serving.route(with_setting(serving.variant(1), TWO))
    assert options_of(serving) == [min(2, CORES)]
    assert serving.handler.routes.endpoints["late"].most_rows == 8
    serving.route(serving.variant(1))
    assert options_of(serving) == [1]
    assert serving.handler.routes.endpoints["late"].most_rows == 256


def test_no_more_threads_than_cores() -> None:
    assert threads_here(64) == min(64, CORES)
    assert threads_here(0) == 1


def test_one_package_is_run_by_two_versions_each_with_its_own_setting(serving: Serving) -> None:
    first = serving.variant(1, 5_000)
    second = msgspec.structs.replace(first, name="v2", version=2, setting=TWO)
    serving.route(first, second)
    assert options_of(serving) == [1, min(2, CORES)]
    assert serving.handler.routes.endpoints["late"].most_rows == 8
    pinned = serving.handler.routes.pinned
    assert (pinned["late", "1"].most_rows, pinned["late", "2"].most_rows) == (256, 8)
    _, config = serving.call("GET", "/v2/models/late/config")
    assert config["parameters"] == {
        "most_rows": {"string_value": "8"},
        "v1.intra_op_thread_count": {"string_value": "1"},
        "v2.advised_workers": {"string_value": "3"},
        "v2.intra_op_thread_count": {"string_value": str(min(2, CORES))},
    }
    _, alone = serving.call("GET", "/v2/models/late/versions/2/config")
    assert alone["parameters"]["intra_op_thread_count"] == {"string_value": str(min(2, CORES))}


@pytest.mark.parametrize(
    "absurd", [ServingSetting(threads=0), ServingSetting(threads=10**9), ServingSetting(most_rows=-5)]
)
def test_an_absurd_setting_leaves_the_endpoint_as_it_was(serving: Serving, absurd: ServingSetting) -> None:
    serving.route(serving.variant(1))
    serving.route(with_setting(serving.variant(2), absurd))
    assert "serving setting" in serving.handler.failures["late"]
    assert [arm.variant.version for arm in serving.handler.routes.endpoints["late"].arms] == [1]


def test_shadows_and_fallbacks_are_run_by_their_own_settings(serving: Serving) -> None:
    shadow, fallback = with_setting(serving.variant(2, 0), TWO), with_setting(serving.variant(3, 0), TWO)
    policy = Policy(shadows=(Shadow(shadow, 10_000),), fallbacks=(Fallback(fallback),))
    endpoint = Endpoint("late", "salt", 1, (serving.variant(1),), "tail", "at", policy=policy)
    serving.follower.install(RouteTable(1, 9, (endpoint,)))
    handling = serving.handler.routes.endpoints["late"].handling
    assert handling is not None
    for beside in (handling.shadows[0].compiled, handling.fallbacks[0]):
        assert beside.only is not None
        assert isinstance(beside.only.runtime, OnnxRuntime)
        assert beside.only.runtime.threads == min(2, CORES)
    wrong = msgspec.structs.replace(policy, shadows=(Shadow(with_setting(shadow, ServingSetting(threads=-1)), 1),))
    serving.follower.install(RouteTable(1, 10, (msgspec.structs.replace(endpoint, policy=wrong),)))
    assert "serving setting" in serving.handler.failures["late: shadow v2"]


def test_models_that_are_held_as_far_as_they_fit_have_their_threads_too(serving: Serving) -> None:
    follower = RouteFollower(
        serving.follower._control, serving.cache, serving.handler, serving.metrics, bound=ModelBound(1 << 30)
    )
    serving.follower = follower
    serving.route(with_setting(serving.variant(1), TWO))
    assert follower.residency is not None
    (held,) = follower.residency._held.values()
    assert isinstance(held.runtime, OnnxRuntime)
    assert held.runtime.threads == min(2, CORES)
    assert isinstance(serving.handler.routes.endpoints["late"].arms[0].runtime, ResidentRuntime)
    _, config = serving.call("GET", "/v2/models/late/config")
    assert config["parameters"]["intra_op_thread_count"] == {"string_value": str(min(2, CORES))}
    follower.stop()


def test_tables_of_older_and_newer_programs_are_read() -> None:
    old = b'{"format":1,"revision":3,"endpoints":[{"name":"late","salt":"s","epoch":1,"variants":[{"name":"v1","model":"late","version":1,"package":"x","weight":10000}]}]}'
    assert parse_table(old).endpoints[0].variants[0].setting == ServingSetting()
    new = old.replace(b'"weight":10000', b'"weight":10000,"setting":{"threads":2,"later":true}')
    assert parse_table(new).endpoints[0].variants[0].setting.threads == 2


def test_a_worker_takes_a_new_setting_while_it_serves(tmp_path: Path) -> None:
    control = Control()
    worker = Worker(tmp_path, control.port)
    try:
        control.route(control.variant(1))
        worker.wait_for(1)
        assert worker.call("GET", "/v2/models/late/config")[1]["parameters"]["most_rows"]["string_value"] == "256"
        control.route(with_setting(control.variant(1), TWO))
        worker.wait_for(2)
        parameters = worker.call("GET", "/v2/models/late/config")[1]["parameters"]
        assert parameters["intra_op_thread_count"]["string_value"] == str(min(2, CORES))
        assert parameters["most_rows"]["string_value"] == "8"
    finally:
        worker.stop()
        control.close()
    routes = tmp_path / "serve" / "routes.json"
    (line,) = worker_advice(routes, 1)
    assert line.startswith("late: version 1 was measured best with 3 workers, and there is 1")
    assert worker_advice(routes)
    assert worker_advice(routes, 3) == []
    routes.write_bytes(b"{")
    assert worker_advice(routes, 1) == worker_advice(tmp_path / "none", 1) == []


def test_a_package_says_nothing_of_threads(tmp_path: Path) -> None:
    """So the same package is one blob, whatever it is run by."""
    path = tmp_path / "package"
    path.write_bytes(package_bytes(1))
    assert OnnxRuntime(path, 2).signature == OnnxRuntime(path).signature
