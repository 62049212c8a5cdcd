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
from bailiwick.pipelines.engine import Engine
from bailiwick.pipelines.model import Pipeline, Step
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
    return OpenLineageFormat(platform.tracking, platform.data, platform.registry, platform.pipelines)


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
    found = [each for each in told(platform, told_in) if "registry/late" not in each.body]
    assert [each.event for each in found] == ["run.start", "run.start", "run.fail", "run.complete", "run.other"]
    ids = {
        str(UUID(hex=run.id)): "11111111-1111-1111-1111-111111111111",
        str(UUID(hex=child.id)): "22222222-2222-2222-2222-222222222222",
        snapshot.id: "SNAPSHOT",
        snapshot.digest: "DIGEST",
        package: "PACKAGE",
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
        ("version.imported", "version/late/1", {"origin": "archive:x"}),
        ("card.stated", "model/late", {"field": "contact"}),
        ("policy.set", "policy/late/champion", {"approvers": 1}),
    ],
)
def test_what_is_no_lineage_is_not_told(
    told_in: OpenLineageFormat, action: str, resource: str, detail: dict[str, Any]
) -> None:
    assert told_in.announce(entry(action, resource, **detail)) == []


DECISIONS = [
    ("version.registered", "version/late/1", {"run_id": "another server's"}, "CREATE"),
    ("version.imported", "version/late/1", {"new": True}, "CREATE"),
    ("approval.requested", "version/late/1", {"number": 1, "target": "champion"}, "ALTER"),
    ("approval.approved", "version/late/1", {"target": "champion", "status": "APPROVED", "comment": "ok"}, "ALTER"),
    ("approval.rejected", "version/late/1", {"target": "champion", "status": "REJECTED", "comment": "no"}, "ALTER"),
    ("approval.expired", "version/late/1", {"target": "champion", "was": "PENDING"}, "ALTER"),
    ("alias.set", "alias/late/champion", {"number": 1, "reason": "better"}, "ALTER"),
    ("alias.rolled_back", "alias/late/champion", {"number": 1, "previous": 2, "reason": "worse"}, "ALTER"),
    ("alias.removed", "alias/late/champion", {"previous": 1}, "ALTER"),
    ("stage.set", "stage/late/Production", {"number": 1, "previous": "None"}, "ALTER"),
    ("stage.rolled_back", "stage/late/Production", {"number": 1, "previous": 2}, "ALTER"),
    ("version.deleted", "version/late/1", {"reason": "old"}, "DROP"),
    ("version.restored", "version/late/1", {}, "CREATE"),
    ("version.purged", "version/late/1", {"reason": "erased", "digest": "d"}, "DROP"),
]


@pytest.mark.parametrize(("action", "resource", "detail", "change"), DECISIONS, ids=lambda value: str(value)[:40])
def test_what_becomes_of_a_version_is_told_as_an_output_of_the_registry(
    told_in: OpenLineageFormat, action: str, resource: str, detail: dict[str, Any], change: str
) -> None:
    (made,) = told_in.announce(entry(action, resource, **detail))
    event = json.loads(made.body)
    assert (made.event, event["eventType"], event["job"]["name"]) == ("run.other", "OTHER", "registry/late")
    assert UUID(event["run"]["runId"])
    (output,) = event["outputs"]
    facets = output["facets"]
    assert (output["name"], facets["version"]["datasetVersion"]) == ("models/late", "1")
    assert facets["lifecycleStateChange"]["lifecycleStateChange"] == change
    told = {key: value for key, value in facets["bailiwick_decision"].items() if not key.startswith("_")}
    said = {key: value for key, value in detail.items() if key not in {"run_id", "new"}}
    assert told == {"action": action, "subject": resource, "by": entry(action, resource).actor, **said}


def test_what_becomes_of_a_version_is_told_with_the_run_that_made_it(
    platform: Platform, told_in: OpenLineageFormat, admin: Actor
) -> None:
    run = platform.tracking.start_run(admin, "flights")
    platform.registry.create_model(admin, "late")
    platform.registry.create_version(admin, "late", source=f"runs:/{run.id}/model", run_id=run.id)
    platform.registry.set_alias(admin, "late", "champion", 1, reason="first")
    platform.registry.delete_version(admin, "late", 1)
    found = [json.loads(each.body) for each in told(platform, told_in)]
    assert [each["job"]["name"] for each in found] == [
        "experiments/flights",
        "registry/late",
        *["experiments/flights"] * 3,
    ]
    assert {each["run"]["runId"] for each in found if each["job"]["name"].startswith("exp")} == {str(UUID(hex=run.id))}


def test_models_and_endpoints_are_told(told_in: OpenLineageFormat) -> None:
    (made,) = told_in.announce(entry("model.renamed", "model/late", previous="tardy"))
    change = json.loads(made.body)["outputs"][0]["facets"]["lifecycleStateChange"]
    assert (change["lifecycleStateChange"], change["previousIdentifier"]["name"]) == ("RENAME", "models/tardy")
    variants = [{"name": "v1", "model": "late", "version": 1, "package": "", "weight": 10_000}]
    (made,) = told_in.announce(entry("endpoint.rolled_back", "endpoint/late", variants=variants, reason="worse"))
    event = json.loads(made.body)
    assert event["job"]["name"] == "endpoints/late"
    assert [each["name"] for each in event["inputs"]] == ["models/late"]
    assert event["inputs"][0]["facets"]["bailiwick_decision"]["reason"] == "worse"


def test_the_end_of_a_pipeline_run_names_its_pipeline(
    platform: Platform, told_in: OpenLineageFormat, admin: Actor
) -> None:
    pipeline = Pipeline("train", (Step("only", (), lambda _: {}, "1"),))
    submitted = platform.pipelines.submit(admin, pipeline, {})
    Engine(platform.records, {"train": pipeline}).execute(admin, submitted.id)
    jobs = [json.loads(each.body)["job"]["name"] for each in told(platform, told_in)]
    assert jobs == ["pipelines/train", "pipelines/train"]


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
