"""OpenLineage: what training read and made as run events, as the golden file has them (which the official schema accepts)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from tests.lifecycle.events.conftest import TIME, entry

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.openlineage import OpenLineageFormat
from bailiwick.lifecycle.platform import Platform
from bailiwick.store.journal.model import Entry
from bailiwick.tracking.model import RunInput, RunStatus
from bailiwick.webhooks.ports import Announcement
from tests_support.populated import empty
from tests_support.source import ROOT

GOLDEN = ROOT / "tests" / "golden" / "events" / "openlineage.json"


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    opened = empty(home)
    yield opened
    opened.close()


@pytest.fixture
def told_in(platform: Platform) -> OpenLineageFormat:
    return OpenLineageFormat(platform.tracking, platform.data)


def told(platform: Platform, told_in: OpenLineageFormat) -> list[Announcement]:
    """What the whole journal is told as, in order."""
    entries: list[Entry] = list(reversed(platform.journal.entries("default", limit=1000)))
    return [each for made in entries for each in told_in.announce(made)]


def normalised(text: str, ids: dict[str, str]) -> Any:
    for value, name in ids.items():
        text = text.replace(value, name)
    return json.loads(text)


def test_training_is_told_from_its_snapshot_to_its_version(
    platform: Platform, told_in: OpenLineageFormat, admin: Actor
) -> None:
    rows = pa.table({"hour": pa.array([1, 2], pa.int64()), "late": pa.array([0.0, 1.0], pa.float64())})
    snapshot = platform.data.ingest(admin, "flights", rows, source="data/flights.parquet")
    run = platform.tracking.start_run(admin, "flights", name="train", inputs=[RunInput(snapshot.id)])
    child = platform.tracking.start_run(admin, "flights", name="trial", parent=run.id)
    platform.tracking.finish_run(admin, child.id, RunStatus.FAILED)
    platform.tracking.log(admin, run.id, metrics={"auc": 0.7, "odd": float("nan")})
    platform.tracking.finish_run(admin, run.id)
    empty_facts: dict[str, Any] = {name: {} for name in ("signature", "slices", "parity", "environment", "parameters")}
    package = platform.blobs.put(b"onnx")
    platform.registry.register(
        admin, "late", package=package, run_id=run.id, snapshot=snapshot.id, metrics={}, code_version="c", **empty_facts
    )
    found = told(platform, told_in)
    assert [each.event for each in found] == ["run.start", "run.start", "run.fail", "run.complete", "run.other"]
    ids = {
        str(UUID(hex=run.id)): "11111111-1111-1111-1111-111111111111",
        str(UUID(hex=child.id)): "22222222-2222-2222-2222-222222222222",
        snapshot.id: "SNAPSHOT",
        snapshot.digest: "DIGEST",
        json.loads(found[0].body)["producer"]: "urn:bailiwick:test",
        f'"version": "{json.loads(found[0].body)["producer"].rpartition(":")[2]}"': '"version": "test"',
    }
    assert [normalised(each.body, ids) for each in found] == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("action", "detail", "kind"),
    [
        ("pipeline_run.submitted", {"pipeline": "train", "trigger": "cron"}, "START"),
        ("pipeline_run.resumed", {"pipeline": "train"}, "RUNNING"),
        ("pipeline_run.finished", {}, "COMPLETE"),
        ("pipeline_run.failed", {"message": "boom"}, "FAIL"),
        ("pipeline_run.cancelled", {"pipeline": "train"}, "ABORT"),
    ],
)
def test_pipeline_runs_are_told(told_in: OpenLineageFormat, action: str, detail: dict[str, Any], kind: str) -> None:
    (made,) = told_in.announce(entry(action, f"pipeline_run/{'a' * 32}", **detail))
    event = json.loads(made.body)
    assert (made.event, event["eventType"]) == (f"run.{kind.lower()}", kind)
    assert event["run"]["runId"] == str(UUID(hex="a" * 32))
    assert (event["run"]["facets"].get("errorMessage", {}).get("message") == "boom") is (kind == "FAIL")


@pytest.mark.parametrize(
    ("action", "resource", "detail"),
    [
        ("run.updated", "run/1", {"name": "only the name"}),
        ("run.updated", "run/1", {"status": "SCHEDULED"}),
        ("version.registered", "version/late/1", {"run_id": "another server's"}),
        ("version.registered", "version/late/1", {}),
        ("alias.set", "alias/late/champion", {"number": 1}),
    ],
)
def test_what_is_no_lineage_is_not_told(
    told_in: OpenLineageFormat, action: str, resource: str, detail: dict[str, Any]
) -> None:
    assert told_in.announce(entry(action, resource, **detail)) == []


def test_a_run_that_is_gone_is_told_with_what_the_entry_says(told_in: OpenLineageFormat) -> None:
    (made,) = told_in.announce(entry("run.started", "run/not-a-uuid", experiment="flights"))
    event = json.loads(made.body)
    assert event["job"]["name"] == "experiments/flights"
    assert UUID(event["run"]["runId"]).version == 5


def test_subscriptions_are_event_types(told_in: OpenLineageFormat) -> None:
    assert told_in.matches(told_in.check_subscription("run.fail"), "run.fail")
    assert told_in.matches(told_in.check_subscription("*"), "run.start")
    with pytest.raises(InvalidInput, match=r"Did you mean 'run\.complete'\?"):
        told_in.check_subscription("run.completed")
    assert json.loads(told_in.example("*", "default", TIME).body)["eventType"] == "OTHER"
    assert "webhook-id" in told_in.headers(delivery="d", time=TIME, body=b"", secret="")
