"""Snowflake as an engine, by `snowflake-connector-python`."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from bailiwick.adapters.warehouses.cursors import as_ours, rows_of
from bailiwick.core.errors import InvalidInput, MissingExtra
from bailiwick.data.engines.engine import ConnectedEngine, Row, engine_name
from bailiwick.data.engines.model import Column
from bailiwick.data.engines.snowflake_dialect import SnowflakeDialect, snowflake_column

_TYPES = {  # snowflake.connector.constants.FIELD_ID_TO_NAME, whose numbers are the wire's
    0: "FIXED", 1: "REAL", 2: "TEXT", 3: "DATE", 4: "TIMESTAMP", 5: "VARIANT", 6: "TIMESTAMP_LTZ", 7: "TIMESTAMP_TZ",
    8: "TIMESTAMP_NTZ", 9: "OBJECT", 10: "ARRAY", 11: "BINARY", 12: "TIME", 13: "BOOLEAN", 14: "GEOGRAPHY",
    15: "GEOMETRY", 16: "VECTOR", 17: "MAP", 18: "FILE", 19: "INTERVAL_YEAR_MONTH", 20: "INTERVAL_DAY_TIME",
}  # fmt: skip


class SnowflakeEngine(ConnectedEngine):
    """One session; every statement sees the table as it then is."""

    dialect = SnowflakeDialect()

    @classmethod
    def of_source(cls, url: str, source: str) -> SnowflakeEngine:
        """Over a table or a query. `snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=W`; other words of the query are
        the connector's own settings; the password is in `SNOWFLAKE_PASSWORD`.

        Raises MissingExtra, InvalidInput for a URL without account, Unavailable.
        """
        parts = urlsplit(url)
        if not parts.hostname:
            raise InvalidInput(
                f"Engine {engine_name(url)!r} names no account.", hint="Write snowflake://USER@ACCOUNT/DATABASE/SCHEMA."
            )
        try:
            from snowflake import connector
        except ImportError:
            raise MissingExtra.of("snowflake", "snowflake-connector-python") from None
        settings: dict[str, Any] = {"account": parts.netloc.rpartition("@")[2], **dict(parse_qsl(parts.query))}
        folders = [unquote(part) for part in parts.path.split("/") if part]
        settings |= dict(zip(("database", "schema"), folders, strict=False))
        if parts.username:
            settings["user"] = unquote(parts.username)
        if "SNOWFLAKE_PASSWORD" in os.environ:
            settings["password"] = os.environ["SNOWFLAKE_PASSWORD"]
        try:
            connection = connector.connect(**settings)
        except Exception as error:  # of the connector's own tree; others go on
            raise as_ours(error, name=source, engine="snowflake") from error
        return cls(connection, cls.dialect.relation(source), source)

    def columns(self) -> tuple[Column, ...]:
        """As Snowflake describes the result, without running the query."""
        with closing(self._connection.cursor()) as cursor:
            try:
                described = cursor.describe(f"SELECT * FROM {self.relation}")
            except Exception as error:  # of the connector's own tree; others go on
                raise as_ours(error, name=self.name, engine="snowflake") from error
        return tuple(
            snowflake_column(column.name, _TYPES.get(column.type_code, "TEXT"), scale=column.scale)
            for column in described
        )

    def ask(self, sql: str) -> list[Row]:
        """Raises InvalidInput, Unavailable."""
        return rows_of(self._connection, sql, name=self.name, engine="snowflake")
