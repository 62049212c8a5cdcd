"""Artifacts through a server process: clients that break off, slow ones beside quick ones, and memory that stays flat."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_support.server import answers, free_port, until

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MB = 1_000_000


class Control:
    """`bailiwick control` on an empty home."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.port = free_port()
        command = [
            sys.executable,
            "-m",
            "bailiwick",
            "control",
            "--port",
            str(self.port),
            "--home",
            str(home),
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: answers(f"http://127.0.0.1:{self.port}/health"), "control")

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def listing(self) -> dict[str, object]:
        return dict(json.loads(self.request("GET", PROXY)[1]))

    def begin(self, path: str, length: int, sent: int, *, chunked: bool = False) -> socket.socket:
        """A client that has announced `length` bytes and sent fewer."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        size = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
        client.sendall(f"PUT {PROXY}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{size}\r\n\r\n".encode())
        client.sendall(f"{sent:x}\r\n".encode() + b"x" * sent + b"\r\n" if chunked else b"x" * sent)
        return client

    def memory(self) -> float:
        """Most megabytes that it has ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 / MB for line in status.splitlines() if line.startswith("VmHWM"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


@pytest.fixture(params=["by digest", "plain"])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    """A server of its own for each layout."""
    options = ["--artifacts-destination", str(tmp_path / "kept")] if request.param == "plain" else []
    started = Control(tmp_path / "home", *options)
    yield started
    started.stop()


def unfinished(control: Control) -> list[Path]:
    places = [control.home / "blobs" / "artifacts" / "incoming", control.home.parent / "kept" / ".bailiwick-incoming"]
    return [path for place in places if place.is_dir() for path in place.iterdir()]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_dies_in_mid_upload_leaves_what_was_there(control: Control, chunked: bool) -> None:
    assert control.request("PUT", f"{PROXY}/old", b"before")[0] == 200
    for path in ("old", "new/deep"):
        client = control.begin(path, 50 * MB, 5 * MB, chunked=chunked)
        until(lambda: unfinished(control), "the upload to begin")
        client.close()
        until(lambda: not unfinished(control), "the upload to be given up")
    assert control.listing() == {"files": [{"path": "old", "is_dir": False, "file_size": 6}]}
    assert control.request("GET", f"{PROXY}/old") == (200, b"before")
    assert control.request("PUT", f"{PROXY}/old", b"after!")[0] == 200


def test_a_server_that_is_killed_in_mid_upload_leaves_what_was_there(control: Control) -> None:
    assert control.request("PUT", f"{PROXY}/old", b"before")[0] == 200
    client = control.begin("old", 50 * MB, 5 * MB)
    until(lambda: unfinished(control), "the upload to begin")
    control.stop(signal.SIGKILL)
    client.close()
    kept = control.home.parent / "kept"
    again = Control(control.home, *(["--artifacts-destination", str(kept)] if kept.exists() else []))
    assert again.listing() == {"files": [{"path": "old", "is_dir": False, "file_size": 6}]}
    assert again.request("GET", f"{PROXY}/old") == (200, b"before")
    again.stop()


def test_clients_that_stall_hold_up_nobody(control: Control) -> None:
    stalled = [control.begin(f"slow/{number}", 50 * MB, 3 * MB) for number in range(30)]
    until(lambda: len(unfinished(control)) == 30, "the uploads to begin")
    for number in range(5):
        begun = time.monotonic()
        assert control.request("PUT", f"{PROXY}/quick/{number}", b"x" * MB)[0] == 200
        assert control.request("GET", f"{PROXY}/quick/{number}")[0] == 200
        assert time.monotonic() - begun < 5
    for client in stalled:
        client.close()
    until(lambda: not unfinished(control), "the uploads to be given up")


def test_a_client_that_breaks_off_a_download_is_let_go(control: Control) -> None:
    assert control.request("PUT", f"{PROXY}/large", os.urandom(30 * MB))[0] == 200
    for _ in range(5):
        client = socket.create_connection(("127.0.0.1", control.port))
        client.sendall(f"GET {PROXY}/large HTTP/1.1\r\nHost: 127.0.0.1:{control.port}\r\n\r\n".encode())
        assert client.recv(10_000).startswith(b"HTTP/1.1 200")
        client.close()
    until(lambda: not _open_files(control, "blobs/artifacts/sha256", "kept/large"), "the files to be closed")
    assert control.request("GET", f"{PROXY}/large")[0] == 200


def _open_files(control: Control, *parts: str) -> list[str]:
    found = []
    for link in Path(f"/proc/{control.process.pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        found += [target for part in parts if part in target]
    return found


def test_memory_does_not_grow_with_the_size_of_a_file(control: Control) -> None:
    assert control.request("PUT", f"{PROXY}/small", os.urandom(MB))[0] == 200
    before = control.memory()
    data = os.urandom(200 * MB)
    assert control.request("PUT", f"{PROXY}/large", data)[0] == 200
    status, back = control.request("GET", f"{PROXY}/large")
    assert (status, back == data) == (200, True)
    assert control.memory() - before < 60


def test_many_clients_write_one_path_and_one_of_them_wins(control: Control) -> None:
    contents = [bytes([65 + number]) * (2 * MB) for number in range(8)]
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda data=data: statuses.append(control.request("PUT", f"{PROXY}/a", data)[0]))
        for data in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert control.request("GET", f"{PROXY}/a")[1] in contents


def test_a_client_that_sends_before_it_listens_hears_why_it_is_refused(control: Control) -> None:
    status, said = control.request("PUT", f"{PROXY}/a%23b", b"x" * (3 * MB))
    assert (status, json.loads(said)["message"]) == (400, "Invalid path")
