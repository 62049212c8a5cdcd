"""What the registry asks of tracking, and of those who use its models, put together from their services."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Protocol

from bailiwick.core.actor import Actor, system_actor
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from bailiwick.endpoints.service import EndpointService
from bailiwick.governance.service import GovernanceService
from bailiwick.pipelines.projects import ProjectService
from bailiwick.registry.ports import LoggedModel, Reach, StoredFile
from bailiwick.tracking.artifacts.service import ArtifactService

VERSIONS_TAG = "mlflow.modelVersions"


class TrackedRun(Protocol):
    """What is asked of a run."""

    @property
    def artifact_uri(self) -> str:
        """Root of its artifacts."""
        ...


class Runs(Protocol):
    """Where runs are found."""

    def run(self, workspace: str, run_id: str) -> TrackedRun:
        """Raises NotFound."""
        ...


class TrackedModel(Protocol):
    """What is asked of a logged model."""

    @property
    def artifact_location(self) -> str:
        """Root of its files."""
        ...

    @property
    def source_run(self) -> str:
        """Id of the run that made it, or empty."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        ...


class LoggedModels(Protocol):
    """Where logged models are found and tagged."""

    def model(self, workspace: str, model_id: str) -> TrackedModel:
        """Raises NotFound."""
        ...

    def set_tags(self, actor: Actor, model_id: str, tags: Mapping[str, str]) -> None:
        """Raises NotFound."""
        ...


class TrackedOrigins:
    """Satisfies `registry.ports.Origins` from tracking's services."""

    def __init__(self, runs: Runs, logged_models: LoggedModels) -> None:
        self._runs = runs
        self._models = logged_models

    def run_artifacts(self, workspace: str, run_id: str) -> str | None:
        """The root URI of a run's artifacts."""
        try:
            return self._runs.run(workspace, run_id).artifact_uri
        except NotFound:
            return None

    def logged_model(self, workspace: str, model_id: str) -> LoggedModel | None:
        """A logged model."""
        try:
            found = self._models.model(workspace, model_id)
        except NotFound:
            return None
        return LoggedModel(found.artifact_location, found.source_run)

    def registered(self, actor: Actor, model_id: str, model: str, number: int) -> None:
        """Name the version in the tag by which MLflow's clients find it; on behalf of the platform, as part of registering."""
        made = {"name": model, "version": number}
        known = _listed(self._models.model(actor.workspace, model_id).tags.get(VERSIONS_TAG, ""))
        if made not in known:
            registry = system_actor(actor.workspace, "registry")
            self._models.set_tags(registry, model_id, {VERSIONS_TAG: json.dumps([*known, made])})


class KeptArtifacts:
    """Satisfies `registry.ports.ArtifactCatalog` from the store of artifacts that the platform itself keeps."""

    def __init__(self, artifacts: ArtifactService) -> None:
        self._artifacts = artifacts

    def reach(self, workspace: str, uri: str) -> Reach:
        """Those that are kept by digest are listed with it; others are read."""
        try:
            place = self._artifacts.locate(workspace, uri)
        except (Conflict, InvalidInput, LimitExceeded):
            return Reach.NONE
        return Reach.LISTED if self._artifacts.by_digest(place) else Reach.READ

    def remove(self, actor: Actor, uri: str) -> int:
        """Every file below, on behalf of the platform: whoever may destroy a version need not be one who may write files."""
        if self.reach(actor.workspace, uri) is Reach.NONE:
            return 0
        place = self._artifacts.locate(actor.workspace, uri)
        return self._artifacts.delete(system_actor(actor.workspace, "registry"), place) if place.path else 0

    def files(self, workspace: str, uri: str) -> Sequence[StoredFile] | None:
        """Every file below; None where the URI is out of the platform's reach."""
        try:
            place = self._artifacts.locate(workspace, uri)
        except (Conflict, InvalidInput, LimitExceeded):
            return None
        return [StoredFile(each.path, each.digest, each.size_bytes) for each in self._artifacts.files(workspace, place)]

    def read(self, workspace: str, uri: str, path: str) -> Iterator[bytes]:
        """One file's bytes."""
        with closing(self._artifacts.open(workspace, self._artifacts.locate(workspace, uri, path))) as reading:
            yield from reading.chunks(0, reading.artifact.size_bytes)


def _listed(text: str) -> list[object]:
    """What the tag lists; anyone may have written it."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return found if isinstance(found, list) else []


class Dependents:
    """Satisfies `registry.ports.ModelReferences`: endpoints, projects and policies that go by a model's name."""

    def __init__(self, endpoints: EndpointService, projects: ProjectService, governance: GovernanceService) -> None:
        self._endpoints = endpoints
        self._projects = projects
        self._governance = governance

    def of_model(self, workspace: str, model: str) -> Sequence[str]:
        """Endpoints that route, or ever did, to any of its versions (predictions are logged under its name), its project."""
        endpoints = {f"endpoint {name!r}" for name in self._endpoints.endpoints_of(workspace, model)}
        projects = {f"project {each.name!r}" for each in self._projects.projects(workspace) if each.name == model}
        return sorted(endpoints | projects)

    def of_name(self, workspace: str, name: str) -> Sequence[str]:
        """The same, and policies that were made before there is a model."""
        policies = {
            f"the policy for {policy.target!r}"
            for policy in self._governance.policies(workspace)
            if policy.model == name
        }
        return sorted({*self.of_model(workspace, name), *policies})

    def of_version(self, workspace: str, model: str, number: int) -> Sequence[str]:
        """Endpoints that route to it."""
        return sorted(
            f"endpoint {endpoint.name!r}"
            for endpoint in self._endpoints.endpoints(workspace)
            if any((variant.model, variant.version) == (model, number) for variant in endpoint.variants)
        )
