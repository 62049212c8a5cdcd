"""Story: two versions of a model compared, with what their runs and snapshots add to what the registry knows."""

from __future__ import annotations

from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.comparison import VersionComparison, VersionFacts, compare
from bailiwick.registry.model import ModelVersion


def compare_versions(platform: Platform, workspace: str, model: str, left: int, right: int) -> VersionComparison:
    """Set two versions side by side, deleted ones too. Raises NotFound."""
    versions = [platform.registry.version(workspace, model, number, deleted=True) for number in (left, right)]
    before, after = (_facts(platform, version) for version in versions)
    return compare(before, after)


def _facts(platform: Platform, version: ModelVersion) -> VersionFacts:
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
    if not version.snapshot:
        return {}
    try:
        snapshot = platform.data.snapshot(version.workspace, version.snapshot)
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
