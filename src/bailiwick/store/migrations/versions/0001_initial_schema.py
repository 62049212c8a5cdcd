"""Initial schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:  # budget: generated, one statement a table  # noqa: PLR0915
    """Apply."""
    op.create_table(
        "alarms",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("model", sa.String(length=250), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("window", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("raised", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(length=250), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
    )
    op.create_index(
        op.f("ix_alarms_workspace_endpoint_status"), "alarms", ["workspace", "endpoint", "status"], unique=False
    )
    op.create_table(
        "dataset_snapshots",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("dataset", sa.String(length=250), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("table", sa.String(length=600), nullable=False),
        sa.Column("table_version", sa.BigInteger(), nullable=False),
        sa.Column("time_from", sa.BigInteger(), nullable=True),
        sa.Column("time_to", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("statistics", sa.String(length=64), nullable=False),
        sa.Column("schema", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_snapshots")),
        sa.UniqueConstraint(
            "workspace", "dataset", "digest", name=op.f("uq_dataset_snapshots_workspace_dataset_digest")
        ),
    )
    op.create_index(
        "ix_dataset_snapshots_workspace_created", "dataset_snapshots", ["workspace", "created"], unique=False
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("pass_started", sa.BigInteger(), nullable=False),
        sa.Column("pass_finished", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    op.create_table(
        "endpoint_changes",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("variants", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "endpoint", "epoch", name=op.f("pk_endpoint_changes")),
    )
    op.create_table(
        "endpoints",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("variants", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("time", sa.String(length=250), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_endpoints")),
    )
    op.create_table(
        "governance_policies",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("target", sa.String(length=256), nullable=False),
        sa.Column("approvers", sa.Integer(), nullable=False),
        sa.Column("not_author", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "model", "target", name=op.f("pk_governance_policies")),
    )
    op.create_table(
        "governance_requests",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(length=256), nullable=False),
        sa.Column("author", sa.String(length=250), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("not_author", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.String(length=250), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_governance_requests")),
    )
    op.create_index(
        "ix_governance_requests_question",
        "governance_requests",
        ["workspace", "model", "number", "target"],
        unique=False,
    )
    op.create_index("ix_governance_requests_status", "governance_requests", ["workspace", "status", "id"], unique=False)
    op.create_index(
        "uq_governance_requests_pending",
        "governance_requests",
        ["workspace", "model", "number", "target"],
        unique=True,
        sqlite_where=sa.text("status = 'PENDING'"),
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "identities",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("workspace", "name", name=op.f("uq_identities_workspace_name")),
    )
    op.create_table(
        "journal_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_journal_checkpoints")),
    )
    op.create_table(
        "journal_entries",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.String(length=250), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("resource", sa.String(length=600), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_journal_entries")),
        sa.UniqueConstraint("id", name=op.f("uq_journal_entries_id")),
        sa.UniqueConstraint("leaf_index", name=op.f("uq_journal_entries_leaf_index")),
    )
    op.create_index("ix_journal_entries_resource", "journal_entries", ["workspace", "resource"], unique=False)
    op.create_index("ix_journal_entries_workspace_number", "journal_entries", ["workspace", "number"], unique=False)
    op.create_table(
        "monitor_references",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=250), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("expected_loss", sa.Float(), nullable=True),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "endpoint", "model", "version", name=op.f("pk_monitor_references")),
    )
    op.create_table(
        "monitor_windows",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(length=250), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("predictions", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", sa.BigInteger(), nullable=False),
        sa.Column("drift", sa.Text(), nullable=False),
        sa.Column("prediction_drift", sa.Text(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=False),
        sa.Column("performance", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("spent", sa.Text(), nullable=False),
        sa.Column("evaluated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_windows")),
        sa.UniqueConstraint("workspace", "endpoint", "start", name=op.f("uq_monitor_windows_workspace_endpoint_start")),
    )
    op.create_table(
        "monitors",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("next_start", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "endpoint", name=op.f("pk_monitors")),
    )
    op.create_table(
        "pipeline_runs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("pipeline", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("trigger", sa.String(length=320), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.String(length=250), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pipeline_runs")),
        sa.UniqueConstraint("workspace", "pipeline", "key", name=op.f("uq_pipeline_runs_workspace_pipeline_key")),
    )
    op.create_index("ix_pipeline_runs_workspace_status", "pipeline_runs", ["workspace", "status"], unique=False)
    op.create_table(
        "pipeline_schedules",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("cron", sa.String(length=200), nullable=False),
        sa.Column("pipeline", sa.String(length=100), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_fire", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_pipeline_schedules")),
    )
    op.create_index(
        "ix_pipeline_schedules_workspace_next_fire", "pipeline_schedules", ["workspace", "next_fire"], unique=False
    )
    op.create_table(
        "projects",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_projects")),
    )
    op.create_table(
        "registry_alias_changes",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("alias", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.String(length=250), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_registry_alias_changes")),
    )
    op.create_index(
        "ix_registry_alias_changes_model",
        "registry_alias_changes",
        ["workspace", "model", "alias", "sequence"],
        unique=False,
    )
    op.create_table(
        "registry_models",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("newest", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_registry_models")),
    )
    op.create_table(
        "rollout_decisions",
        sa.Column("rollout", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", "revision", name=op.f("pk_rollout_decisions")),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("active", sa.String(length=250), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("closing", sa.String(length=20), nullable=True),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("control", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("start_epoch", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
        sa.UniqueConstraint("workspace", "active", name=op.f("uq_rollouts_workspace_active")),
    )
    op.create_index(
        op.f("ix_rollouts_workspace_endpoint_started"), "rollouts", ["workspace", "endpoint", "started"], unique=False
    )
    op.create_table(
        "route_revisions",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", name=op.f("pk_route_revisions")),
    )
    op.create_table(
        "tracking_experiment_tags",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "experiment_id", "key", name=op.f("pk_tracking_experiment_tags")),
    )
    op.create_table(
        "tracking_experiments",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("lifecycle", sa.String(length=10), nullable=False),
        sa.Column("artifact_location", sa.String(length=2048), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tracking_experiments")),
        sa.UniqueConstraint("workspace", "id", name=op.f("uq_tracking_experiments_workspace_id")),
        sa.UniqueConstraint("workspace", "name", name=op.f("uq_tracking_experiments_workspace_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "governance_decisions",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(length=250), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["governance_requests.id"],
            name=op.f("fk_governance_decisions_request_id_governance_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "identity", name=op.f("pk_governance_decisions")),
    )
    op.create_table(
        "identity_tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("identity_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.id"], name=op.f("fk_identity_tokens_identity_id_identities")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_identity_tokens_digest")),
    )
    op.create_index("ix_identity_tokens_workspace_created", "identity_tokens", ["workspace", "created"], unique=False)
    op.create_table(
        "pipeline_firings",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("trigger", sa.String(length=320), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["pipeline_runs.id"], name=op.f("fk_pipeline_firings_run_id_pipeline_runs")
        ),
        sa.PrimaryKeyConstraint("workspace", "trigger", "key", name=op.f("pk_pipeline_firings")),
    )
    op.create_table(
        "pipeline_steps",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires", sa.BigInteger(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("cache_key", sa.String(length=64), nullable=False),
        sa.Column("cached_from", sa.String(length=32), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.id"], name=op.f("fk_pipeline_steps_run_id_pipeline_runs")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_pipeline_steps")),
    )
    op.create_index("ix_pipeline_steps_workspace_cache_key", "pipeline_steps", ["workspace", "cache_key"], unique=False)
    op.create_index("ix_pipeline_steps_workspace_status", "pipeline_steps", ["workspace", "status"], unique=False)
    op.create_table(
        "registry_versions",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("package", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("slices", sa.Text(), nullable=False),
        sa.Column("parity", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("code_version", sa.String(length=250), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("reference_profile", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace", "model"],
            ["registry_models.workspace", "registry_models.name"],
            name=op.f("fk_registry_versions_workspace_model_registry_models"),
        ),
        sa.PrimaryKeyConstraint("workspace", "model", "number", name=op.f("pk_registry_versions")),
    )
    op.create_index("ix_registry_versions_digest", "registry_versions", ["workspace", "digest"], unique=False)
    op.create_index("ix_registry_versions_run", "registry_versions", ["workspace", "run_id", "model"], unique=False)
    op.create_index("ix_registry_versions_snapshot", "registry_versions", ["workspace", "snapshot"], unique=False)
    op.create_table(
        "tracking_runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=8000), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("lifecycle", sa.String(length=10), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("key", sa.String(length=250), nullable=True),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "experiment_id"],
            ["tracking_experiments.workspace", "tracking_experiments.id"],
            name=op.f("fk_tracking_runs_workspace_experiment_id_tracking_experiments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_runs")),
        sa.UniqueConstraint("workspace", "key", name=op.f("uq_tracking_runs_workspace_key")),
    )
    op.create_index(
        "ix_tracking_runs_experiment",
        "tracking_runs",
        ["workspace", "experiment_id", "lifecycle", sa.literal_column("started DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "ix_tracking_runs_listing",
        "tracking_runs",
        ["workspace", "lifecycle", sa.literal_column("started DESC"), "id"],
        unique=False,
    )
    op.create_index("ix_tracking_runs_parent", "tracking_runs", ["workspace", "parent"], unique=False)
    op.create_table(
        "registry_aliases",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("alias", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "model", "number"],
            ["registry_versions.workspace", "registry_versions.model", "registry_versions.number"],
            name=op.f("fk_registry_aliases_workspace_model_number_registry_versions"),
        ),
        sa.PrimaryKeyConstraint("workspace", "model", "alias", name=op.f("pk_registry_aliases")),
    )
    op.create_table(
        "tracking_run_inputs",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=250), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_run_inputs_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "snapshot", "role", name=op.f("pk_tracking_run_inputs")),
    )
    op.create_index("ix_tracking_run_inputs_snapshot", "tracking_run_inputs", ["workspace", "snapshot"], unique=False)
    op.create_table(
        "tracking_run_latest_metrics",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_run_latest_metrics_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_tracking_run_latest_metrics")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_run_metrics",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_run_metrics_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "key", "time", "step", "value", "is_nan", name=op.f("pk_tracking_run_metrics")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_run_params",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_run_params_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_tracking_run_params")),
    )
    op.create_table(
        "tracking_run_tags",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["tracking_runs.id"], name=op.f("fk_tracking_run_tags_run_id_tracking_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_tracking_run_tags")),
    )
