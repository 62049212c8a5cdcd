"""Packages of our own pipeline as MLflow models, in the artifact proxy: read-only, and made when they are asked for."""

from __future__ import annotations

import re
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from bailiwick.lifecycle.mlflow_package import PackagedFile, packaged_file, packaged_files
from bailiwick.server.mlflow.route import MlflowCall
from bailiwick.tracking.artifacts.paths import MADE

_FOLDER = re.compile(
    rf"(?:workspaces/[a-z0-9-]+/)?{re.escape(MADE)}/packages/([0-9a-f]{{64}})(?:/([A-Za-z0-9_./]+))?/?"
)


def package_uri(package: str) -> str:
    """Where clients find the folder of a package."""
    return f"mlflow-artifacts:/{MADE}/packages/{package}"


def package_in(path: str) -> tuple[str, str] | None:
    """The package and the file (empty for the folder) that a path of the proxy names; None for any other path."""
    found = _FOLDER.fullmatch(path)
    return (found[1], found[2] or "") if found else None


def list_package(call: MlflowCall[Any], package: str, folder: str) -> dict[str, Any]:
    """One level of a package's folder, by name; none for a file."""
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    found = {
        each.path.removeprefix(prefix): each.size_bytes
        for each in packaged_files(call.platform, call.workspace, package)
        if each.path.startswith(prefix)
    }
    files = [{"path": path, "is_dir": False, "file_size": size} for path, size in found.items() if "/" not in path]
    folders = sorted({path.partition("/")[0] for path in found if "/" in path})
    return {"files": [*({"path": path, "is_dir": True} for path in folders), *files] or None}


async def send_package(call: MlflowCall[Any], package: str, file: str) -> Response:
    """One file of a package's folder, as an attachment."""
    found: PackagedFile = await run_in_threadpool(packaged_file, call.platform, call.workspace, package, file)
    headers = {
        "Content-Length": str(found.size_bytes),
        "Content-Disposition": f'attachment; filename="{found.path.rpartition("/")[2]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(found.read(), headers=headers, media_type="application/octet-stream")
