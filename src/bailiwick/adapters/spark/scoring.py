"""Scoring on Spark's executors: Arrow batches of a partition through the graph that serves; no row comes to the driver.

The executors need `bailiwick` and pyspark's own worker. The package travels with the tasks. Spark writes the answers with its
own commit, so a job that was stopped leaves nothing behind and is run again as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bailiwick.adapters.spark.frames import read_frame
from bailiwick.adapters.spark.session import open_session, told_of
from bailiwick.core.errors import InvalidInput

FORMATS = ("parquet", "delta")

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.batch.story import Scored
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.registry.model import ModelVersion

Batches = Iterable["pa.RecordBatch"]


def score_frame(frame: Any, package: bytes, *, keep: Sequence[str] | None = None) -> Any:
    """A DataFrame of the `keep` columns (None: all) and the package's outputs. Nothing runs until it is used.

    `package`: an ONNX package; one that stays Python is refused, since it runs in confined processes of this machine.
    Raises InvalidInput for columns that are not there, and for names that are taken.
    """
    from bailiwick.lifecycle.batch.graph import GraphAnswerer, output_field

    signature = GraphAnswerer(package).signature
    inputs = [spec.name for spec in signature.inputs]
    kept = list(frame.columns if keep is None else dict.fromkeys(keep))
    for name in (*inputs, *kept):
        if name not in frame.columns:
            raise InvalidInput.choice("Column", name, frame.columns)
    fields = [output_field(spec) for spec in signature.outputs]
    for field in fields:
        if field.name in kept:
            raise InvalidInput(f"Column {field.name!r} is kept and would be made.", hint="Say which columns to keep.")
    read = list(dict.fromkeys([*inputs, *kept]))
    places = {name: f"c{place}" for place, name in enumerate(frame.columns)}  # Spark's parser is told none of the names
    chosen = frame.toDF(*places.values()).select(*[places[name] for name in read])
    with told_of("The DataFrame"):
        return chosen.mapInArrow(_scoring(package, read, kept), _schema(frame, kept, fields))


def score_on_spark(
    platform: Platform,
    actor: Actor,
    data: str,
    version: ModelVersion,
    out: str,
    *,
    address: str,
    format: str = "parquet",  # noqa: A002 - the word of the command
    keep: Sequence[str] | None = None,
) -> Scored:
    """A source that Spark reads, scored where it is, into files or a table that Spark writes; replaces what is at `out`.

    On record as any scoring. Raises MissingExtra, Unavailable, InvalidInput.
    """
    from bailiwick.lifecycle.batch.parts import BYTES, ROWS, Job
    from bailiwick.lifecycle.batch.story import Scored, begun, check_may_score, finished

    check_may_score(actor)
    if format not in FORMATS:
        raise InvalidInput.choice("Format that Spark writes", format, FORMATS)
    if version.runtime not in {"", "onnx"}:
        raise InvalidInput(
            f"{version.model} version {version.number} is no graph, but {version.runtime}, which is run on this machine only.",
            hint="Score without --engine.",
        )
    began = time.monotonic()
    session, owned = open_session(address)
    try:
        frame = read_frame(session, data)
        scored = score_frame(frame, platform.blobs.get(version.package), keep=keep)
        columns = tuple((field.name, field.dataType.simpleString()) for field in frame.schema.fields)
        job = Job(version.package, data, columns, tuple(scored.columns), ROWS, BYTES)
        run = begun(platform, actor, version, job, out)
        try:
            with told_of(data):
                scored.write.mode("overwrite").format(format).save(out)
                rows = int(session.read.format(format).load(out).count())
        except BaseException:
            platform.tracking.finish_run(actor, run, "FAILED")
            raise
    finally:
        if owned:
            session.stop()
    seconds = time.monotonic() - began
    finished(platform, actor, run, rows=rows, parts=0, seconds=seconds)
    rate = round(rows / seconds, 1)
    return Scored(version.model, version.number, run, out, format, rows, 0, 0, round(seconds, 3), rate)


def _scoring(package: bytes, read: list[str], kept: list[str]) -> Callable[[Batches], Iterator[Any]]:
    def score(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # this function is sent to executors, and what it refers to with it

        from bailiwick.lifecycle.batch.graph import GraphAnswerer

        answerer = GraphAnswerer(package)
        names = [spec.name for spec in answerer.signature.outputs]
        for batch in batches:
            answers = answerer.answer(pa.Table.from_batches([batch]).rename_columns(read))
            held = [batch.column(read.index(name)) for name in kept]
            yield pa.record_batch([*held, *answers], names=[*kept, *names])

    return score


def _schema(frame: Any, kept: Sequence[str], made: Sequence[Any]) -> Any:
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    held = [field for name in kept for field in frame.schema.fields if field.name == name]
    return StructType([*held, *(StructField(field.name, from_arrow_type(field.type)) for field in made)])
