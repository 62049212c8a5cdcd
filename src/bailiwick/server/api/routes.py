"""Every route of the native API, in one table. A row without a permission keeps the server from starting."""

from __future__ import annotations

from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.endpoints.model import Endpoint, RouteTable
from bailiwick.governance.cards.model import ModelCard
from bailiwick.governance.model import ApprovalRequest, Policy
from bailiwick.governance.statements import Statement
from bailiwick.monitoring.model import Alarm, MonitorSummary
from bailiwick.registry.comparison import VersionComparison
from bailiwick.registry.model import AliasChange, Model, ModelVersion
from bailiwick.rollout.model import Rollout
from bailiwick.server.api import (
    approvals,
    cards,
    endpoints,
    health,
    journal,
    models,
    monitors,
    pipelines,
    policies,
    rollouts,
    spools,
    versions,
)
from bailiwick.server.api.installation_routes import INSTALLATION_ROUTES
from bailiwick.server.api.model_routes import MODEL_ROUTES
from bailiwick.server.api.prediction_routes import PREDICTION_ROUTES
from bailiwick.server.api.route import PUBLIC, Nothing, Route
from bailiwick.server.api.serving_routes import SERVING_ROUTES
from bailiwick.server.api.snapshot_routes import SNAPSHOT_ROUTES
from bailiwick.server.api.tracking_routes import TRACKING_ROUTES

READ = Permission.READ
DEPLOY = Permission.ENDPOINTS_DEPLOY
APPROVE = Permission.MODELS_APPROVE
WRITE = Permission.MODELS_WRITE
AUDIT = Permission.JOURNAL_READ
RUN = Permission.PIPELINES_RUN
V1 = "/api/v1"
_VERSION = f"{V1}/models/{{model}}/versions/{{number}}"

_OF_VERSIONS: tuple[Route, ...] = (
    Route(
        "GET",
        f"{V1}/models/{{model}}/pointing",
        READ,
        versions.pointing,
        "What an alias or a stage meant at a time.",
        versions.Pointings,
        query=versions.PointingQuery,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/stages",
        READ,
        versions.stage_history,
        "Every change of stage of a model's versions.",
        versions.StageHistory,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/compare",
        READ,
        versions.compared_versions,
        "Two versions side by side.",
        VersionComparison,
        query=versions.CompareQuery,
    ),
    Route(
        "PUT",
        f"{_VERSION}/stage",
        WRITE,
        versions.set_stage,
        "Put a version at a stage.",
        ModelVersion,
        body=versions.SetStage,
    ),
    Route(
        "POST",
        f"{V1}/models/{{model}}/aliases/{{alias}}/roll-back",
        WRITE,
        versions.roll_back_alias,
        "Point an alias at the version before.",
        AliasChange,
        body=versions.Because,
    ),
    Route(
        "POST",
        f"{V1}/models/{{model}}/stages/{{stage}}/roll-back",
        WRITE,
        versions.roll_back_stage,
        "Have the version before at a stage again.",
        ModelVersion,
        body=versions.Because,
    ),
    Route(
        "POST",
        f"{_VERSION}/package",
        WRITE,
        versions.package_version,
        "Make a version that MLflow logged ready to serve.",
        ModelVersion,
        body=versions.PackageVersion,
    ),
    Route(
        "POST",
        f"{_VERSION}/delete",
        WRITE,
        versions.delete_version,
        "Hide a version.",
        ModelVersion,
        body=versions.Because,
    ),
    Route(
        "POST", f"{_VERSION}/restore", WRITE, versions.restore_version, "Show a deleted version again.", ModelVersion
    ),
    Route(
        "POST",
        f"{_VERSION}/purge",
        APPROVE,
        versions.purge_version,
        "Destroy a deleted version's content.",
        ModelVersion,
        body=versions.Because,
    ),
    Route(
        "POST",
        f"{V1}/approvals",
        WRITE,
        versions.ask_approval,
        "Request an approval.",
        ApprovalRequest,
        body=versions.AskApproval,
    ),
)

_POLICY = f"{V1}/policies/{{model}}/{{target}}"
_OF_POLICIES: tuple[Route, ...] = (
    Route("GET", f"{V1}/policies", READ, policies.policies, "What promotions need.", policies.Policies),
    Route("PUT", _POLICY, APPROVE, policies.set_policy, "Set a policy.", Policy, body=policies.SetPolicy),
    Route("DELETE", _POLICY, APPROVE, policies.remove_policy, "Remove a policy.", policies.Policies),
)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", PUBLIC, health.health, "Is the process alive?", health.Health),
    Route("GET", "/ready", PUBLIC, health.ready, "Does everything it needs answer?", health.Health),
    Route("GET", "/metrics", READ, health.metrics, "Prometheus metrics of this process and workspace."),
    Route("GET", f"{V1}/openapi.json", PUBLIC, health.openapi_document, "This document.", dict[str, Any]),
    Route("GET", f"{V1}/duties", READ, health.duties, "When work processes last finished a pass.", health.Duties),
    # What the data plane follows
    Route(
        "GET",
        f"{V1}/routes",
        READ,
        endpoints.routes,
        "The route table; 204 while it is the one known.",
        RouteTable,
        query=endpoints.RoutesQuery,
    ),
    Route("GET", f"{V1}/blobs/{{digest}}", READ, endpoints.blob, "The bytes of a blob."),
    Route(
        "PUT",
        f"{V1}/spools/{{stream}}/{{segment}}",
        Permission.PREDICTIONS_WRITE,
        spools.take_spool,
        "Predictions recorded on another machine.",
        spools.Held,
        body=spools.SpoolPart,
    ),
    Route(
        "DELETE",
        f"{V1}/spools/{{stream}}",
        Permission.PREDICTIONS_WRITE,
        spools.finish_spool,
        "A worker on another machine has ended.",
        Nothing,
    ),
    # Records
    *SERVING_ROUTES,
    *SNAPSHOT_ROUTES,
    *PREDICTION_ROUTES,
    *TRACKING_ROUTES,
    Route("GET", f"{V1}/models", READ, models.models, "Models.", models.Models),
    Route("GET", f"{V1}/models/{{model}}", READ, models.model, "One model.", Model),
    Route("GET", f"{V1}/models/{{model}}/versions", READ, models.versions, "Versions of a model.", models.Versions),
    Route("GET", f"{V1}/models/{{model}}/versions/{{number}}", READ, models.version, "One version.", ModelVersion),
    Route(
        "GET",
        f"{V1}/models/{{model}}/versions/{{number}}/card",
        READ,
        cards.card,
        "The model card of a version: JSON, HTML, Markdown, CycloneDX or text.",
        ModelCard,
        query=cards.CardQuery,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/statements",
        READ,
        cards.statements,
        "What people state of a model or a version.",
        cards.Statements,
        query=cards.SubjectQuery,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/statements/history",
        READ,
        cards.statement_history,
        "Everything that was stated, and by whom.",
        cards.StatementHistory,
        query=cards.HistoryQuery,
    ),
    Route(
        "PUT",
        f"{V1}/models/{{model}}/statements/{{field}}",
        Permission.MODELS_WRITE,
        cards.state,
        "State something for the model card.",
        Statement,
        body=cards.State,
    ),
    Route(
        "DELETE",
        f"{V1}/models/{{model}}/statements/{{field}}",
        Permission.MODELS_WRITE,
        cards.withdraw,
        "Take back what was stated.",
        Statement,
        query=cards.SubjectQuery,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/versions/{{number}}/lineage",
        READ,
        models.version_lineage,
        "Where a version came from, and what came of it.",
        models.LineageGraph,
    ),
    Route(
        "GET",
        f"{V1}/lineage",
        READ,
        models.lineage,
        "Where any record came from, and what came of it.",
        models.LineageGraph,
        query=models.LineageQuery,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/aliases",
        READ,
        models.alias_history,
        "Every change of a model's aliases.",
        models.AliasHistory,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/aliases/{{alias}}",
        READ,
        models.alias,
        "The version an alias points to.",
        ModelVersion,
    ),
    Route(
        "PUT",
        f"{V1}/models/{{model}}/aliases/{{alias}}",
        Permission.MODELS_WRITE,
        models.set_alias,
        "Point an alias at a version.",
        AliasChange,
        body=models.SetAlias,
    ),
    Route(
        "GET",
        f"{V1}/approvals",
        READ,
        approvals.approvals,
        "Approval requests.",
        approvals.Approvals,
        query=approvals.ApprovalsQuery,
    ),
    Route("GET", f"{V1}/approvals/{{request}}", READ, approvals.approval, "One approval request.", ApprovalRequest),
    Route(
        "POST",
        f"{V1}/approvals/{{request}}/approve",
        APPROVE,
        approvals.approve,
        "Approve a request.",
        ApprovalRequest,
        body=approvals.Approve,
    ),
    Route(
        "POST",
        f"{V1}/approvals/{{request}}/reject",
        APPROVE,
        approvals.reject,
        "Reject a request.",
        ApprovalRequest,
        body=approvals.Reject,
    ),
    *_OF_VERSIONS,
    *_OF_POLICIES,
    *MODEL_ROUTES,
    # Live
    Route("GET", f"{V1}/endpoints", READ, endpoints.endpoints, "Endpoints.", endpoints.Endpoints),
    Route("GET", f"{V1}/endpoints/{{endpoint}}", READ, endpoints.endpoint, "One endpoint.", Endpoint),
    Route(
        "GET",
        f"{V1}/endpoints/{{endpoint}}/history",
        READ,
        endpoints.endpoint_history,
        "How its traffic was split over time.",
        endpoints.RouteHistory,
    ),
    Route(
        "POST",
        f"{V1}/endpoints/{{endpoint}}/roll-back",
        DEPLOY,
        endpoints.roll_back_endpoint,
        "Have the version before serve again.",
        Endpoint,
        body=endpoints.RollBack,
    ),
    Route(
        "GET",
        f"{V1}/endpoints/{{endpoint}}/shadows",
        READ,
        endpoints.endpoint_shadows,
        "Shadows of an endpoint beside its answers.",
        endpoints.Shadows,
        query=endpoints.ShadowsQuery,
    ),
    Route(
        "PUT",
        f"{V1}/endpoints/{{endpoint}}/policy",
        DEPLOY,
        endpoints.set_endpoint_policy,
        "Set what else than the split decides about requests.",
        Endpoint,
        body=endpoints.SetPolicy,
    ),
    Route(
        "GET",
        f"{V1}/endpoints/{{endpoint}}/monitor",
        READ,
        monitors.monitor,
        "The monitor of an endpoint.",
        MonitorSummary,
    ),
    Route(
        "GET",
        f"{V1}/endpoints/{{endpoint}}/windows",
        READ,
        monitors.windows,
        "Windows of an endpoint.",
        monitors.Windows,
    ),
    Route("GET", f"{V1}/alarms", READ, monitors.alarms, "Alarms.", monitors.Alarms, query=monitors.AlarmsQuery),
    Route(
        "POST",
        f"{V1}/alarms/{{alarm}}/acknowledge",
        Permission.MONITORS_WRITE,
        monitors.acknowledge_alarm,
        "Acknowledge an alarm.",
        Alarm,
        body=monitors.Acknowledge,
    ),
    Route(
        "GET", f"{V1}/rollouts", READ, rollouts.rollouts, "Rollouts.", rollouts.Rollouts, query=rollouts.RolloutsQuery
    ),
    Route("GET", f"{V1}/rollouts/{{rollout}}", READ, rollouts.rollout, "One rollout.", Rollout),
    Route(
        "POST",
        f"{V1}/rollouts",
        DEPLOY,
        rollouts.start_rollout,
        "Begin a canary.",
        Rollout,
        body=rollouts.StartRollout,
        status=201,
    ),
    Route(
        "POST",
        f"{V1}/rollouts/{{rollout}}/abort",
        DEPLOY,
        rollouts.abort_rollout,
        "End a running rollout.",
        Rollout,
        body=rollouts.AbortRollout,
    ),
    # Work
    Route(
        "GET",
        f"{V1}/pipeline-runs",
        READ,
        pipelines.pipeline_runs,
        "Pipeline runs.",
        pipelines.PipelineRuns,
        query=pipelines.PipelineRunsQuery,
    ),
    Route(
        "GET",
        f"{V1}/pipeline-runs/{{run}}",
        READ,
        pipelines.pipeline_run,
        "One pipeline run.",
        pipelines.PipelineRunView,
    ),
    Route(
        "POST",
        f"{V1}/pipeline-runs",
        RUN,
        pipelines.submit_pipeline_run,
        "Queue a training run of a project.",
        pipelines.PipelineRunView,
        body=pipelines.SubmitRun,
        status=201,
    ),
    Route(
        "POST",
        f"{V1}/pipeline-runs/{{run}}/cancel",
        RUN,
        pipelines.cancel_pipeline_run,
        "Stop a run.",
        pipelines.PipelineRunView,
    ),
    Route(
        "POST",
        f"{V1}/pipeline-runs/{{run}}/resume",
        RUN,
        pipelines.resume_pipeline_run,
        "Let a stopped run go on.",
        pipelines.PipelineRunView,
    ),
    # The record of everything
    Route(
        "GET",
        f"{V1}/journal/entries",
        AUDIT,
        journal.entries,
        "Journal entries.",
        journal.Entries,
        query=journal.EntriesQuery,
    ),
    Route("GET", f"{V1}/journal/entries/{{entry}}", AUDIT, journal.entry, "One journal entry.", journal.EntryView),
    Route(
        "GET",
        f"{V1}/journal/checkpoint",
        AUDIT,
        journal.checkpoint,
        "The newest signed checkpoint.",
        journal.CheckpointView,
    ),
    # Who else is told, and who shares this installation
    *INSTALLATION_ROUTES,
)
