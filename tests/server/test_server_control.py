"""The process: it comes up, says when it is ready, stops on SIGTERM, and names a port that is taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bailiwick.core.errors import Unavailable
from bailiwick.core.settings import Settings
from bailiwick.server.control import run_control

RUN = "from bailiwick.core.settings import load_settings; from bailiwick.server.control import run_control; run_control(load_settings())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_the_first_and_only_complaint(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"Port {port} on 127\.0\.0\.1 cannot be used for control") as caught:
            run_control(Settings(home=tmp_path / "home", control_port=port))
    assert "--control-port" in caught.value.hint
    assert not (tmp_path / "home").exists()


def test_it_serves_until_sigterm_even_while_a_caller_waits(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "BAILIWICK_HOME": str(tmp_path / "home"), "BAILIWICK_CONTROL_PORT": str(port)}
    with subprocess.Popen([sys.executable, "-c", RUN], env=environment, stderr=subprocess.PIPE) as process:
        try:
            assert _ready(port)["status"] == "ready"
            waiting = socket.create_connection(("127.0.0.1", port))
            waiting.sendall(f"GET /api/v1/routes?after=0&wait=30 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert waiting.recv(100).startswith(b"HTTP/1.1 204")
            waiting.close()
            assert process.wait(15) == 0 or process.returncode == -signal.SIGTERM
        finally:
            process.kill()


def _ready(port: int) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "control did not come up"
            time.sleep(0.05)
