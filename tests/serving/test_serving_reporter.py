"""A worker's heartbeat, as a control plane hears it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bailiwick.endpoints.model import BreakerRule, Policy
from bailiwick.endpoints.reporting import WorkerReport
from tests_support.worker import Control, Worker


def heard(control: Control, wanted: Callable[[WorkerReport], bool]) -> WorkerReport:
    for _ in range(600):
        for report in reversed(control.reports):
            if wanted(report):
                return report
        time.sleep(0.02)
    raise AssertionError(control.reports)


def row(x: float, datatype: str = "FP32") -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "x", "shape": [1, 1], "datatype": datatype, "data": [x]},
            {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["AA"]},
        ]
    }


def test_a_worker_says_what_it_serves_how_requests_fared_and_that_it_leaves(tmp_path: Path) -> None:
    control = Control()
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port)
    try:
        worker.wait_for(1)
        asked = "/v2/models/late/infer"
        statuses = [worker.call("POST", asked, body)[0] for body in [row(1), row(2), row(-1), row(1, "INT8")]]
        assert statuses == [200, 200, 500, 400]
        counted = heard(control, lambda report: "late" in report.counts and report.counts["late"].failed == 1)
        assert counted.endpoints == ("late",)
        assert counted.counts["late"].requests == 3  # what the client did wrong is no failure of the endpoint
        assert not counted.leaving
    finally:
        worker.stop()
        last = heard(control, lambda report: report.leaving)
        control.close()
    assert last.worker == counted.worker
    assert heard(control, lambda report: report.stopped).worker == counted.worker


def test_a_breaker_that_is_open_is_told(tmp_path: Path) -> None:
    control = Control()
    policy = Policy(breaker=BreakerRule(least=3, open_seconds=600))
    control.route(control.variant(1), policy=policy)
    worker = Worker(tmp_path, control.port)
    try:
        worker.wait_for(1)
        assert heard(control, lambda report: report.endpoints == ("late",)).breakers == {}
        for _ in range(4):
            worker.call("POST", "/v2/models/late/infer", row(-1))
        report = heard(control, lambda report: bool(report.breakers))
        assert report.breakers == {"late": {"v1": "open"}}
    finally:
        worker.stop()
        control.close()


def test_a_version_that_cannot_be_loaded_is_told_with_its_reason(tmp_path: Path) -> None:
    control = Control()
    control.route(control.variant(1, data=b"not a model"))
    worker = Worker(tmp_path, control.port)
    try:
        report = heard(control, lambda report: bool(report.failures))
        assert report.endpoints == ()
        assert "not an ONNX model" in report.failures["late"]
    finally:
        worker.stop()
        control.close()


def test_a_control_plane_that_is_away_keeps_no_worker_from_answering_or_ending(tmp_path: Path) -> None:
    control = Control()
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)
    control.close()
    assert worker.call("POST", "/v2/models/late/infer", row(1))[0] == 200
    begun = time.monotonic()
    worker.stop()
    assert time.monotonic() - begun < 15
