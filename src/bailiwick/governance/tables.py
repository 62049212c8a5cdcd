"""Policy, request, decision and statement rows.

Two unique indices are rules: one pending request a question, one vote an identity. Statements are only ever added.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from bailiwick.store.database import metadata

policies = Table(
    "governance_policies",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("target", String(256), nullable=False),
    Column("approvers", Integer, nullable=False),
    Column("not_author", Boolean(create_constraint=False), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=True),
    Column("who", Text, nullable=False, server_default=text("'[]'")),
    Column("updated", BigInteger, nullable=False),
    Column("updated_by", String(250), nullable=False),
    PrimaryKeyConstraint("workspace", "model", "target"),
)

requests = Table(
    "governance_requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("number", Integer, nullable=False),
    Column("target", String(256), nullable=False),
    Column("author", String(250), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("needed", Integer, nullable=False),
    Column("not_author", Boolean(create_constraint=False), nullable=False),
    Column("requested_by", String(250), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=True),
    Index("ix_governance_requests_question", "workspace", "model", "number", "target"),
    Index("ix_governance_requests_status", "workspace", "status", "id"),
)
_PENDING = requests.c.status == "PENDING"
Index(
    "uq_governance_requests_pending",
    requests.c.workspace,
    requests.c.model,
    requests.c.number,
    requests.c.target,
    unique=True,
    sqlite_where=_PENDING,
    postgresql_where=_PENDING,
)

_OPEN = requests.c.status.in_(("PENDING", "APPROVED"))
Index(
    "ix_governance_requests_expires",
    requests.c.expires,
    requests.c.id,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)

decisions = Table(
    "governance_decisions",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("request_id", String(32), ForeignKey("governance_requests.id", ondelete="CASCADE"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("identity", String(250), nullable=False),
    Column("actor", String(250), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("comment", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    PrimaryKeyConstraint("request_id", "identity"),
)

statements = Table(
    "governance_statements",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("number", Integer, nullable=False),  # 0: said of the model
    Column("field", String(64), nullable=False),
    Column("text", Text, nullable=False),  # "": what was said before is taken back
    Column("origin", String(250), nullable=False),
    Column("identity", String(250), nullable=False),
    Column("actor", String(250), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("entry", String(32), nullable=False),
    Index("ix_governance_statements_subject", "workspace", "model", "number", "field", "sequence"),
)
