"""Runs of a project's pipeline that are asked for over HTTP."""

from __future__ import annotations

from pathlib import Path

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.project import load_project
from tests_support.control import TestClient
from tests_support.fraud_project import CODE, PROJECT


def test_a_run_may_be_told_to_register_what_is_there_once_more(
    client: TestClient, platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    (tmp_path / "bailiwick.yaml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "fraud.py").write_text(CODE, encoding="utf-8")
    platform.projects.apply(admin, load_project(tmp_path))
    asked = {"project": "fraud", "reason": "because"}
    plain = client.post("/api/v1/pipeline-runs", json=asked)
    forced = client.post("/api/v1/pipeline-runs", json={**asked, "force": True})
    assert (plain.status_code, forced.status_code) == (201, 201)
    assert plain.json()["params"] == {**asked, "start": None, "end": None}
    assert forced.json()["params"] == {**asked, "start": None, "end": None, "force": True}
    assert client.post("/api/v1/pipeline-runs", json={**asked, "force": "yes"}).status_code == 400
