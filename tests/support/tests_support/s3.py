"""An S3 server for the tests: moto's, in a process of its own, or the one that `BAILIWICK_TEST_S3` names."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping

import pytest

from tests_support.postgres import required
from tests_support.source import ROOT


def fresh_bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a new, empty bucket; the environment then leads every S3 client of this process to its server.

    Skips the test, or fails it where S3 is required, when there is no server.
    """
    endpoint = _server()
    if endpoint is None:
        if required("s3"):
            pytest.fail("an S3 server is required here, and there is none: run tools/s3_server.py")
        pytest.skip("there is no S3 server: run tools/s3_server.py, or name one in BAILIWICK_TEST_S3")
    variables = {
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "test"),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")):
        return f"s3://{bucket}"


def unfinished_uploads(url: str) -> int:
    """How many multipart uploads were begun in a bucket and neither completed nor aborted."""
    with urllib.request.urlopen(f"{_server()}/{url.removeprefix('s3://').partition('/')[0]}?uploads") as answer:
        return int(answer.read().count(b"<Upload>"))


@functools.cache
def _server() -> str | None:
    given = os.environ.get("BAILIWICK_TEST_S3")
    if given:
        return given.rstrip("/")
    made = ROOT / ".s3" / "bin" / "moto_server"
    command = str(made) if made.exists() else shutil.which("moto_server")
    return _started(command) if command else None


def _started(command: str) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.Popen(
        [command, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    atexit.register(process.kill)
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return f"http://127.0.0.1:{port}"
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "moto_server ended"
            assert time.monotonic() < deadline, "moto_server did not come up"
            time.sleep(0.05)


def fetched(url: str, first: int, last: int) -> bytes:
    """Part of what a signed URL leads to."""
    wanted = urllib.request.Request(url, headers={"Range": f"bytes={first}-{last}"})
    with urllib.request.urlopen(wanted) as answer:
        return bytes(answer.read())


def sent(url: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
    """PUT to a signed URL."""
    kind = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data, {**kind, **(headers or {})}, method="PUT")
    with urllib.request.urlopen(request):
        return
