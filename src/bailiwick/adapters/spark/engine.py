"""Spark as an engine: its SQL over a DataFrame, of which no row is collected."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from bailiwick.adapters.spark.executors import Encoding, Packing
from bailiwick.adapters.spark.frames import read_frame
from bailiwick.adapters.spark.session import open_session, told_of
from bailiwick.adapters.spark.shipping import ship
from bailiwick.data.engines.engine import Row, no_rows
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

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Packed by executors, which need what features need; the driver holds the answer of one partition."""
        from pyspark.sql.pandas.types import to_arrow_schema

        with told_of(self.name):
            frame = self._session.sql(sql)
            schema = to_arrow_schema(frame.schema)
        yield no_rows(schema)
        for batch in self._unpacked(frame, Packing(), schema.names):
            yield from pa.Table.from_batches([batch]).cast(schema).to_batches()  # moments come in the session's zone

    def encode(
        self, sql: str, read: Sequence[str], graphs: Sequence[bytes], *, label: str, fold: str
    ) -> Iterator[pa.RecordBatch]:
        """By executors, whose Python needs onnxruntime too."""
        with told_of(self.name):
            frame = self._session.sql(sql)
        yield from self._unpacked(frame, Encoding(tuple(graphs), tuple(read), label, fold), ["label", "matrix"])

    def _unpacked(self, frame: Any, packing: Any, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with told_of(self.name):
            ship(self._session)
            places = frame.toDF(*[f"c{place}" for place in range(len(frame.columns))])
            packed = places.mapInArrow(packing, "packed binary").toLocalIterator()
        while True:
            with told_of(self.name):
                row = next(packed, None)
            if row is None:
                return
            for batch in pa.ipc.open_stream(pa.py_buffer(bytes(row[0]))):
                yield batch.rename_columns(list(names))

    def close(self) -> None:
        """Forget the name; stop the session if it was started for this."""
        if self._view:
            with told_of(self.name):
                self._session.catalog.dropTempView(self._view)
            self._view = ""
        if self._owns_session:
            self._owns_session = False
            self._session.stop()
