"""Keep snapshots in parts, with names and tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:  # budget: generated, one statement a table
    """Apply."""
    op.create_table(
        "dataset_snapshot_names",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("dataset", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("snapshot", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "dataset", "name", name=op.f("pk_dataset_snapshot_names")),
    )
    op.create_index("ix_dataset_snapshot_names_snapshot", "dataset_snapshot_names", ["snapshot"], unique=False)
    op.create_table(
        "dataset_snapshot_tags",
        sa.Column("snapshot", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("snapshot", "key", name=op.f("pk_dataset_snapshot_tags")),
    )
    op.add_column(
        "dataset_snapshots", sa.Column("statistics_rows", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("dataset_snapshots", sa.Column("parts", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column(
        "dataset_snapshots", sa.Column("origin", sa.String(length=64), server_default=sa.text("''"), nullable=False)
    )
    op.add_column("dataset_snapshots", sa.Column("deleted", sa.BigInteger(), nullable=True))
