"""A serving setting from the command line to the worker that obeys it, and back as advice to whoever starts workers."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.settings import Settings
from tests_support.server import Server, bailiwick, until
from tests_support.serving import package_bytes

FACTS: dict[str, Any] = {name: {} for name in ("signature", "metrics", "slices", "parity", "environment", "parameters")}


def test_a_setting_reaches_the_worker_and_outlives_it(tmp_path: Path) -> None:
    platform = open_platform(Settings(home=tmp_path))
    package = platform.blobs.put(package_bytes(1))
    actor = system_actor("default", "test")
    platform.registry.register(actor, "late", package=package, run_id="", snapshot="", code_version="", **FACTS)
    platform.endpoints.deploy(actor, "late", model="late", version=1, package=package)
    platform.close()
    server = Server(tmp_path)
    server.wait_up()

    def parameters() -> dict[str, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.inference}/v2/models/late/config", timeout=5) as got:
                told = json.load(got)["parameters"]
                return {name: value["string_value"] for name, value in told.items()}
        except OSError:
            return {}

    try:
        until(lambda: parameters().get("most_rows") == "256", "the version is served as every other")
        options = ("--threads", "2", "--most-rows", "16", "--workers", "4")
        process = bailiwick("models", "serving", "late", "1", *options, home=tmp_path)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "runs of at most 16 rows" in out
        until(lambda: parameters().get("most_rows") == "16", "the worker obeys")
        assert parameters()["intra_op_thread_count"] == str(min(2, len(os.sched_getaffinity(0))))
        assert server.stop()[0] == 0
        server.start()
        server.wait_up()
        until(lambda: parameters().get("advised_workers") == "4", "the setting outlives the worker")
        assert server.process.stdout is not None
        told = [server.process.stdout.readline() for _ in range(5)]
        assert "measured best with 4 workers, and there is 1" in told[-1]
        assert server.stop()[0] == 0
    finally:
        if server.process.poll() is None:
            server.kill()
