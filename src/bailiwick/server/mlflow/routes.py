"""Every MLflow route, joined from the areas."""

from __future__ import annotations

from bailiwick.server.mlflow import server_info
from bailiwick.server.mlflow.route import MlflowRoute

ROUTES: tuple[MlflowRoute, ...] = (*server_info.ROUTES,)
