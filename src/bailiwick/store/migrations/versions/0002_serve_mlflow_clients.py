"""Serve MLflow clients: searchable runs, logged models, artifacts, a registry of any source; webhooks, workspaces, statements."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXTS = ("tracking_run_params", "tracking_run_tags")
LATEST = "tracking_run_latest_metrics"
HEAD = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    _artifacts()
    _logged_models()
    _searchable_runs()
    _registry()
    _imports()
    _statements()
    _webhooks()
    _enter_workspaces()


def _artifacts() -> None:  # budget: generated, one statement a table
    """Artifacts by path."""
    op.create_table(
        "tracking_artifacts",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column(
            "folder",
            sa.String(length=1024).with_variant(sa.String(length=1024, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "name",
            sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "place", "folder", "name", name=op.f("pk_tracking_artifacts")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tracking_artifacts_digest", "tracking_artifacts", ["digest"], unique=False)


def _webhooks() -> None:  # budget: generated, one statement a table
    """Webhooks, their deliveries, and workspaces as records."""
    op.create_table(
        "outbox_cursors",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_outbox_cursors")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_entry", sa.String(length=32), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("catching_up_from", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_workspace_id", "webhooks", ["workspace", "id"], unique=False)
    op.create_table(
        "workspaces",
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("artifact_root", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("webhook_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=100), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("queued", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id_webhooks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint(
            "webhook_id", "position", "event", name=op.f("uq_webhook_deliveries_webhook_id_position_event")
        ),
    )
    op.create_index("ix_webhook_deliveries_finished", "webhook_deliveries", ["finished"], unique=False)
    op.create_index("ix_webhook_deliveries_newest", "webhook_deliveries", ["webhook_id", "id"], unique=False)
    op.create_index(
        "ix_webhook_deliveries_queue", "webhook_deliveries", ["webhook_id", "status", "position", "id"], unique=False
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["webhook_deliveries.id"], name=op.f("fk_webhook_attempts_delivery_id_webhook_deliveries")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempts")),
    )


def _enter_workspaces() -> None:
    """`default`, and every workspace that has rows anywhere: until now one was there as soon as it was named."""
    connection = op.get_bind()
    found = {"default"}
    tables = sa.inspect(connection).get_table_names()
    for name in tables:
        columns = {column["name"] for column in sa.inspect(connection).get_columns(name)}
        if "workspace" in columns:
            column: sa.ColumnClause[str] = sa.column("workspace")
            found.update(connection.execute(sa.select(column).select_from(sa.table(name)).distinct()).scalars())
    text, number = sa.Text(), sa.BigInteger()
    made = sa.table(
        "workspaces",
        sa.column("name", text),
        sa.column("description", text),
        sa.column("artifact_root", text),
        sa.column("created", number),
        sa.column("updated", number),
        sa.column("created_by", text),
    )
    now = time.time_ns() // 1_000_000
    fixed = {"description": "", "artifact_root": "", "created": now, "updated": now, "created_by": "system:migration"}
    op.bulk_insert(made, [{"name": name, **fixed} for name in sorted(found)])


def _logged_models() -> None:  # budget: generated, one statement a table
    """Logged models, datasets, and what runs read and made."""
    op.create_table(
        "tracking_datasets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("digest", sa.String(length=36), nullable=False),
        sa.Column("source_type", sa.String(length=250), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace", "experiment_id"],
            ["tracking_experiments.workspace", "tracking_experiments.id"],
            name=op.f("fk_tracking_datasets_workspace_experiment_id_tracking_experiments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_datasets")),
    )
    op.create_index("ix_tracking_datasets_digest", "tracking_datasets", ["workspace", "digest"], unique=False)
    op.create_index(
        "ix_tracking_datasets_experiment", "tracking_datasets", ["workspace", "experiment_id"], unique=False
    )
    op.create_index("ix_tracking_datasets_name", "tracking_datasets", ["workspace", "name"], unique=False)
    op.create_table(
        "tracking_logged_models",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("type", sa.String(length=500), nullable=False),
        sa.Column("source_run", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("lifecycle", sa.String(length=10), nullable=False),
        sa.Column("artifact_location", sa.String(length=4096), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "experiment_id"],
            ["tracking_experiments.workspace", "tracking_experiments.id"],
            name=op.f("fk_tracking_logged_models_workspace_experiment_id_tracking_experiments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_logged_models")),
    )
    op.create_index(
        "ix_tracking_logged_models_listing",
        "tracking_logged_models",
        ["workspace", "experiment_id", "lifecycle", sa.literal_column("created DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "ix_tracking_logged_models_name", "tracking_logged_models", ["workspace", "experiment_id", "name"], unique=False
    )
    op.create_index(
        "ix_tracking_logged_models_source_run", "tracking_logged_models", ["workspace", "source_run"], unique=False
    )
    op.create_table(
        "tracking_model_metrics",
        sa.Column("model_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("dataset_name", sa.String(length=500), nullable=False),
        sa.Column("dataset_digest", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["tracking_logged_models.id"],
            name=op.f("fk_tracking_model_metrics_model_id_tracking_logged_models"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_model_metrics_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "model_id",
            "key",
            "time",
            "step",
            "run_id",
            "dataset",
            "value",
            "is_nan",
            name=op.f("pk_tracking_model_metrics"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tracking_model_metrics_run", "tracking_model_metrics", ["run_id"], unique=False)
    op.create_table(
        "tracking_model_params",
        sa.Column("model_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["tracking_logged_models.id"],
            name=op.f("fk_tracking_model_params_model_id_tracking_logged_models"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", "key", name=op.f("pk_tracking_model_params")),
    )
    op.create_table(
        "tracking_model_tags",
        sa.Column("model_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["tracking_logged_models.id"],
            name=op.f("fk_tracking_model_tags_model_id_tracking_logged_models"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", "key", name=op.f("pk_tracking_model_tags")),
    )
    op.create_table(
        "tracking_run_datasets",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("context", sa.String(length=500), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["tracking_datasets.id"],
            name=op.f("fk_tracking_run_datasets_dataset_id_tracking_datasets"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_run_datasets_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "dataset_id", name=op.f("pk_tracking_run_datasets")),
    )
    op.create_index("ix_tracking_run_datasets_context", "tracking_run_datasets", ["workspace", "context"], unique=False)
    op.create_index("ix_tracking_run_datasets_dataset", "tracking_run_datasets", ["dataset_id"], unique=False)
    op.create_table(
        "tracking_run_models",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tracking_runs.id"],
            name=op.f("fk_tracking_run_models_run_id_tracking_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "direction", "model_id", name=op.f("pk_tracking_run_models")),
    )
    op.create_index("ix_tracking_run_models_model", "tracking_run_models", ["workspace", "model_id"], unique=False)


def _searchable_runs() -> None:
    """Runs searchable within experiments; rows that are there are told their experiment before the indexes are built."""
    op.add_column("tracking_runs", sa.Column("user_name", sa.String(250), server_default=sa.text("''"), nullable=False))
    op.add_column(
        "tracking_runs", sa.Column("artifact_uri", sa.String(2400), server_default=sa.text("''"), nullable=False)
    )
    ended = ["workspace", "experiment_id", "lifecycle", "ended"]
    op.create_index("ix_tracking_runs_ended", "tracking_runs", ended)
    for table in (LATEST, *TEXTS):
        op.add_column(table, sa.Column("experiment_id", sa.String(32), server_default=sa.text("''"), nullable=False))
        of_run = f"(SELECT experiment_id FROM tracking_runs WHERE tracking_runs.id = {table}.run_id)"
        op.execute(f"UPDATE {table} SET experiment_id = {of_run}")
    for table in TEXTS:
        op.add_column(table, sa.Column("head", HEAD, server_default=sa.text("''"), nullable=False))
        op.execute(f"UPDATE {table} SET head = substr(value, 1, 64)")
        op.create_index(f"ix_{table}_search", table, ["workspace", "experiment_id", "key", "head"])
    op.create_index(f"ix_{LATEST}_search", LATEST, ["workspace", "experiment_id", "key", "is_nan", "value"])


def _registry() -> None:  # budget: generated, one statement a table
    """Versions from any source, tags, stages and their history."""
    op.create_table(
        "registry_stage_changes",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("previous", sa.String(length=20), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.String(length=250), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_registry_stage_changes")),
    )
    op.create_index(
        "ix_registry_stage_changes_model", "registry_stage_changes", ["workspace", "model", "sequence"], unique=False
    )
    op.create_table(
        "registry_model_tags",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "model"],
            ["registry_models.workspace", "registry_models.name"],
            name=op.f("fk_registry_model_tags_workspace_model_registry_models"),
        ),
        sa.PrimaryKeyConstraint("workspace", "model", "key", name=op.f("pk_registry_model_tags")),
    )
    op.create_table(
        "registry_version_tags",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "model", "number"],
            ["registry_versions.workspace", "registry_versions.model", "registry_versions.number"],
            name=op.f("fk_registry_version_tags_version"),
        ),
        sa.PrimaryKeyConstraint("workspace", "model", "number", "key", name=op.f("pk_registry_version_tags")),
    )
    op.add_column("registry_models", sa.Column("deleted", sa.BigInteger(), nullable=True))
    op.create_index("ix_registry_models_updated", "registry_models", ["workspace", "updated", "name"], unique=False)
    op.add_column("registry_versions", sa.Column("source", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("registry_versions", sa.Column("storage", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("registry_versions", sa.Column("run_link", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column(
        "registry_versions", sa.Column("model_id", sa.String(length=64), server_default=sa.text("''"), nullable=False)
    )
    op.add_column(
        "registry_versions",
        sa.Column("status", sa.String(length=20), server_default=sa.text("'READY'"), nullable=False),
    )
    op.add_column(
        "registry_versions", sa.Column("status_message", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.add_column(
        "registry_versions", sa.Column("stage", sa.String(length=20), server_default=sa.text("'None'"), nullable=False)
    )
    op.add_column(
        "registry_versions", sa.Column("updated", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("registry_versions", sa.Column("purged", sa.BigInteger(), nullable=True))
    op.create_index("ix_registry_versions_package", "registry_versions", ["package"], unique=False)
    op.create_index("ix_registry_versions_reference", "registry_versions", ["reference_profile"], unique=False)
    op.create_index(
        "ix_registry_versions_stage", "registry_versions", ["workspace", "model", "stage", "number"], unique=False
    )
    op.create_index(
        "ix_registry_versions_updated", "registry_versions", ["workspace", "updated", "model", "number"], unique=False
    )
    op.execute("UPDATE registry_versions SET updated = created")


def _imports() -> None:
    """What was moved here from other servers."""
    op.create_table(
        "tracking_imports",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("id", sa.String(length=600), nullable=False),
        sa.Column("local", sa.String(length=600), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("location", sa.String(length=2400), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "source", "kind", "id", name=op.f("pk_tracking_imports")),
    )
    op.create_index("ix_tracking_imports_local", "tracking_imports", ["workspace", "kind", "local"], unique=False)


def _statements() -> None:  # budget: generated, one statement a table
    """What people state for model cards."""
    op.create_table(
        "governance_statements",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(length=250), nullable=False),
        sa.Column("identity", sa.String(length=250), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_governance_statements")),
    )
    op.create_index(
        "ix_governance_statements_subject",
        "governance_statements",
        ["workspace", "model", "number", "field", "sequence"],
        unique=False,
    )
