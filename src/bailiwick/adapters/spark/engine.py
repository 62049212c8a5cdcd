"""Spark as an engine: its SQL over a DataFrame, of which no row is collected."""

from __future__ import annotations

import uuid
from typing import Any

from bailiwick.adapters.spark.frames import read_frame
from bailiwick.adapters.spark.session import open_session, told_of
from bailiwick.data.engines.engine import Row
from bailiwick.data.engines.model import Column
from bailiwick.data.engines.spark_dialect import SparkDialect, spark_column


class SparkEngine:
    """One DataFrame under a name of its own in the session: files and table versions are settled when it is made."""

    dialect = SparkDialect()

    def __init__(self, frame: Any, name: str, *, owns_session: bool = False) -> None:
        self.name = name
        self.frame = frame
        self._session = frame.sparkSession
        self._owns_session = owns_session
        self._view = f"bailiwick_{uuid.uuid4().hex}"
        self.relation = self.dialect.quote(self._view)
        with told_of(name):  # where Spark Connect first looks whether the source is there
            frame.createOrReplaceTempView(self._view)

    @classmethod
    def of_source(cls, url: str, source: str) -> SparkEngine:
        """Over a table, a query, or files at a path or URL that Spark reads. Raises as `open_session`, and InvalidInput."""
        session, owned = open_session(url)
        return cls(read_frame(session, source), source, owns_session=owned)

    def over(self, relation: str, name: str) -> SparkEngine:
        """Another relation of the same session."""
        with told_of(name):
            return SparkEngine(self._session.sql(f"SELECT * FROM {relation}"), name)

    def columns(self) -> tuple[Column, ...]:
        """As Spark types them."""
        with told_of(self.name):
            fields = self.frame.schema.fields
        return tuple(spark_column(field.name, field.dataType.simpleString()) for field in fields)

    def ask(self, sql: str) -> list[Row]:
        """Raises InvalidInput, Unavailable."""
        with told_of(self.name):
            rows: list[Row] = self._session.sql(sql).collect()
        return rows

    def close(self) -> None:
        """Forget the name; stop the session if it was started for this."""
        if self._view:
            with told_of(self.name):
                self._session.catalog.dropTempView(self._view)
            self._view = ""
        if self._owns_session:
            self._owns_session = False
            self._session.stop()
