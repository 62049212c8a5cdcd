"""What this server can do, as MLflow's clients ask for it, and what it does not offer."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bailiwick.server.api.route import PUBLIC
from bailiwick.server.mlflow.route import Empty, MlflowCall, MlflowRoute

PROTOCOL_VERSION = "3.3.2"
"""Clients send spans over OTLP to servers from 3.4 on; tracing is not offered here, so they must not begin to."""

NOT_OFFERED = {
    "traces": "tracing",
    "unified-traces": "tracing",
    "get-online-trace-details": "tracing",
    "gateway": "the AI gateway",
    "gateway-proxy": "the AI gateway",
    "get-trace-artifact": "tracing",
    "scorers": "scorers",
    "scorer": "scorers",
    "genai": "evaluation by scorers",
    "demo": "demonstration data",
    "skills": "the skill registry",
    "mcp-servers": "the MCP server registry",
    "label-schemas": "label schemas",
    "review-queues": "review queues",
    "issues": "issues",
    "prompt-optimization": "prompt optimization",
    "datasets": "evaluation datasets",
    "jobs": "background jobs",
    "assistant": "the assistant",
}


def server_info(call: MlflowCall[Empty]) -> dict[str, Any]:
    """Capability flags; a client asks once a minute at most. Those of URLs say that they can be asked for, not that the
    store of an artifact can sign any.
    """
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": True,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": call.platform.artifacts.parted.offered,
        "multipart_downloads_enabled": call.platform.artifacts.signs,
        "artifact_serving_enabled": True,
        "presigned_upload_run_id_supported": True,
        "presigned_upload_model_id_supported": True,
        "model_artifact_presigned_downloads_supported": True,
        "artifacts_presigned_only": False,
        "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
        "tracking_auth": "",
    }


async def version(_call: MlflowCall[Empty], _request: Request) -> Response:
    """Plain text."""
    return PlainTextResponse(PROTOCOL_VERSION)


def not_offered(path: str) -> str:
    """Which generative-AI part of MLflow a path belongs to; empty for every other path."""
    if path.startswith("/v1/traces"):
        return "tracing"
    words = path.split("/")
    if words[1:2] == ["gateway"]:
        return "the AI gateway"
    if words[3:4] == ["jobs"]:
        return "background jobs"
    if words[3:] == ["mlflow", "runs", "create-promptlab-run"]:
        return "the prompt lab"
    if len(words) > 4 and words[3] == "mlflow" and (words[4] != "datasets" or words[2] == "3.0"):
        return NOT_OFFERED.get(words[4], "")
    return ""


ROUTES = (
    MlflowRoute("GET", "/mlflow/server-info", Empty, PUBLIC, server_info, version="3.0"),
    MlflowRoute("GET", "/version", Empty, PUBLIC, version, version="", raw=True),
)
