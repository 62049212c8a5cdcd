"""Real clients send large files to the object store past the server, with either way of keeping them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests_support import mlflow_client, s3
from tests_support.mlflow_client import Control


@pytest.mark.parametrize("major", ["2", "3"])
@pytest.mark.parametrize("layout", ["plain", "by digest"])
def test_a_large_file_is_sent_in_parts_past_the_server(
    major: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = mlflow_client.interpreter(major)
    bucket = s3.fresh_bucket(monkeypatch)
    if layout == "by digest":
        monkeypatch.setenv("BAILIWICK_BLOBS_URL", f"{bucket}/blobs")
    control = Control(tmp_path, *(["--artifacts-destination", f"{bucket}/kept"] if layout == "plain" else []))
    try:
        found = mlflow_client.tell(python, "in_parts", control)
    finally:
        control.stop()
    assert found["same"]
    with closing(sqlite3.connect(control.home / "bailiwick.db")) as database:
        actions = [row[0] for row in database.execute("SELECT action FROM journal_entries")]
        rows = database.execute("SELECT folder || name, digest FROM tracking_artifacts").fetchall()
    assert actions.count("artifact.upload_begun") == actions.count("artifact.written") == 1
    [(path, digest)] = rows
    assert path.endswith("/artifacts/weights/large.bin")
    assert digest == (found["digest"] if layout == "by digest" else "")
    assert s3.unfinished_uploads(bucket) == 0
