"""DataFrames by the names that people give: a table, a SELECT, or files in a format; and written under such names."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from bailiwick.adapters.spark.session import told_of
from bailiwick.core.errors import AlreadyExists, InvalidInput
from bailiwick.data.engines.dialect import is_query
from bailiwick.data.engines.spark_dialect import SparkDialect

_FORMATS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".orc": "orc"}
_NAMED = {"parquet", "csv", "json", "orc", "delta", "iceberg", "avro", "text"}
_NO_LISTS = {"csv", "text"}
WRITING = ("new", "replace", "append")
"""What may become of what is there already: then nothing is written; it is replaced; rows are added to it."""


def read_frame(session: Any, source: str) -> Any:
    """The DataFrame of a SELECT, a path (its format by its ending, or before it as in `delta:/lake/trips`), or a table.

    A version of a Delta table stands behind it: `delta:/lake/trips@3`. Raises InvalidInput.
    """
    with told_of(source):
        if is_query(source):
            return session.sql(source.rstrip().rstrip(";"))
        form, path = _place(source)
        return _load(session, form, path) if form else session.table(path)


def write_frame(frame: Any, target: str, *, existing: str = "new") -> int:
    """Write under a name as `read_frame` reads it, by the executors, and tell how many rows there were. All or nothing for
    Delta; of other formats files may remain of a job that failed.

    Raises InvalidInput for a target that takes no lists, AlreadyExists where there is something and `existing` is `new`.
    """
    from pyspark.sql import Observation
    from pyspark.sql.functions import count, lit

    if existing not in WRITING:
        raise InvalidInput.choice("What becomes of what exists", existing, WRITING)
    if is_query(target):
        raise InvalidInput(
            f"Target {target!r} is a query.", hint="Name a table, or a path such as delta:/lake/features."
        )
    form, path = _place(target)
    if form in _NO_LISTS:
        raise InvalidInput(f"Features are lists, which {form} cannot hold.", hint="Write parquet:PATH or delta:PATH.")
    seen = Observation("written")
    mode = {"new": "error", "replace": "overwrite", "append": "append"}[existing]
    with told_of(target):
        try:
            writer = frame.observe(seen, count(lit(1)).alias("rows")).write.mode(mode)
            if form == "delta" and existing == "replace":
                writer = writer.option("overwriteSchema", "true")
            if form:
                writer.format(form).save(path)
            else:
                writer.saveAsTable(path)
        except Exception as error:
            if existing == "new" and any(word in str(error) for word in ("ALREADY_EXISTS", "PATH_EXISTS")):
                raise AlreadyExists(f"{target} is there already.", hint="Give --existing replace or append.") from error
            raise
        return int(seen.get["rows"])


def _place(name: str) -> tuple[str, str]:
    """Format and path of files; no format and the quoted name of a table."""
    form, _, rest = name.partition(":")
    if form in _NAMED and rest and not rest.startswith("//"):
        return form, rest
    ending = _FORMATS.get(PurePosixPath(name.rstrip("/")).suffix.lower())
    if ending or "/" in name:
        return ending or "parquet", name
    return "", SparkDialect().table(name)


def _load(session: Any, form: str, path: str) -> Any:
    reader = session.read.format(form)
    if form == "csv":
        reader = reader.option("header", "true").option("inferSchema", "true").option("enforceSchema", "false")
        if path.lower().endswith(".tsv"):
            reader = reader.option("sep", "\t")
    if form == "delta":
        path, _, version = path.rpartition("@") if path.rpartition("@")[2].isdigit() else (path, "", "")
        reader = reader.option("versionAsOf", version) if version else reader
    return reader.load(path)
