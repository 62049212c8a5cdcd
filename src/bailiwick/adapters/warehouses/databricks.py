"""A SQL warehouse or cluster of Databricks as an engine, by `databricks-sql-connector`."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from bailiwick.adapters.warehouses.cursors import as_ours, rows_of
from bailiwick.core.errors import InvalidInput, MissingExtra
from bailiwick.data.engines.engine import ConnectedEngine, Row, engine_name
from bailiwick.data.engines.model import Column
from bailiwick.data.engines.spark_dialect import DatabricksDialect, spark_column


class DatabricksEngine(ConnectedEngine):
    """One connection; every statement sees the table as it then is."""

    dialect = DatabricksDialect()

    @classmethod
    def of_source(cls, url: str, source: str) -> DatabricksEngine:
        """Over a table or a query. `databricks://HOST/sql/1.0/warehouses/ID`; the token is in `DATABRICKS_TOKEN`.

        Raises MissingExtra, InvalidInput for a URL without host or path, Unavailable.
        """
        parts = urlsplit(url)
        if not parts.hostname or len(parts.path) < 2:
            raise InvalidInput(
                f"Engine {engine_name(url)!r} names no warehouse.",
                hint="Write databricks://HOST/sql/1.0/warehouses/ID.",
            )
        try:
            from databricks import sql
        except ImportError:
            raise MissingExtra.of("databricks", "databricks-sql-connector") from None
        token = os.environ.get("DATABRICKS_TOKEN")
        try:
            connection = sql.connect(server_hostname=parts.hostname, http_path=parts.path, access_token=token)
        except Exception as error:  # of the connector's own tree; others go on
            raise as_ours(error, name=source, engine="databricks") from error
        return cls(connection, cls.dialect.relation(source), source)

    def columns(self) -> tuple[Column, ...]:
        """As DESCRIBE QUERY says."""
        found = self.ask(f"DESCRIBE QUERY SELECT * FROM {self.relation}")
        return tuple(spark_column(str(row[0]), str(row[1])) for row in found)

    def ask(self, sql: str) -> list[Row]:
        """Raises InvalidInput, Unavailable."""
        return rows_of(self._connection, sql, name=self.name, engine="databricks")
