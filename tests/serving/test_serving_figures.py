"""What `/metrics` says: the same whichever worker is asked, and true of what waits and of how full runs are."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bailiwick.serving.figures import Figures, joined
from tests_support.server import until
from tests_support.serving import heavy_package
from tests_support.worker import Control, Worker

Series = dict[tuple[str, str], float]


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    made.route(made.variant(1))
    yield made
    made.close()


def body(x: float = 1.0, rows: int = 1) -> bytes:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": [x] * rows},
        {"name": "carrier", "datatype": "BYTES", "shape": [rows, 1], "data": ["AA"] * rows},
    ]
    return json.dumps({"inputs": inputs}).encode()


def figures(worker: Worker) -> Series:
    """Values by metric and worker, summed over other labels; of histograms, sum and count."""
    connection = worker.connect()
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    found: Series = {}
    seen = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in seen  # each family once, or a scraper refuses it all
        seen.add(family.name)
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                key = (sample.name, sample.labels["worker"])
                found[key] = found.get(key, 0.0) + sample.value
    return found


def ask(connection: http.client.HTTPConnection, rows: int = 1) -> int:
    connection.request("POST", "/v2/models/late/infer", body(rows=rows))
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_any_worker_tells_the_figures_of_all(control: Control, tmp_path: Path) -> None:
    first = Worker(tmp_path, control.port)
    first.wait_for(1)
    second = Worker(tmp_path, control.port, port=first.port, worker=1)
    second.wait_beside(1)
    connections = [first.connect() for _ in range(8)]
    for connection in connections:
        assert [ask(connection) for _ in range(5)] == [200] * 5
    for _ in range(10):
        found = figures(first)
        assert {found["bailiwick_worker_up", number] for number in "01"} == {1.0}
        assert [found["bailiwick_inference_requests_total", number] for number in "01"] == [20.0, 20.0]
        assert [found["bailiwick_runs_requests_total", number] for number in "01"] == [20.0, 20.0]
        assert [found["bailiwick_queue_seconds_count", number] for number in "01"] == [20.0, 20.0]
    os.kill(second.process.pid or 0, signal.SIGKILL)
    second.process.join(10)
    assert ("bailiwick_worker_up", "1") not in figures(first)
    again = Worker(tmp_path, control.port, port=first.port, worker=1)
    until(lambda: figures(first).get(("bailiwick_worker_up", "1")) == 1.0, "the new worker's figures")
    for connection in connections:
        connection.close()
    again.stop()
    assert ("bailiwick_worker_up", "1") not in figures(first)
    first.stop()


def test_of_a_worker_that_is_replaced_the_new_process_is_asked_and_nobody_waits_long_for_one(tmp_path: Path) -> None:
    stopping = threading.Event()
    old = Figures(tmp_path, 1, 0, lambda: b"# HELP a A\n# TYPE a gauge\na 1.0\n")
    old._name = f"{old._prefix}0-{os.getppid()}"
    old.start()
    new = Figures(tmp_path, 1, 0, lambda: b"# HELP a A\n# TYPE a gauge\na 2.0\n")
    new.start()
    slow = Figures(tmp_path, 1, 1, lambda: b"" * stopping.wait(10))
    slow.start()
    try:
        found = old.of_all()
        assert b"a 2.0\n" in found
        assert b"a 1.0" not in found
        assert b'bailiwick_worker_up{worker="0"} 1.0\n' in found
        assert b'bailiwick_worker_up{worker="1"} 0.0\n' in found
    finally:
        stopping.set()
        for each in (old, new, slow):
            each.close()


def test_expositions_are_joined_by_family() -> None:
    one = b"# HELP a A\n# TYPE a counter\na 1\n# HELP b B\n# TYPE b gauge\nb 2\n"
    two = b"# HELP c C\n# TYPE c gauge\nc 3\n# HELP a A\n# TYPE a counter\na 4\n"
    assert joined([one, two]) == (
        b"# HELP a A\n# TYPE a counter\na 1\na 4\n# HELP b B\n# TYPE b gauge\nb 2\n# HELP c C\n# TYPE c gauge\nc 3\n"
    )


class Load:
    """Clients who each send the next request when the last is answered."""

    def __init__(self, worker: Worker, clients: int, rows: int = 1) -> None:
        self.answered: list[int] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(worker, rows)) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask_on(self, worker: Worker, rows: int) -> None:
        connection = worker.connect()
        while not self._stopping.is_set():
            self.answered.append(ask(connection, rows))
        connection.close()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(20)


def test_under_load_the_queue_is_seen_and_then_it_is_empty_again(control: Control, tmp_path: Path) -> None:
    """Of a model that is answered in the event loop."""
    control.route(control.variant(2, data=heavy_package(20_000)))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(2)
    load = Load(worker, 12)
    seen: list[float] = []
    stop = time.monotonic() + 3
    while time.monotonic() < stop and not (len(seen) > 5 and max(seen) > 0):
        found = figures(worker)
        assert found["bailiwick_requests_in_flight", "0"] >= found["bailiwick_requests_waiting", "0"]
        seen.append(found["bailiwick_requests_waiting", "0"])
    load.stop()
    assert max(seen) > 0
    assert set(load.answered) == {200}
    found, count = figures(worker), len(load.answered)
    assert found["bailiwick_requests_waiting", "0"] == found["bailiwick_requests_in_flight", "0"] == 0
    assert found["bailiwick_queue_seconds_count", "0"] == found["bailiwick_runs_requests_total", "0"] == count
    assert found["bailiwick_runs_rows_total", "0"] == count
    assert found["bailiwick_queue_seconds_sum", "0"] > 0
    assert 1.5 < count / found["bailiwick_runs_total", "0"] <= 12  # the batch fill
    statistics = worker.call("GET", "/v2/models/late/stats")[1]["model_stats"][0]["inference_stats"]
    assert statistics["queue"]["count"] == count
    assert statistics["queue"]["ns"] == pytest.approx(found["bailiwick_queue_seconds_sum", "0"] * 1e9, rel=0.05)
    worker.stop()
