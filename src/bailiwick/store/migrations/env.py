"""Alembic's entry point: runs migrations on the connection that `store.migrate` has opened, inside its transaction."""

from __future__ import annotations

from alembic import context

from bailiwick.store.migrate import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    target_metadata=context.config.attributes.get("metadata"),
)
context.run_migrations()
