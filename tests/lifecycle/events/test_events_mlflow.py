"""MLflow's format: the events, payloads and headers that MLflow 3.18 sends, checked against written examples."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from tests.lifecycle.events.conftest import TIME, FakeFacts, entry

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.mlflow import MlflowFormat
from bailiwick.lifecycle.events.table import MLFLOW, MLFLOW_EVENTS
from tests_support.source import ROOT

EXAMPLES = json.loads((ROOT / "tests/golden/events/mlflow_examples.json").read_text(encoding="utf-8"))

MADE: list[tuple[tuple[str, str, dict[str, Any]], str, dict[str, Any]]] = [
    (
        ("model.created", "model/late", {}),
        "registered_model.created",
        {"name": "late", "tags": {"team": "a"}, "description": "Late flights"},
    ),
    (
        ("model.created", "model/greet", {}),
        "prompt.created",
        {"name": "greet", "tags": {"team": "a"}, "description": "A greeting"},
    ),
    (
        ("version.registered", "version/late/3", {"run_id": "r1"}),
        "model_version.created",
        {
            "name": "late",
            "version": "3",
            "source": "s3://b/m",
            "run_id": "r1",
            "tags": {"k": "v"},
            "description": "third",
        },
    ),
    (
        ("version.registered", "version/late/4", {}),
        "model_version.created",
        {"name": "late", "version": "4", "source": "s3://b/m", "run_id": None, "tags": {}, "description": None},
    ),
    (
        ("version.registered", "version/greet/1", {}),
        "prompt_version.created",
        {"name": "greet", "version": "1", "template": "Hello {{name}}!", "tags": {"v": "1"}, "description": None},
    ),
    (
        ("version.tag_set", "version/late/3", {"key": "k", "value": "v"}),
        "model_version_tag.set",
        {"name": "late", "version": "3", "key": "k", "value": "v"},
    ),
    (
        ("version.tag_deleted", "version/late/3", {"key": "k"}),
        "model_version_tag.deleted",
        {"name": "late", "version": "3", "key": "k"},
    ),
    (
        ("model.tag_set", "model/greet", {"key": "k", "value": "v"}),
        "prompt_tag.set",
        {"name": "greet", "key": "k", "value": "v"},
    ),
    (("model.tag_deleted", "model/greet", {"key": "k"}), "prompt_tag.deleted", {"name": "greet", "key": "k"}),
    (
        ("version.tag_set", "version/greet/1", {"key": "k", "value": ""}),
        "prompt_version_tag.set",
        {"name": "greet", "version": "1", "key": "k", "value": ""},
    ),
    (
        ("version.tag_deleted", "version/greet/1", {"key": "k"}),
        "prompt_version_tag.deleted",
        {"name": "greet", "version": "1", "key": "k"},
    ),
    (
        ("alias.set", "alias/late/champion", {"number": 3, "previous": None}),
        "model_version_alias.created",
        {"name": "late", "alias": "champion", "version": "3"},
    ),
    (
        ("alias.rolled_back", "alias/late/champion", {"number": 2, "previous": 3}),
        "model_version_alias.created",
        {"name": "late", "alias": "champion", "version": "2"},
    ),
    (
        ("alias.removed", "alias/late/champion", {"previous": 3}),
        "model_version_alias.deleted",
        {"name": "late", "alias": "champion"},
    ),
    (
        ("alias.set", "alias/greet/best", {"number": 1}),
        "prompt_alias.created",
        {"name": "greet", "alias": "best", "version": "1"},
    ),
    (("alias.removed", "alias/greet/best", {}), "prompt_alias.deleted", {"name": "greet", "alias": "best"}),
    (
        ("model.imported", "model/late", {"new": True, "tags": ["team"]}),
        "registered_model.created",
        {"name": "late", "tags": {"team": "a"}, "description": "Late flights"},
    ),
    (
        ("version.imported", "version/late/4", {"new": True}),
        "model_version.created",
        {"name": "late", "version": "4", "source": "s3://b/m", "run_id": None, "tags": {}, "description": None},
    ),
]


@pytest.mark.parametrize(("made", "event", "data"), MADE, ids=lambda value: value if isinstance(value, str) else "")
def test_an_entry_is_told_as_mlflow_tells_it(
    facts: FakeFacts, made: tuple[str, str, dict[str, Any]], event: str, data: dict[str, Any]
) -> None:
    action, resource, detail = made
    (told,) = MlflowFormat(facts).announce(entry(action, resource, **detail))
    entity, _, verb = event.partition(".")
    assert told.event == event
    assert json.loads(told.body) == {
        "entity": entity,
        "action": verb,
        "timestamp": "2026-01-01T00:00:00.123000+00:00",
        "data": data,
        "workspace": "default",
    }


def test_every_event_that_mlflow_has_for_models_and_prompts_is_covered() -> None:
    assert {event for _, event, _ in MADE} == set(MLFLOW_EVENTS) == set(EXAMPLES)
    assert set(MLFLOW) == {made[0] for made, _, _ in MADE}


@pytest.mark.parametrize(
    ("action", "resource"), [("model.tag_set", "model/late"), ("run.started", "run/1"), ("x.y", "x")]
)
def test_what_mlflow_has_no_event_for_is_not_told(facts: FakeFacts, action: str, resource: str) -> None:
    assert MlflowFormat(facts).announce(entry(action, resource, key="k")) == []


@pytest.mark.parametrize(
    ("action", "resource"), [("model.imported", "model/late"), ("version.imported", "version/late/4")]
)
@pytest.mark.parametrize("detail", [{"new": False}, {}])
def test_what_arrives_a_second_time_or_was_told_already_is_not_told(
    facts: FakeFacts, action: str, resource: str, detail: dict[str, Any]
) -> None:
    assert MlflowFormat(facts).announce(entry(action, resource, **detail)) == []


def test_a_record_that_is_gone_by_now_leaves_what_the_entry_says(facts: FakeFacts) -> None:
    (told,) = MlflowFormat(facts).announce(entry("version.registered", "version/gone/9"))
    assert json.loads(told.body)["data"]["name"] == "gone"


def test_a_long_value_that_the_journal_cuts_short_is_told_whole(facts: FakeFacts) -> None:
    whole = "x" * 15_000
    facts.versions["late", "3"]["tags"]["long"] = whole
    (told,) = MlflowFormat(facts).announce(entry("version.tag_set", "version/late/3", key="long", value=whole[:10_000]))
    assert json.loads(told.body)["data"]["value"] == whole


@pytest.mark.parametrize("event", MLFLOW_EVENTS)
def test_examples_are_those_that_mlflow_documents(facts: FakeFacts, event: str) -> None:
    told = MlflowFormat(facts).example(event, "default", TIME)
    assert json.loads(told.body)["data"] == EXAMPLES[event]


def test_an_unknown_event_is_refused_with_the_nearest(facts: FakeFacts) -> None:
    with pytest.raises(InvalidInput, match=r"Did you mean 'model_version\.created'\?"):
        MlflowFormat(facts).check_subscription("model_version.create")


def test_the_signature_is_over_id_time_and_body(facts: FakeFacts) -> None:
    body = '{"a": "ä"}'.encode()
    headers = MlflowFormat(facts).headers(delivery="d1", time=TIME, body=body, secret="geheim")
    expected = hmac.new(b"geheim", b"d1.1767225600." + body, hashlib.sha256).digest()
    assert headers == {
        "X-MLflow-Delivery-Id": "d1",
        "X-MLflow-Timestamp": "1767225600",
        "X-MLflow-Signature": "v1," + base64.b64encode(expected).decode(),
    }
    assert "X-MLflow-Signature" not in MlflowFormat(facts).headers(delivery="d1", time=TIME, body=body, secret="")
