"""Story: several runs compared, with the data they read and the packages they ran on beside what tracking knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform
from bailiwick.tracking.comparison import RunComparison, side_by_side
from bailiwick.tracking.lineage.model import RunLinks
from bailiwick.tracking.model import Run
from bailiwick.tracking.provenance.lock import LOCK_FILE, LOCK_TAG, packages_of

MAX_LOCK_BYTES = 1 << 20

log = logging.getLogger("bailiwick.comparing")


def compare_runs(platform: Platform, workspace: str, run_ids: Sequence[str]) -> RunComparison:
    """Runs side by side, in the order given. Raises RunNotFound, and LimitExceeded past 100 runs."""
    found = platform.tracking.compare_runs(workspace, run_ids)
    links = platform.run_lineage.links(workspace, [run.id for run in found.runs])
    locks: dict[str, dict[str, str]] = {}
    return replace(
        found,
        data=side_by_side(_data(run, links.get(run.id, RunLinks())) for run in found.runs),
        packages=side_by_side([_packages(platform, run, locks) for run in found.runs]),
    )


def _data(run: Run, links: RunLinks) -> dict[str, str]:
    """Digests of datasets, and ids of snapshots that no dataset stands for, by what they were read for."""
    found: dict[str, str] = {}
    for each in links.datasets:
        found[f"{each.context or 'input'} {each.dataset.name}"] = each.dataset.digest
    told = {each.dataset.snapshot for each in links.datasets}
    for read in run.inputs:
        if read.snapshot not in told:
            found[f"{read.role} snapshot"] = read.snapshot
    return found


def _packages(platform: Platform, run: Run, locks: dict[str, dict[str, str]]) -> dict[str, str]:
    """What the run's lock names; runs of one environment have one lock, which is read once."""
    digest = run.tags.get(LOCK_TAG, "")
    if digest and digest not in locks:
        locks[digest] = packages_of(_lock(platform, run))
    return locks.get(digest, {})


def _lock(platform: Platform, run: Run) -> str:
    artifacts = platform.artifacts
    try:
        reading = artifacts.open(run.workspace, artifacts.locate(run.workspace, run.artifact_uri, LOCK_FILE))
    except BailiwickError as error:  # deleted, or where only clients can read
        log.info("the packages of run %s are not known: %s", run.id, error)
        return ""
    try:
        size = min(reading.artifact.size_bytes, MAX_LOCK_BYTES)
        return b"".join(reading.chunks(0, size)).decode("utf-8", "replace")
    finally:
        reading.close()
