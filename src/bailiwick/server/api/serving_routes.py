"""The routes of serving: what workers report, and what is promised of endpoints."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.server.api import serving
from bailiwick.server.api.route import Route

READ = Permission.READ
V1 = "/api/v1"

SERVING_ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        f"{V1}/endpoints/{{endpoint}}/objectives",
        READ,
        serving.promises,
        "What is promised of an endpoint, and how it is kept.",
        serving.Promises,
    ),
    Route(
        "PUT",
        f"{V1}/endpoints/{{endpoint}}/objectives",
        Permission.MONITORS_WRITE,
        serving.promise,
        "Promise something of an endpoint.",
        serving.Promises,
        body=serving.SetObjectives,
    ),
    Route("GET", f"{V1}/serving/workers", READ, serving.workers, "Inference processes.", serving.Workers),
    Route(
        "POST",
        f"{V1}/serving/reports",
        Permission.PREDICTIONS_WRITE,
        serving.report,
        "How an inference process is doing.",
        body=serving.Report,
        status=204,
    ),
)
