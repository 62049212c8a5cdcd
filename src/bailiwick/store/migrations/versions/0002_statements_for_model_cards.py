"""Statements for model cards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:  # budget: generated, one statement a table
    """Apply."""
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
