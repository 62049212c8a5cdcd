"""An emulator of Azure's blobs for the tests, in a process of its own, where `tools/azure_server.py` has made it."""

from __future__ import annotations

import atexit
import base64
import functools
import hmac
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime

import pytest

from tests_support.postgres import required
from tests_support.server import free_port
from tests_support.source import ROOT

AZURITE = ROOT / ".azure" / "node_modules" / ".bin" / "azurite-blob"
ACCOUNT, KEY = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)

PRESENT = AZURITE.exists() or required("azure")
"""Whether Azure can be tried here, or must be."""


def fresh_container(monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a new, empty container; the environment then leads clients of this process to it."""
    address, name = _azurite(), f"t{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", address)
    _make_container(address, name)
    return f"az://{name}"


@functools.cache
def _azurite() -> str:
    port = free_port()
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", str(port)]
    process = subprocess.Popen([str(AZURITE), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError:  # it speaks
            return address
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "azurite ended"
            assert time.monotonic() < deadline, "azurite did not come up"
            time.sleep(0.05)
        else:
            return address


def _make_container(address: str, name: str) -> None:
    """Obstore makes none; so by Azure's "Shared Key"."""
    date, version = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "2021-08-06"
    resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    mark = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{mark}"}
    request = urllib.request.Request(f"{address}/{ACCOUNT}/{name}?restype=container", method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=30):
        return
