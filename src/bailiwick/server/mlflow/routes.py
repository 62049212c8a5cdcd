"""Every MLflow route, joined from the areas."""

from __future__ import annotations

from bailiwick.server.mlflow import (
    aliases,
    artifacts,
    datasets,
    experiments,
    graphql,
    logged_models,
    metrics,
    model_artifacts,
    model_versions,
    multipart,
    registered_models,
    runs,
    server_info,
    webhooks,
    workspaces,
)
from bailiwick.server.mlflow.route import MlflowRoute

ROUTES: tuple[MlflowRoute, ...] = (
    *server_info.ROUTES,
    *experiments.ROUTES,
    *runs.ROUTES,
    *datasets.ROUTES,
    *metrics.ROUTES,
    *logged_models.ROUTES,
    *artifacts.ROUTES,
    *multipart.ROUTES,
    *model_artifacts.ROUTES,
    *registered_models.ROUTES,
    *model_versions.ROUTES,
    *aliases.ROUTES,
    *graphql.ROUTES,
    *webhooks.ROUTES,
    *workspaces.ROUTES,
)
