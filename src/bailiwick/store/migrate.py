"""Bringing a database to the current schema. Each step is one file in `migrations/versions`, never edited once released."""

from __future__ import annotations

import logging
from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from bailiwick.core.errors import Conflict
from bailiwick.store.database import Database

VERSION_TABLE = "schema_version"
_LOCK = 0x6261696C  # any number will do, as long as all versions of Bailiwick take the same


def newest_revision() -> str:
    """The revision that this code was written for: the highest number among the migration files."""
    versions = files("bailiwick.store.migrations").joinpath("versions")
    return max(entry.name.partition("_")[0] for entry in versions.iterdir() if entry.name[:4].isdecimal())


def migrate(database: Database) -> None:
    """Apply every missing migration, whole or not at all; safe when many processes start at once.

    A current database costs one query, and Alembic is not loaded. Raises Conflict for a database of a newer version.
    """
    if schema_of(database) == newest_revision():
        return
    with database.write_unchecked() as connection:
        if database.dialect == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        _upgrade(connection, _revision(connection))


def schema_of(database: Database) -> str | None:
    """The revision a database is at; None where nothing has been made yet."""
    with database.read() as connection:
        return _revision(connection)


def _upgrade(connection: Connection, current: str | None) -> None:
    newest = newest_revision()
    if current is not None and current > newest:
        raise Conflict(
            f"The database has schema {current}; this version knows schemas up to {newest}.",
            hint="Install the newer Bailiwick that wrote it, or restore a backup.",
        )
    if current != newest:
        logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # six lines on every first start
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(files("bailiwick.store.migrations")))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
