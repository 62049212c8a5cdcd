"""Write fewer pages for each commit: indexes of what is there, tables that are their own index, a journal indexed in bulk.
And know which inference processes there are, how requests fared, and what of predictions is kept.

On SQLite a table's own key is dropped, or becomes the table, only by making the table anew. Its rows are copied in the
order of their key, some 150,000 a second; meanwhile the database takes twice the place of these four tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_EMPTY = sa.text("''")


def upgrade() -> None:
    """Apply."""
    if op.get_bind().dialect.name == "sqlite":
        for name, (made, key) in _TABLES.items():
            _remake(name, made, key)
        _index_runs()
        _index_texts()
    else:
        op.drop_constraint("uq_tracking_runs_workspace_key", "tracking_runs", type_="unique")
        op.drop_constraint("uq_journal_entries_id", "journal_entries", type_="unique")
        op.drop_constraint("uq_journal_entries_leaf_index", "journal_entries", type_="unique")
        for name in ("ended", "parent"):
            op.drop_index(f"ix_tracking_runs_{name}", "tracking_runs")
        for name in ("resource", "workspace_number"):
            op.drop_index(f"ix_journal_entries_{name}", "journal_entries")
    _index_what_runs_have()
    _index_journal()
    _watch_serving()
    _steer_endpoints()


def _remake(name: str, made: Callable[[str], None], key: str) -> None:
    """Foreign keys are not checked meanwhile (`store.migrate`), so rows that refer to these stay as they are."""
    connection = op.get_bind()
    columns = ", ".join(f'"{column["name"]}"' for column in sa.inspect(connection).get_columns(name))
    made(f"{name}_anew")
    op.execute(f"INSERT INTO {name}_anew ({columns}) SELECT {columns} FROM {name} ORDER BY {key}")
    op.drop_table(name)
    op.rename_table(f"{name}_anew", name)


def _runs(name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("workspace", sa.String(250), nullable=False),
        sa.Column("experiment_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(8_000), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("lifecycle", sa.String(10), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("deleted", sa.BigInteger, nullable=True),
        sa.Column("parent", sa.String(64), nullable=True),
        sa.Column("key", sa.String(250), nullable=True),
        sa.Column("user_name", sa.String(250), nullable=False, server_default=_EMPTY),
        sa.Column("artifact_uri", sa.String(2_400), nullable=False, server_default=_EMPTY),
        sa.Column("created_by", sa.String(250), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "experiment_id"],
            ["tracking_experiments.workspace", "tracking_experiments.id"],
            name=op.f("fk_tracking_runs_workspace_experiment_id_tracking_experiments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_runs")),
        sqlite_with_rowid=False,
    )


def _texts(name: str) -> None:
    of = name.removesuffix("_anew")
    op.create_table(
        name,
        sa.Column("workspace", sa.String(250), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("experiment_id", sa.String(32), nullable=False, server_default=_EMPTY),
        sa.Column("head", sa.String(64), nullable=False, server_default=_EMPTY),
        sa.ForeignKeyConstraint(
            ["run_id"], ["tracking_runs.id"], name=op.f(f"fk_{of}_run_id_tracking_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f(f"pk_{of}")),
        sqlite_with_rowid=False,
    )


def _entries(name: str) -> None:
    op.create_table(
        name,
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("workspace", sa.String(250), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("identity", sa.String(250), nullable=False),
        sa.Column("actor", sa.String(250), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("resource", sa.String(600), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_journal_entries")),
    )


_TABLES: Mapping[str, tuple[Callable[[str], None], str]] = {
    "tracking_runs": (_runs, "id"),
    "tracking_run_params": (_texts, "run_id, key"),
    "tracking_run_tags": (_texts, "run_id, key"),
    "journal_entries": (_entries, "number"),
}


def _index_runs() -> None:
    """The indexes of old that went with the table."""
    started: list[Any] = ["lifecycle", sa.literal_column("started DESC"), "id"]
    op.create_index("ix_tracking_runs_experiment", "tracking_runs", ["workspace", "experiment_id", *started])
    op.create_index("ix_tracking_runs_listing", "tracking_runs", ["workspace", *started])


def _index_texts() -> None:
    for name in ("tracking_run_params", "tracking_run_tags"):
        op.create_index(f"ix_{name}_search", name, ["workspace", "experiment_id", "key", "head"])


def _index_what_runs_have() -> None:
    for name, columns in (
        ("ended", ["workspace", "experiment_id", "lifecycle", "ended"]),
        ("parent", ["workspace", "parent", "lifecycle", "started", "id"]),
        ("key", ["workspace", "key"]),
    ):
        there = sa.text(f'"{name}" IS NOT NULL' if name == "key" else f"{name} IS NOT NULL")
        op.create_index(
            f"ix_tracking_runs_{name}",
            "tracking_runs",
            columns,
            unique=name == "key",
            sqlite_where=there,
            postgresql_where=there,
        )


def _index_journal() -> None:
    placed = sa.text("leaf_index IS NOT NULL")
    for name, columns in (
        ("leaf_index", ["leaf_index"]),
        ("id", ["id"]),
        ("workspace_number", ["workspace", "number"]),
        ("resource", ["workspace", "resource"]),
    ):
        op.create_index(
            f"ix_journal_entries_{name}",
            "journal_entries",
            columns,
            unique=name == "leaf_index",
            sqlite_where=placed,
        )


def _watch_serving() -> None:
    op.create_table(
        "serving_minutes",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        *(sa.Column(f"latency_{place}", sa.BigInteger(), nullable=False) for place in range(13)),
        sa.PrimaryKeyConstraint("workspace", "endpoint", "minute", name=op.f("pk_serving_minutes")),
    )
    op.create_table(
        "serving_objectives",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("endpoint", sa.String(length=250), nullable=False),
        sa.Column("objectives", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "endpoint", name=op.f("pk_serving_objectives")),
    )
    op.create_table(
        "serving_workers",
        sa.Column("workspace", sa.String(length=250), nullable=False),
        sa.Column("worker", sa.String(length=250), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "worker", name=op.f("pk_serving_workers")),
    )


def _steer_endpoints() -> None:
    for name in ("recording", "policy"):
        op.add_column("endpoints", sa.Column(name, sa.Text(), server_default="{}", nullable=False))
