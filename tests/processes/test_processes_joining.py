"""A machine that only serves: an empty home, the control plane's address, and a token that may read and predict."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.settings import Settings
from bailiwick.endpoints.log import PredictionLog
from bailiwick.store.delta import DeltaTables
from tests_support.server import Server, bailiwick, free_port, until
from tests_support.serving import package_bytes


class Joined:
    """`bailiwick serve` on a home of its own."""

    def __init__(self, home: Path, control: int, token: str) -> None:
        self.home, self.control, self.token = home, control, token
        self.port = free_port()
        self.start()

    def start(self) -> None:
        options = ("--control-url", f"http://127.0.0.1:{self.control}", "--inference-port", str(self.port))
        self.process = bailiwick("serve", *options, home=self.home, BAILIWICK_TOKEN=self.token)

    def predict(self, request_id: str) -> dict[str, object]:
        body = {
            "id": request_id,
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.5]},
                {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
            ],
        }
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2/models/late/infer", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(asked, timeout=5) as answer:
            found: dict[str, object] = json.loads(answer.read())
            return found

    def answers(self) -> bool:
        try:
            return bool(self.predict("ready")["model_version"])
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, number: int = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return err


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Control's: a deployed endpoint."""
    platform = open_platform(Settings(home=tmp_path / "control"))
    package = platform.blobs.put(package_bytes(1))
    platform.endpoints.deploy(system_actor("default", "test"), "late", model="late", version=1, package=package)
    platform.close()
    return tmp_path / "control"


@pytest.fixture
def token(home: Path) -> str:
    for arguments in (("create", "edge-1", "--role", "service"), ("token", "edge-1")):
        made = bailiwick("users", *arguments, home=home)
        out, err = made.communicate(timeout=60)
        assert made.returncode == 0, err
    return next(word for word in out.split() if word.startswith("bw_"))


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    made = Server(home)
    made.wait_up()
    yield made
    if made.process.poll() is None:
        made.stop()


def logged(home: Path) -> set[str]:
    log = PredictionLog(DeltaTables(str(home / "tables")), "default")
    try:
        return set(log.predictions("late")["request_id"].to_pylist())
    except Exception:  # noqa: BLE001 - there is no table before the first row
        return set()


def test_it_answers_and_its_predictions_come_home_whoever_is_away(
    home: Path, token: str, server: Server, tmp_path: Path
) -> None:
    joined = Joined(tmp_path / "edge", server.control, token)
    try:
        until(joined.answers, "the joined machine answers")
        assert list((tmp_path / "edge" / "serve" / "packages").iterdir())
        assert not (tmp_path / "edge" / "bailiwick.db").exists()
        joined.predict("first")
        until(lambda: "first" in logged(home), "its prediction in the log of control")
        server.stop()
        assert joined.predict("alone")["model_version"] == "1"
        joined.stop(signal.SIGKILL)
        joined.start()
        until(joined.answers, "it serves what it knows")
        joined.predict("still-alone")
        server.start()
        server.wait_up()
        until(lambda: {"alone", "still-alone"} <= logged(home), "what was recorded meanwhile")
        joined.predict("last")
        err = joined.stop()
        assert "Traceback" not in err
        until(lambda: "last" in logged(home), "what was recorded before it ended")
        assert [path for path in (tmp_path / "edge" / "spool").iterdir() if not path.name.startswith(".")] == []
    finally:
        if joined.process.poll() is None:
            joined.stop(signal.SIGKILL)


def test_a_token_that_may_not_predict_is_named(home: Path, server: Server, tmp_path: Path) -> None:
    for arguments in (("create", "reader", "--role", "viewer"), ("token", "reader")):
        made = bailiwick("users", *arguments, home=home)
        out, _ = made.communicate(timeout=60)
    token = next(word for word in out.split() if word.startswith("bw_"))
    joined = Joined(tmp_path / "edge", server.control, token)
    try:
        until(joined.answers, "the joined machine answers")
        joined.process.send_signal(signal.SIGTERM)
        _, err = joined.process.communicate(timeout=60)
        assert "predictions.write" in err
    finally:
        if joined.process.poll() is None:
            joined.stop(signal.SIGKILL)


def test_a_token_that_is_none_is_named(server: Server, tmp_path: Path) -> None:
    joined = Joined(tmp_path / "edge", server.control, "bw_wrong")
    with pytest.raises(subprocess.TimeoutExpired):
        joined.process.communicate(timeout=4)
    assert "refuses this worker (401)" in joined.stop()


def test_a_worker_says_where_it_answers_and_once_what_it_cannot_reach(tmp_path: Path) -> None:
    joined = Joined(tmp_path / "edge", free_port(), "")
    time.sleep(3)  # several attempts
    said = joined.stop()
    assert f"Worker 0 answers at http://127.0.0.1:{joined.port}, over gRPC at " in said
    assert f"routes come from http://127.0.0.1:{joined.control}" in said
    assert said.count("routes are not followed for now") == 1
