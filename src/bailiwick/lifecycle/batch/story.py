"""Story: score a source with a registered version, on all cores, into files or a table; on record as a run with its lineage."""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import structs

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import BailiwickError, InvalidInput, NotFound
from bailiwick.data.sources import Source
from bailiwick.lifecycle.batch.answerer import Answerer, open_answerer
from bailiwick.lifecycle.batch.encodings import ENCODINGS, PARQUET, check_schema
from bailiwick.lifecycle.batch.folders import open_folder
from bailiwick.lifecycle.batch.graph import check_columns, output_field
from bailiwick.lifecycle.batch.outputs import DeltaOutput, FileOutput, clear
from bailiwick.lifecycle.batch.parts import BYTES, ROWS, Job, Output, Part, cut, digest_of_rows
from bailiwick.lifecycle.lineage.nodes import SCORED_BY, SCORING
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import written
from bailiwick.registry.model import ModelVersion
from bailiwick.security.roles import require_all
from bailiwick.tracking.lineage.model import CONTEXT_TAG, Dataset, DatasetInput

PRODUCTION = "production"
SCORED_TO = "bailiwick.scored_to"
DELTA = "delta"
FORMATS = (*ENCODINGS, DELTA)
MOST_TOLD = 4_000
"""Characters of the params that the run tells."""

Told = Callable[[int, int], None]
"""Rows that are written so far, and how many of those an earlier run had written."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a run of scoring did. `before` are rows of it that an earlier, interrupted run had written."""

    model: str
    version: int
    run: str
    out: str
    format: str
    rows: int
    before: int
    parts: int
    seconds: float
    rows_per_second: float


def _silent(_rows: int, _before: int) -> None:
    """Nobody watches."""


def find_version(platform: Platform, workspace: str, name: str) -> ModelVersion:
    """`MODEL@ALIAS`, `MODEL@NUMBER` (or `MODEL/NUMBER`), or `MODEL`: its version in production, or the newest that has a package.

    Raises NotFound, InvalidInput for a version without a package.
    """
    model, at, alias = name.partition("@")
    model, slash, number = (model, "", "") if at else name.rpartition("/") if "/" in name else (name, "", "")
    if at and alias.isdecimal():
        found = platform.registry.version(workspace, model, int(alias[:9]))
    elif at:
        found = platform.registry.alias(workspace, model, alias)
    elif slash:
        if not number.isdecimal():
            raise InvalidInput(f"{name!r} names no version: write MODEL, MODEL@ALIAS or MODEL@NUMBER.")
        found = platform.registry.version(workspace, model, int(number[:9]))
    else:
        aliases = platform.registry.aliases(workspace, model)
        versions = platform.registry.versions(workspace, model)
        packed = [each for each in versions if each.package and each.purged is None]
        if PRODUCTION in aliases:
            found = platform.registry.version(workspace, model, aliases[PRODUCTION])
        elif packed:
            found = packed[0]
        else:
            raise NotFound(f"Model {model!r} has no version with a package yet.", hint="bailiwick models package")
    if not found.package or found.purged is not None:
        raise InvalidInput(
            f"{found.model} version {found.number} has no package to score with.", hint="bailiwick models package"
        )
    return found


def score_source(
    platform: Platform,
    actor: Actor,
    source: Source,
    version: ModelVersion,
    out: str,
    *,
    format: str = PARQUET.name,  # noqa: A002 - the word of the command
    keep: Sequence[str] | None = None,
    workers: int = 0,
    overwrite: bool = False,
    rows_a_part: int = ROWS,
    params: Mapping[str, Any] | None = None,
    told: Told | None = None,
) -> Scored:
    """Answers for every row of `source`, in `out`: columns `keep` (None: all) and the model's outputs.

    `params` are those that a logged model declares; its defaults otherwise. Memory does not grow with the rows. The same again goes on where it was, or finds it all done, and never writes a row
    twice. Raises InvalidInput, Conflict for a folder that holds something else or a source that has changed meanwhile,
    Unavailable, ModelFailed.
    """
    check_may_score(actor)
    if format not in FORMATS:
        raise InvalidInput.choice("Format", format, FORMATS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bailiwick-score-") as folder:
        package = written(platform, version.package, Path(folder))
        with closing(open_answerer(platform.settings, package, params)) as answerer:
            job, schema = plan(source, version, answerer, keep, rows_a_part)
            job = structs.replace(job, params=canonical_json(dict(params)).decode() if params else "")
            output, job = opened(out, format, job, schema, overwrite=overwrite)
            run = begun(platform, actor, version, job, out)
            try:
                parts, before = _score(
                    source, job, answerer, output, workers or len(os.sched_getaffinity(0)), told or _silent
                )
            except BaseException:
                platform.tracking.finish_run(actor, run, "FAILED")
                raise
    rows = sum(each.rows for each in parts)
    seconds = time.monotonic() - began
    finished(platform, actor, run, rows=rows, parts=len(parts), seconds=seconds)
    rate = (rows - before) / seconds if seconds else 0.0
    return Scored(
        version.model, version.number, run, out, format, rows, before, len(parts), round(seconds, 3), round(rate, 1)
    )


def check_may_score(actor: Actor) -> None:
    """Answers are predictions, and the job is a run. Raises NotAllowed, before anything is begun."""
    require_all(actor, Permission.PREDICTIONS_WRITE, Permission.TRACKING_WRITE, to="score")


def finished(platform: Platform, actor: Actor, run: str, *, rows: int, parts: int, seconds: float) -> None:
    """Say of the run what came of it."""
    found = {"rows": float(rows), "parts": float(parts), "seconds": seconds}
    platform.tracking.log(actor, run, metrics=found)
    platform.tracking.finish_run(actor, run)


def plan(
    source: Source, version: ModelVersion, answerer: Answerer, keep: Sequence[str] | None, rows: int
) -> tuple[Job, pa.Schema]:
    """The job and the schema of its answers. Raises InvalidInput for columns that are not there, or there twice."""
    check_columns(answerer.signature, source.schema)
    kept = source.schema.names if keep is None else list(dict.fromkeys(keep))
    for name in kept:
        if name not in source.schema.names:
            raise InvalidInput.choice("Column to keep", name, source.schema.names)
    made = [output_field(spec) for spec in answerer.signature.outputs]
    for field in made:
        if field.name in kept:
            raise InvalidInput(
                f"The source has a column {field.name!r}, which is also what the model's answer is called.",
                hint="Say with --keep which columns to keep.",
            )
    columns = tuple((field.name, str(field.type)) for field in source.schema)
    schema = pa.schema([*(source.schema.field(name) for name in kept), *made])
    return Job(version.package, source.name, columns, tuple(kept), rows, BYTES), schema


def opened(
    out: str,
    format: str,  # noqa: A002 - the word of the command
    job: Job,
    schema: pa.Schema,
    *,
    overwrite: bool = False,
) -> tuple[Output, Job]:
    """The output of a job, where it was left, or begun anew; and the job as it is written there."""
    if format == DELTA:
        if overwrite:
            raise InvalidInput("A Delta table keeps what it has; --overwrite is for folders of files.")
        return DeltaOutput(out, job, schema), job
    check_schema(ENCODINGS[format], schema)
    job = structs.replace(job, encoding=format)
    folder = open_folder(out)
    if overwrite:
        clear(folder)
    return FileOutput(folder, job, schema), job


def _score(
    source: Source, job: Job, answerer: Answerer, output: Output, workers: int, told: Told
) -> tuple[list[Part], int]:
    """All parts, and how many rows of them were done before. At most two parts a worker are in memory."""
    parts: list[Part] = []
    before = 0
    waiting: deque[Future[tuple[Part, pa.Table | None]]] = deque()

    def settle(limit: int) -> None:
        while len(waiting) > limit:
            part, rows = waiting.popleft().result()
            parts.append(part if rows is None else output.write(part, rows))
            told(sum(each.rows for each in parts), before)

    with ThreadPoolExecutor(workers, thread_name_prefix="score") as pool:
        try:
            for number, rows in enumerate(_read(source, job)):
                done = output.done(number, rows)
                if done is None:
                    waiting.append(pool.submit(_answered, number, rows, job, answerer, output))
                    settle(workers + 1)
                    continue
                settle(0)
                parts.append(done)
                before += done.rows
                told(sum(each.rows for each in parts), before)
            settle(0)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    output.finish(parts)
    return parts, before


def _read(source: Source, job: Job) -> Iterator[pa.Table]:
    return cut(source, rows=job.rows, size=job.bytes)


def _answered(
    number: int, rows: pa.Table, job: Job, answerer: Answerer, output: Output
) -> tuple[Part, pa.Table | None]:
    """On a worker's thread. Rows come back where they must be written in order."""
    try:
        answers = answerer.answer(rows)
    except BailiwickError as error:
        raise type(error)(f"Part {number} ({rows.num_rows:,} rows): {error.message}", hint=error.hint) from error
    made = rows.select(list(job.keep))
    for spec, values in zip(answerer.signature.outputs, answers, strict=True):
        made = made.append_column(spec.name, values)
    part = Part(number, rows.num_rows, digest_of_rows(rows))
    return (part, made) if output.ordered else (output.write(part, made), None)


def begun(platform: Platform, actor: Actor, version: ModelVersion, job: Job, out: str) -> str:
    """The run of this job, the same one when it is taken up again."""
    record = f"version/{version.model}/{version.number}"
    key = f"score-{structs.replace(job, source=f'{job.source} {out}').digest[:40]}"
    run = platform.tracking.start_run(
        actor,
        experiment_of(version.model),
        name=f"score {Path(job.source).name or job.source}"[:200],
        tags={SCORED_BY: record, SCORED_TO: out},
        key=key,
    )
    about = {"model": version.model, "version": str(version.number), "package": version.package}
    platform.tracking.log(actor, run.id, params=about | ({"params": job.params[:MOST_TOLD]} if job.params else {}))
    digest = structs.replace(job, package="").digest[:32]
    dataset = Dataset(name=Path(job.source).name[:400] or "rows", digest=digest, source_type="local", source=job.source)
    platform.run_lineage.log_inputs(actor, run.id, datasets=[DatasetInput(dataset, {CONTEXT_TAG: "scoring"})])
    _journal(actor, platform, record, {"run": run.id, "source": job.source[:1000], "out": out[:1000]})
    return run.id


def _journal(actor: Actor, platform: Platform, record: str, detail: dict[str, str]) -> None:
    with platform.records.change(actor, Permission.PREDICTIONS_WRITE) as change:
        change.record("batch.scoring_began", record, **detail)


def experiment_of(model: str) -> str:
    """Where the runs that scored with a model are kept."""
    return f"{SCORING}{model}"
