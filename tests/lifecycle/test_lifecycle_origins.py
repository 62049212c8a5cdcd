"""Runs and logged models as the registry sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.origins import TrackedOrigins
from bailiwick.registry.ports import LoggedModel


@dataclass
class Run:
    artifact_uri: str = "mlflow-artifacts:/1/r/artifacts"


@dataclass
class Model:
    artifact_location: str = "mlflow-artifacts:/1/models/m-1/artifacts"
    source_run: str = "r"
    tags: dict[str, str] = field(default_factory=dict)


class Tracking:
    """One run `r` and one logged model `m-1`, in workspace `default`."""

    def __init__(self) -> None:
        self.only = Model()

    def run(self, workspace: str, run_id: str) -> Run:
        if (workspace, run_id) != ("default", "r"):
            raise NotFound.of("Run", run_id)
        return Run()

    def model(self, workspace: str, model_id: str) -> Model:
        if (workspace, model_id) != ("default", "m-1"):
            raise NotFound.of("Logged model", model_id)
        return self.only

    def set_tags(self, actor: Actor, model_id: str, tags: Mapping[str, str]) -> None:
        assert (actor.identity, model_id) == ("system:registry", "m-1")
        self.only.tags |= tags


def test_what_is_there_is_told_and_what_is_not_is_none() -> None:
    origins = TrackedOrigins(Tracking(), Tracking())
    assert origins.run_artifacts("default", "r") == Run().artifact_uri
    assert origins.logged_model("default", "m-1") == LoggedModel(Model().artifact_location, "r")
    assert origins.run_artifacts("elsewhere", "r") is None
    assert origins.logged_model("default", "m-2") is None


@pytest.mark.parametrize("before", ["", "no JSON", "5"])
def test_a_logged_model_lists_its_versions_once_each(viewer: Actor, before: str) -> None:
    tracking = Tracking()
    tracking.only.tags["mlflow.modelVersions"] = before
    origins = TrackedOrigins(tracking, tracking)
    for number in (1, 2, 2):
        origins.registered(viewer, "m-1", "model", number)
    listed = '[{"name": "model", "version": 1}, {"name": "model", "version": 2}]'
    assert tracking.only.tags["mlflow.modelVersions"] == listed
