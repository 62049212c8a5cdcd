"""Bringing a database to the current schema; every step is a numbered file in `migrations/versions`, never edited once released."""

from __future__ import annotations

from importlib import import_module

from bailiwick.store.database import Database, metadata

DOMAINS = (
    "store.journal",
    "security",
    "data",
    "tracking",
    "registry",
    "governance",
    "endpoints",
    "pipelines",
    "rollout",
    "monitoring",
)


def migrate(database: Database) -> None:
    """Apply every missing migration."""
    for domain in DOMAINS:
        try:
            import_module(f"bailiwick.{domain}.tables")
        except ModuleNotFoundError as error:
            if "tables" not in str(error) and domain not in str(error):
                raise
    metadata.create_all(database.engine)
