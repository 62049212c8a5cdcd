"""Know what versions are made of; send artifacts in parts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:  # budget: generated, one statement a table
    """Apply."""
    op.add_column("governance_policies", sa.Column("who", sa.Text(), server_default=sa.text("'[]'"), nullable=False))
    op.create_index(
        "ix_governance_requests_expires",
        "governance_requests",
        ["expires", "id"],
        unique=False,
        sqlite_where=sa.text("status IN ('PENDING', 'APPROVED')"),
        postgresql_where=sa.text("status IN ('PENDING', 'APPROVED')"),
    )
    op.add_column("registry_versions", sa.Column("content", sa.Text(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column(
        "registry_versions",
        sa.Column("content_state", sa.String(length=20), server_default=sa.text("'known'"), nullable=False),
    )
    op.create_index("ix_registry_versions_model_id", "registry_versions", ["workspace", "model_id"], unique=False)
    op.create_index(
        "ix_registry_versions_unread",
        "registry_versions",
        ["created", "workspace", "model", "number"],
        unique=False,
        sqlite_where=sa.text("content_state = 'pending'"),
        postgresql_where=sa.text("content_state = 'pending'"),
    )
    op.create_table(
        "tracking_artifact_uploads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("upload", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_artifact_uploads")),
    )
    op.create_index("ix_tracking_artifact_uploads_time", "tracking_artifact_uploads", ["place", "time"], unique=False)
    # Whoever keeps the duties reads what those versions are made of; where it is out of reach, that is noted.
    op.execute(
        "UPDATE registry_versions SET content_state = 'pending' WHERE source <> '' AND package = '' AND purged IS NULL"
    )
