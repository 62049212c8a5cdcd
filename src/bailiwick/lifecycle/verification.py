"""Story: is a registered version still all there, and is it what was registered? Its package, its run, its data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bailiwick.core.errors import BailiwickError, CheckFailed
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.standing import rows_of
from bailiwick.registry.model import ModelVersion


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `problem` is empty where it is as it should be."""

    what: str
    problem: str

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


def verify_version(platform: Platform, workspace: str, model: str, number: int) -> list[Check]:
    """Hold a version's records against the stored bytes; never changes anything. Raises NotFound for an unknown version."""
    version = platform.registry.version(workspace, model, number)
    checks = []
    if version.package:
        checks.append(_checked("package", lambda: _package(platform, version)))
    if version.source and version.digest and version.storage:
        checks.append(_checked("files", lambda: platform.registry.check_content(version)))
    if version.run_id:
        checks.append(_checked("run", lambda: platform.tracking.run(workspace, version.run_id)))
    if version.snapshot:
        checks.append(_checked("snapshot", lambda: _snapshot(platform, version)))
    if version.reference_profile:
        checks.append(_checked("reference profile", lambda: platform.blobs.get(version.reference_profile)))
    if version.parity and version.parity.get("examples") != 0:  # where there was nothing to compare, nothing is wrong
        checks.append(_checked("parity", lambda: _parity(version)))
    return checks


def _checked(what: str, look: Callable[[], object]) -> Check:
    try:
        look()
    except BailiwickError as error:
        return Check(what, str(error))
    return Check(what, "")


def _package(platform: Platform, version: ModelVersion) -> None:
    if version.runtime == "python":
        _python_package(platform, version)
        return
    # Imported here: ONNX is slow to load, and most stories do without it.
    from bailiwick.lifecycle.scoring import load, signature_of
    from bailiwick.training.metadata import read_metadata

    if version.runtime != "onnx":
        if signature_of(platform, version.package) != version.signature:
            raise CheckFailed("The package's signature is not the one that was registered.")
        return

    data = platform.blobs.get(version.package)
    if version.digest == version.package and len(data) != version.size_bytes:
        raise CheckFailed(f"The package has {len(data)} bytes; {version.size_bytes} were registered.")
    if read_metadata(load(data)).signature != version.signature:
        raise CheckFailed("The package's signature is not the one that was registered.")


def _python_package(platform: Platform, version: ModelVersion) -> None:
    from bailiwick.pyfunc.archive import unpack

    with tempfile.TemporaryDirectory(prefix="bailiwick-verify-") as folder:
        package = Path(folder) / "package"
        with package.open("wb") as file:
            for data in platform.blobs.stream(version.package):
                file.write(data)
        if unpack(package, Path(folder) / "model").signature != version.signature:
            raise CheckFailed("The package's signature is not the one that was registered.")


def _snapshot(platform: Platform, version: ModelVersion) -> None:
    snapshot = platform.data.snapshot(version.workspace, version.snapshot)
    if snapshot.engine:
        with rows_of(platform, platform.projects.project(version.workspace, snapshot.dataset), snapshot):
            return  # they are what the digest says
    rows = platform.data.read(version.workspace, snapshot.id, columns=[snapshot.columns[0][0]]).num_rows
    if rows != snapshot.rows:
        raise CheckFailed(f"Snapshot {snapshot.id} has {rows} rows; it was kept with {snapshot.rows}.")


def _parity(version: ModelVersion) -> None:
    if version.parity.get("passed") is not True:
        raise CheckFailed("Training and serving were not shown to agree.")
