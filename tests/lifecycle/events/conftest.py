"""A platform with a run, a version and an alias, and the entries that tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bailiwick.lifecycle.events.facts import RegistryFacts
from bailiwick.store.journal.model import Entry

TIME = 1_767_225_600_123  # 2026-01-01T00:00:00.123Z


def entry(action: str, resource: str, **detail: Any) -> Entry:
    """An entry that has its place."""
    return Entry(7, "e" * 32, "default", TIME, "u-ada", "ada", action, resource, detail, b"salt", 6)


@dataclass
class FakeFacts(RegistryFacts):
    """Models and versions as a test says they are."""

    models: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    versions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def model_tags(self, workspace: str, model: str) -> Mapping[str, str]:
        return self.models.get(model, ("", {}))[1]

    def description(self, workspace: str, model: str) -> str:
        return self.models.get(model, ("", {}))[0]

    def version(self, workspace: str, model: str, number: str) -> dict[str, Any]:
        return self.versions.get((model, number), {})


@pytest.fixture
def facts() -> FakeFacts:
    """A model, a prompt, and a version of each."""
    prompt = {"mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "text", "team": "a"}
    text = {"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": "Hello {{name}}!", "v": "1"}
    return FakeFacts(
        models={"late": ("Late flights", {"team": "a"}), "greet": ("A greeting", prompt)},
        versions={
            ("late", "3"): {"source": "s3://b/m", "run_id": "r1", "description": "third", "tags": {"k": "v"}},
            ("late", "4"): {"source": "s3://b/m", "run_id": "", "description": "", "tags": {}},
            ("greet", "1"): {"source": "x", "run_id": "", "description": "", "tags": text},
        },
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path / "home"
