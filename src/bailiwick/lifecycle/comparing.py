"""Story: two versions of a model compared, with what their runs and snapshots add to what the registry knows."""

from __future__ import annotations

from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.comparison import VersionComparison, VersionFacts, compare
from bailiwick.registry.model import ModelVersion

MAX_SOURCE = 500


def compare_versions(platform: Platform, workspace: str, model: str, left: int, right: int) -> VersionComparison:
    """Set two versions side by side, deleted ones too. Raises NotFound."""
    versions = [platform.registry.version(workspace, model, number, deleted=True) for number in (left, right)]
    before, after = (facts_of(platform, version) for version in versions)
    return compare(before, after)


def facts_of(platform: Platform, version: ModelVersion) -> VersionFacts:
    """What was registered with a version; what was not, as its run has it."""
    parameters, metrics = dict(version.parameters), dict(version.metrics)
    if version.run_id and not (parameters and metrics):
        try:
            run = platform.tracking.run(version.workspace, version.run_id)
        except NotFound:  # a run of another server, or one that was erased since
            return VersionFacts(version, parameters, metrics, _data(platform, version))
        parameters, metrics = parameters or dict(run.params), metrics or dict(run.metrics)
    return VersionFacts(version, parameters, metrics, _data(platform, version))


def _data(platform: Platform, version: ModelVersion) -> dict[str, Any]:
    """The snapshot that the version names, and whatever else its run read; what an MLflow client said of its data too."""
    facts = _snapshot(platform, version.workspace, version.snapshot) if version.snapshot else {}
    if not version.run_id:
        return facts
    try:
        run = platform.tracking.run(version.workspace, version.run_id)
    except NotFound:
        return facts
    for read in run.inputs:
        if read.snapshot != version.snapshot:
            found = _snapshot(platform, version.workspace, read.snapshot)
            facts |= {f"{read.role} / {name}": value for name, value in found.items()}
    links = platform.run_lineage.links(version.workspace, [version.run_id]).get(version.run_id)
    for each in links.datasets if links else ():
        told = {"digest": each.dataset.digest, "source": each.dataset.source[:MAX_SOURCE], "read for": each.context}
        facts |= {f"{each.dataset.name} / {name}": value for name, value in told.items() if value}
    return facts


def _snapshot(platform: Platform, workspace: str, snapshot_id: str) -> dict[str, Any]:
    try:
        snapshot = platform.data.snapshot(workspace, snapshot_id)
    except NotFound:
        return {}
    facts: dict[str, Any] = {
        "dataset": snapshot.dataset,
        "digest": snapshot.digest,
        "rows": snapshot.rows,
        "from": snapshot.time_from,
        "to": snapshot.time_to,
    }
    columns = {f"column {name}": kind for name, kind in snapshot.columns}
    return {name: value for name, value in facts.items() if value is not None} | columns
