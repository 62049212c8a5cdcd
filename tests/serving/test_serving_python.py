"""Packages that stay Python, behind the same face: fed alike, ended when they misbehave, in nobody's way."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.core.settings import Settings
from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from bailiwick.pyfunc.interpreter import Interpreters, NoInterpreter
from bailiwick.serving.models import ModelSet
from bailiwick.serving.python_runtime import PythonModels, PythonRuntime
from bailiwick.serving.runtime import ModelFailed, OnnxRuntime
from tests_support.logged_models import python_package
from tests_support.server import is_alive, until
from tests_support.serving import Serving, package_bytes

INPUTS, OUTPUTS = {"x": "FP32", "carrier": "BYTES"}, {"probability": "FP32"}
SHOP = """
import ctypes, os, time
import numpy as np
held = []
class Model:
    def predict(self, rows):
        for word in rows["carrier"]:
            if word == "crash": ctypes.string_at(0)
            if word == "exit": os._exit(3)
            if word == "hang": time.sleep(1000)
            if word == "slow": time.sleep(0.4)
            if word == "leak": held.append(bytearray(400 << 20)); held[-1][::4096] = b"x" * (100 << 10)
            if word == "raise": raise ValueError("no such carrier")
            if word == "half": raise ValueError("half of a pair \\ud800")
            if word == "torn": return {"probability": np.array(["\\ud800"] * len(rows), object)}
            if word == "few": return {"probability": np.zeros(0, np.float32)}
            if word == "texts": return {"probability": np.array(["a"] * len(rows), object)}
        return {"probability": (rows["x"] * 2 + rows["carrier"].str.len()).to_numpy(np.float32)}
"""


@pytest.fixture
def models(tmp_path: Path) -> PythonModels:
    return PythonModels.of(Settings(home=tmp_path / "home", models_seconds=5))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return python_package(tmp_path / "package", SHOP, INPUTS, OUTPUTS)


@pytest.fixture
def runtime(package: Path, models: PythonModels) -> Iterator[PythonRuntime]:
    opened = models.open(package)
    assert isinstance(opened, PythonRuntime)
    opened.warm_up()
    yield opened
    opened.close()


def feed(*words: str, x: float = 1.0) -> dict[str, np.ndarray]:
    rows = len(words)
    return {"x": np.full((rows, 1), x, np.float32), "carrier": np.array([[word] for word in words], dtype=object)}


def test_it_answers_as_the_model_does(runtime: PythonRuntime) -> None:
    found = runtime.run(feed("AA", "☃", ""))
    assert [each.dtype for each in found] == [np.float32]
    assert found[0].tolist() == [4, 3, 2]
    assert runtime.run(feed("AA"))[0].tolist() == [4]
    assert len(runtime.processes) == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("crash", "killed by SIGSEGV"),
        ("exit", "exit status 3"),
        ("raise", "no such carrier"),
        ("half", r"half of a pair \?"),
        ("torn", "spoke nonsense"),
        ("few", "shape"),
        ("texts", "object"),
    ],
)
def test_a_call_that_fails_says_how_and_the_next_is_answered(runtime: PythonRuntime, word: str, said: str) -> None:
    with pytest.raises(ModelFailed, match=said):
        runtime.run(feed(word))
    assert runtime.run(feed("AA"))[0].tolist() == [4]


def test_a_call_that_hangs_is_ended_at_its_deadline(package: Path, models: PythonModels) -> None:
    runtime = PythonRuntime(package, replace(models, seconds=1.0))
    runtime.warm_up()
    before = runtime.processes
    began = time.monotonic()
    with pytest.raises(ModelFailed, match="no answer within"):
        runtime.run(feed("hang"))
    assert time.monotonic() - began < 4
    until(lambda: not is_alive(before[0]), "its end")
    runtime.close()


def test_a_process_that_grows_is_replaced_between_two_calls(package: Path, models: PythonModels) -> None:
    housing = replace(models.housing, memory_bytes=1 << 30)
    runtime = PythonRuntime(package, replace(models, housing=housing, seconds=60.0))
    runtime.warm_up()
    before = runtime.processes
    for _ in range(3):
        assert runtime.run(feed("leak"))[0].tolist() == [6]  # no call fails for it
    assert runtime.processes != before
    runtime.close()


def test_more_processes_answer_at_once_and_waiting_has_an_end(package: Path, models: PythonModels) -> None:
    runtime = PythonRuntime(package, replace(models, processes=2, seconds=1.0))
    runtime.warm_up()
    assert len(runtime.processes) == 2
    began = time.monotonic()
    both = [threading.Thread(target=runtime.run, args=(feed("slow"),)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert time.monotonic() - began < 0.79
    hanging = [threading.Thread(target=_swallowing(runtime.run), args=(feed("hang"),)) for _ in range(2)]
    for each in hanging:
        each.start()
    time.sleep(0.1)
    with pytest.raises((Unavailable, ModelFailed)):
        replace_seconds(runtime, 0.2).run(feed("AA"))
    for each in hanging:
        each.join()
    runtime.close()


def replace_seconds(runtime: PythonRuntime, seconds: float) -> PythonRuntime:
    runtime._seconds = seconds
    return runtime


def _swallowing(call: Callable[..., Any]) -> Callable[..., None]:
    def run(*arguments: Any) -> None:
        with pytest.raises((ModelFailed, Unavailable)):
            call(*arguments)

    return run


def test_its_processes_go_with_the_last_who_uses_it(package: Path, models: PythonModels) -> None:
    loaded = ModelSet(lambda _: package, models.open)
    runtime = loaded.load("digest")
    assert isinstance(runtime, PythonRuntime)
    (process,) = runtime.processes
    loaded.keep([])
    assert runtime.run(feed("AA"))[0].tolist() == [4]  # a request that still holds it
    del runtime
    gc.collect()
    until(lambda: not is_alive(process), "its end")


def test_closing_the_set_ends_them_all(package: Path, models: PythonModels) -> None:
    loaded = ModelSet(lambda _: package, models.open)
    runtime = loaded.load("digest")
    assert isinstance(runtime, PythonRuntime)
    (process,) = runtime.processes
    loaded.close()
    until(lambda: not is_alive(process), "its end")
    with pytest.raises((ModelFailed, Unavailable)):
        runtime.run(feed("AA"))


def test_a_model_that_cannot_be_loaded_never_gets_traffic(tmp_path: Path, models: PythonModels) -> None:
    broken = python_package(tmp_path / "broken", "raise ImportError('no module of that name')", INPUTS, OUTPUTS)
    loaded = ModelSet(lambda _: broken, models.open)
    with pytest.raises(InvalidInput, match="no module of that name"):
        loaded.load("digest")
    assert loaded.loaded == {}


def test_a_package_that_was_changed_is_refused(package: Path, models: PythonModels) -> None:
    data = package.read_bytes()
    package.write_bytes(data.replace(b"Model", b"Modem"))
    with pytest.raises(InvalidInput, match=r"not what the manifest says|cannot be read"):
        models.open(package)


def test_a_machine_without_the_libraries_says_what_to_do(package: Path, tmp_path: Path, models: PythonModels) -> None:
    bare = tmp_path / "bare" / "bin" / "python"
    bare.parent.mkdir(parents=True)
    bare.write_text("#!/bin/sh\nexec /usr/bin/env -i /usr/bin/printf '[\"sklearn\"]\\n'\n")
    bare.chmod(0o755)
    without = replace(models, interpreters=Interpreters(tmp_path / "none", chosen=str(bare)))
    with pytest.raises(NoInterpreter, match=r"needs sklearn.*--build-environment"):
        without.open(package)


def test_onnx_packages_are_opened_as_they_were(tmp_path: Path, models: PythonModels) -> None:
    path = tmp_path / "package.onnx"
    path.write_bytes(package_bytes(1))
    assert isinstance(models.open(path), OnnxRuntime)


# -- behind a handler --------------------------------------------------------------------------------------------------


def infer(*words: str, x: float | None = 1.0) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [len(words), 1], "data": [x] * len(words)},
            {"name": "carrier", "datatype": "BYTES", "shape": [len(words), 1], "data": list(words)},
            {
                "name": "tail",
                "datatype": "BYTES",
                "shape": [len(words), 1],
                "data": [f"N{n}" for n in range(len(words))],
            },
        ]
    }


def routed(serving: Serving, models: PythonModels, *variants: Variant) -> None:
    """Like `Serving.route`, for either kind of package."""
    serving.follower._models = ModelSet(serving.follower._fetch, models.open)
    serving.follower.install(RouteTable(1, 1, (Endpoint("late", "salt", 1, variants, "tail", "at"),)))


def variant(serving: Serving, package: Path, weight: int = 10_000) -> Variant:
    return Variant("v7", "late", 7, serving.store(package.read_bytes()), weight)


def test_the_protocol_and_the_log_are_the_same(serving: Serving, package: Path, models: PythonModels) -> None:
    routed(serving, models, variant(serving, package))
    status, answer = serving.infer(infer("AA", "B"))
    assert (status, answer["model_version"]) == (200, "7")
    assert answer["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [2], "data": [4.0, 3.0]}]
    assert serving.call("GET", "/v2/models/late")[1]["platform"] == "python"
    assert serving.infer(infer("AA", x=None))[1]["outputs"][0]["data"] == [None]  # null is NaN to the model
    status, answer = serving.infer(infer("crash"))
    assert (status, "process ended" in answer["error"]) == (500, True)
    assert serving.infer(infer("AA"))[0] == 200
    assert serving.spool.pending_bytes > 0
    serving.follower.stop()


def test_a_split_between_onnx_and_python_gives_each_row_its_own(
    serving: Serving, package: Path, models: PythonModels
) -> None:
    both = (serving.variant(1, 5_000), variant(serving, package, 5_000))
    routed(serving, models, *both)
    assert set(serving.handler.routes.apart) == {
        "/v2/models/late/infer",
        "/v2/models/late/versions/7/infer",
        "/predict/late",
        "/endpoints/late/invocations",
        "/invocations",
    }
    status, answer = serving.infer(infer(*["AA"] * 40))
    assert status == 200
    assert set(answer["outputs"][0]["data"]) == {4.0, 1011.0}
    serving.follower.stop()


# -- over sockets ------------------------------------------------------------------------------------------------------


@pytest.fixture
def worker(tmp_path: Path, package: Path) -> Iterator[Any]:
    from tests_support.worker import Control, Worker

    control = Control()
    control.route(control.variant(1, data=package.read_bytes()))
    made = Worker(tmp_path / "served", control.port, models_seconds=4)
    made.wait_for(1)
    yield made, control
    made.stop()
    control.close()


def test_a_slow_model_holds_up_only_its_own_connection(worker: Any) -> None:
    made, _ = worker
    slow, quick = json.dumps(infer("slow")).encode(), b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(slow)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", made.port), timeout=5) as client:
        client.sendall(head + slow + quick + head + slow + quick)  # pipelined: answers in the order of the questions
        began = time.monotonic()
        assert made.call("GET", "/v2/health/live")[0] == 200
        assert time.monotonic() - began < 0.3
        said = b""
        while said.count(b"HTTP/1.1 200") < 4:
            said += client.recv(65536)
    places = [said.index(b'"outputs"'), said.index(b'"live"'), said.rindex(b'"outputs"'), said.rindex(b'"live"')]
    assert places == sorted(places)


def test_a_client_that_goes_away_is_no_trouble(worker: Any) -> None:
    made, _ = worker
    slow = json.dumps(infer("slow")).encode()
    head = f"POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(slow)}\r\n\r\n".encode()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", made.port), timeout=5) as client:
            client.sendall(head + slow)
    status, answer = made.call("POST", "/v2/models/late/infer", infer("AA"))
    assert (status, answer["outputs"][0]["data"]) == (200, [4.0])


def test_a_stopping_worker_answers_what_it_has_and_leaves_no_process(worker: Any) -> None:
    made, _ = worker
    answered: list[int] = []
    asking = threading.Thread(
        target=lambda: answered.append(made.call("POST", "/v2/models/late/infer", infer("slow"))[0])
    )
    asking.start()
    time.sleep(0.15)
    os.kill(made.process.pid, signal.SIGTERM)
    asking.join()
    made.process.join(20)
    assert answered == [200]


def test_swaps_under_load_fail_no_request(worker: Any, tmp_path: Path) -> None:
    made, control = worker
    variants = [control.variant(1, data=next(iter(control.blobs.values())))]
    for version in (2, 3):
        code = SHOP.replace('rows["x"] * 2', f'rows["x"] * {version * 10}')
        variants.append(
            control.variant(version, data=python_package(tmp_path / f"v{version}", code, INPUTS, OUTPUTS).read_bytes())
        )
    variants.append(control.variant(4))  # ONNX
    expected = {"1": 4.0, "2": 22.0, "3": 32.0, "4": 4011.0}
    wrong: list[Any] = []
    seen: set[str] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            status, answer = made.call("POST", "/v2/models/late/infer", infer("AA"))
            if status != 200 or answer["outputs"][0]["data"] != [expected[answer["model_version"]]]:
                wrong.append(answer)
            else:
                seen.add(answer["model_version"])

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for each in asking:
        each.start()
    for place in (1, 2, 3, 0):
        control.route(variants[place])
        made.wait_for(control.table.revision)
        time.sleep(0.2)
    stop.set()
    for each in asking:
        each.join()
    assert wrong == []
    assert seen == {"1", "2", "3", "4"}


def test_packages_are_the_same_bytes_for_the_same_model(tmp_path: Path) -> None:
    digests = {
        hashlib.sha256(python_package(tmp_path / name, SHOP, INPUTS, OUTPUTS).read_bytes()).hexdigest() for name in "ab"
    }
    assert len(digests) == 1
