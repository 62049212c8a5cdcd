"""OpenLineage run events (specification 2-0-2): what training and pipeline runs read and made.

A training run is a run of the job `experiments/NAME`, which reads `snapshots/ID`; a version that is registered from it
is told as a later event of the same run, with the output `models/NAME`. So is whatever happens to the version later:
approvals, aliases and stages, deletion; for one that came from no run of ours the registry is the job, and each event a run
of its own. Endpoints are jobs that read models. https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from bailiwick._version import __version__
from bailiwick.core.clock import to_text
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.data.service import DataService
from bailiwick.lifecycle.events.facts import RegistryFacts, named
from bailiwick.lifecycle.events.signing import standard_headers
from bailiwick.lifecycle.events.table import (
    ABOUT_ENDPOINTS,
    ABOUT_MODELS,
    ABOUT_VERSIONS,
    OPENLINEAGE,
    OPENLINEAGE_EVENTS,
    RUN_STATUS,
    RUN_UPDATED,
)
from bailiwick.pipelines.service import PipelineService
from bailiwick.registry.service import RegistryService
from bailiwick.store.journal.model import Entry
from bailiwick.tracking.model import Run
from bailiwick.tracking.service import TrackingService
from bailiwick.webhooks.ports import Announcement

SPEC = "https://openlineage.io/spec"
SCHEMA = f"{SPEC}/2-0-2/OpenLineage.json"
PRODUCER = f"urn:bailiwick:{__version__}"
EVERYTHING = "*"
MAX_DATASETS = 100
MAX_METRICS = 200
TOLD = ("reason", "target", "status", "comment", "number", "previous", "was", "digest")
"""What is told of an entry's detail beside what it did to whom."""


class OpenLineageFormat:
    """Subscriptions are OpenLineage's event types as `run.complete`, or `*`."""

    name = "openlineage"
    content_type = "application/json"

    def __init__(
        self, tracking: TrackingService, data: DataService, registry: RegistryService, pipelines: PipelineService
    ) -> None:
        self._tracking = tracking
        self._data = data
        self._facts = RegistryFacts(registry)
        self._pipelines = pipelines

    def check_subscription(self, subscription: str) -> str:
        """`*` or `run.` and an event type in lower case."""
        choices = [EVERYTHING, *(_event_name(each) for each in OPENLINEAGE_EVENTS)]
        if subscription not in choices:
            raise InvalidInput.choice("OpenLineage event", subscription, choices)
        return subscription

    def matches(self, subscription: str, event: str) -> bool:
        """Only itself, or all."""
        return subscription in {EVERYTHING, event}

    def announce(self, entry: Entry) -> list[Announcement]:
        """One for each entry that begins or ends a run, or says what came of it."""
        kind = RUN_STATUS.get(str(entry.detail.get("status")), "") if entry.action == RUN_UPDATED else ""
        kind = kind or OPENLINEAGE.get(entry.action, "")
        if kind:
            return [_announcement(kind, entry, self._run(entry))]
        if entry.action in ABOUT_VERSIONS and self._is_about_a_version(entry):
            return [_announcement("OTHER", entry, self._version(entry))]
        if entry.action in ABOUT_MODELS:
            return [_announcement("OTHER", entry, self._model(entry))]
        if entry.action in ABOUT_ENDPOINTS:
            return [_announcement("OTHER", entry, self._endpoint(entry))]
        return []

    def example(self, subscription: str, workspace: str, time: int) -> Announcement:
        """A run that nobody has made."""
        wanted = self.check_subscription(subscription)
        kind = "OTHER" if wanted == EVERYTHING else wanted.partition(".")[2].upper()
        run = {"runId": str(UUID(int=0)), "facets": {}}
        job = {"namespace": _namespace(workspace), "name": "example", "facets": {}}
        event = {"eventType": kind, "eventTime": to_text(time), "run": run, "job": job, "producer": PRODUCER}
        return Announcement(_event_name(kind), _body({**event, "inputs": [], "outputs": []}))

    def headers(self, *, delivery: str, time: int, body: bytes, secret: str) -> Mapping[str, str]:
        """Those of Standard Webhooks."""
        return standard_headers(delivery=delivery, time=time, body=body, secret=secret)

    def _run(self, entry: Entry) -> dict[str, Any]:
        _, _, run_id = entry.resource.partition("/")
        if entry.action.startswith("pipeline_run."):
            pipeline = str(entry.detail.get("pipeline") or self._pipeline_of(entry.workspace, run_id))
            facets = _failure(entry)
            return _told(entry.workspace, run_id, f"pipelines/{pipeline}", "PIPELINE", facets)
        found = self._find(entry.workspace, run_id)
        if found is None:
            return _told(
                entry.workspace, run_id, f"experiments/{entry.detail.get('experiment', 'unknown')}", "TRAINING"
            )
        inputs = [self._snapshot(entry.workspace, each) for each in sorted({each.snapshot for each in found.inputs})]
        facets = {**_engine(), **_parent(found), **(_measures(found) if entry.action == RUN_UPDATED else {})}
        job = f"experiments/{found.experiment}"
        return _told(entry.workspace, run_id, job, "TRAINING", facets, inputs=inputs[:MAX_DATASETS])

    def _is_about_a_version(self, entry: Entry) -> bool:
        """Whether it names one, and, of what arrived from elsewhere, one that was not told already."""
        if entry.action == "version.imported" and "new" not in entry.detail:  # an archive's, which was registered too
            return False
        return bool(named(entry).version or entry.detail.get("previous"))

    def _version(self, entry: Entry) -> dict[str, Any]:
        """The version as an output of the run it came from, or of the registry where that is no run of ours."""
        about = named(entry)
        number = about.version or str(entry.detail.get("previous"))
        run_id = entry.detail.get("run_id") or self._facts.version(entry.workspace, about.model, number).get("run_id")
        output = _model_dataset(entry, about.model, number, ABOUT_VERSIONS[entry.action])
        found = self._find(entry.workspace, str(run_id or ""))
        if found is None:
            return _told(entry.workspace, entry.id, f"registry/{about.model}", "REGISTRY", _engine(), outputs=[output])
        inputs = [self._snapshot(entry.workspace, each) for each in sorted({each.snapshot for each in found.inputs})]
        job = f"experiments/{found.experiment}"
        return _told(
            entry.workspace, found.id, job, "TRAINING", _engine(), inputs=inputs[:MAX_DATASETS], outputs=[output]
        )

    def _model(self, entry: Entry) -> dict[str, Any]:
        model = named(entry).model
        output = _model_dataset(entry, model, "", ABOUT_MODELS[entry.action])
        return _told(entry.workspace, entry.id, f"registry/{model}", "REGISTRY", _engine(), outputs=[output])

    def _endpoint(self, entry: Entry) -> dict[str, Any]:
        """An endpoint as a job that reads the versions among which its traffic is split."""
        name = entry.resource.partition("/")[2]
        variants = entry.detail.get("variants")
        served = [each for each in variants if isinstance(each, Mapping)] if isinstance(variants, list) else []
        inputs = [_model_dataset(entry, str(each.get("model")), str(each.get("version")), "") for each in served]
        return _told(entry.workspace, entry.id, f"endpoints/{name}", "SERVING", _engine(), inputs=inputs[:MAX_DATASETS])

    def _pipeline_of(self, workspace: str, run_id: str) -> str:
        """The entry of a run's end does not name its pipeline."""
        try:
            return self._pipelines.run(workspace, run_id).pipeline
        except NotFound:
            return "unknown"

    def _find(self, workspace: str, run_id: str) -> Run | None:
        try:
            return self._tracking.run(workspace, run_id) if run_id else None
        except NotFound:
            return None

    def _snapshot(self, workspace: str, snapshot_id: str) -> dict[str, Any]:
        try:
            found = self._data.snapshot(workspace, snapshot_id)
        except NotFound:
            return _dataset(workspace, f"snapshots/{snapshot_id}", {})
        fields = [{"name": name, "type": kind} for name, kind in found.columns]
        facets = {
            "schema": _facet("SchemaDatasetFacet", "1-2-0", fields=fields),
            "version": _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=found.digest),
        }
        return _dataset(workspace, f"snapshots/{snapshot_id}", facets)


def _announcement(kind: str, entry: Entry, told: Mapping[str, Any]) -> Announcement:
    event = {"eventType": kind, "eventTime": to_text(entry.time), **told, "producer": PRODUCER}
    return Announcement(_event_name(kind), _body(event))


def _model_dataset(entry: Entry, model: str, number: str, change: str) -> dict[str, Any]:
    """A version (or the model, without a number) as a dataset, with what became of it and who decided that."""
    facets: dict[str, Any] = {}
    if number:
        facets["version"] = _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=number)
    if change:
        before = {}
        if change == "RENAME":
            identity = {"name": f"models/{entry.detail.get('previous', '')}", "namespace": _namespace(entry.workspace)}
            before = {"previousIdentifier": identity}
        name = "LifecycleStateChangeDatasetFacet"
        facets["lifecycleStateChange"] = _facet(name, "1-0-1", lifecycleStateChange=change, **before)
    said = {key: entry.detail[key] for key in TOLD if entry.detail.get(key) not in (None, "")}
    own = {"_producer": PRODUCER, "_schemaURL": f"{SCHEMA}#/$defs/DatasetFacet"}
    facets["bailiwick_decision"] = {**own, "action": entry.action, "subject": entry.resource, "by": entry.actor, **said}
    return _dataset(entry.workspace, f"models/{model}", facets)


def _told(
    workspace: str,
    run_id: str,
    job: str,
    job_type: str,
    facets: Mapping[str, Any] | None = None,
    *,
    inputs: list[dict[str, Any]] | None = None,
    outputs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    kind = _facet("JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="BAILIWICK", jobType=job_type)
    return {
        "run": {"runId": _uuid(run_id), "facets": dict(facets or {})},
        "job": {"namespace": _namespace(workspace), "name": job, "facets": {"jobType": kind}},
        "inputs": inputs or [],
        "outputs": outputs or [],
    }


def _facet(name: str, version: str, /, **values: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{version}/{name}.json#/$defs/{name}", **values}


def _engine() -> dict[str, Any]:
    engine = _facet("ProcessingEngineRunFacet", "1-1-1", name="bailiwick", version=__version__)
    return {"processing_engine": engine}


def _parent(run: Run) -> dict[str, Any]:
    if not run.parent:
        return {}
    job = {"namespace": _namespace(run.workspace), "name": f"experiments/{run.experiment}"}
    return {"parent": _facet("ParentRunFacet", "1-2-0", run={"runId": _uuid(run.parent)}, job=job)}


def _measures(run: Run) -> dict[str, Any]:
    """A facet of our own: the latest finite metrics of a run that has ended."""
    finite = {key: value for key, value in sorted(run.metrics.items()) if math.isfinite(value)}
    if run.ended is None or not finite:
        return {}
    measured = dict(list(finite.items())[:MAX_METRICS])
    own = {"_producer": PRODUCER, "_schemaURL": f"{SCHEMA}#/$defs/RunFacet"}
    return {"bailiwick_metrics": {**own, "metrics": measured}}


def _failure(entry: Entry) -> dict[str, Any]:
    if entry.action != "pipeline_run.failed":
        return _engine()
    message = str(entry.detail.get("message") or "failed")
    return {
        **_engine(),
        "errorMessage": _facet("ErrorMessageRunFacet", "1-0-1", message=message, programmingLanguage="PYTHON"),
    }


def _dataset(workspace: str, name: str, facets: Mapping[str, Any]) -> dict[str, Any]:
    return {"namespace": _namespace(workspace), "name": name, "facets": dict(facets)}


def _namespace(workspace: str) -> str:
    return f"bailiwick/{workspace}"


def _uuid(run_id: str) -> str:
    """OpenLineage's runs are UUIDs, as ours are; any other text becomes one that stays the same."""
    try:
        return str(UUID(hex=run_id))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, f"urn:bailiwick:run:{run_id}"))


def _event_name(kind: str) -> str:
    return f"run.{kind.lower()}"


def _body(event: Mapping[str, Any]) -> str:
    return json.dumps({**event, "schemaURL": f"{SCHEMA}#/$defs/RunEvent"})
