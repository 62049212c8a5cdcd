"""Steps `ingest` and `validate`: rows become a snapshot, and the snapshot is held against the reviewed schema."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.core.errors import BailiwickError, CheckFailed, InvalidInput, Unavailable
from bailiwick.data.engines.engine import engine_name
from bailiwick.data.engines.standing import between, column_of, stand, time_column
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.data.inspection import Inspection
from bailiwick.data.model import Snapshot
from bailiwick.data.schema import infer_schema, read_schema, schema_text, write_schema
from bailiwick.data.sources import Source, SourceOptions, open_source, without_password
from bailiwick.data.statistics.streaming import stream_statistics
from bailiwick.data.validation import Anomaly, validate
from bailiwick.lifecycle.inspection import Taking, alarm_misfit, alarm_unreadable, inspect, require_usable
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.standing import opened
from bailiwick.lifecycle.training.declared import declared_features
from bailiwick.pipelines.model import JSON, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.project_secrets import warnings_of
from bailiwick.pipelines.sections import Reading

_log = logging.getLogger(__name__)


def ingest(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Read the project's source, keep the rows of [start, end) event time, and make them a snapshot."""
    config = project.data
    for each in warnings_of(project):
        _log.warning("%s", each)
    if config.engine:
        return _ingest_there(platform, project, context)
    context.progress(0.1, f"reading {without_password(config.source)}")
    start, end = (_bound(context.params.get(name)) for name in ("start", "end"))
    with _told(platform, project, context, InvalidInput, Unavailable):
        source = open_source(
            config.source, project.folder, needed=_named_columns(project), options=source_options(config.read)
        ).between(config.time, start, end)
        found_any = any(batch.num_rows for batch in source)
    if not found_any:
        raise CheckFailed(f"{source.name} has no rows between {start} and {end} (event time, ms).")
    context.progress(0.3, "keeping its rows")
    with _told(platform, project, context, InvalidInput):  # what else goes wrong here is not the source's fault
        snapshot = platform.data.ingest_source(context.actor, project.name, source, time_column=config.time)
    context.progress(0.8, f"{snapshot.rows:,} rows")
    found = inspect(
        platform, context.actor.workspace, snapshot, project=project, taking=_taking(platform, source, start, end)
    )
    return _outputs(context, snapshot, found, _statistics(platform, snapshot))


def _ingest_there(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """The rows stay where they are: described, counted and checked there, and known by their digest."""
    config = project.data
    engine = engine_name(config.engine or "")
    context.progress(0.1, f"looking at {config.source} on {engine}")
    start, end = (_bound(context.params.get(name)) for name in ("start", "end"))
    with _told(platform, project, context, InvalidInput, Unavailable), opened(platform, project) as there:
        for name in _named_columns(project):
            column_of(there, name, f"{config.source} on {engine}: column")
        time = time_column(there, config.time)
        rows = between(there, time, start, end)
        standing = stand(rows, time, start=start, end=end)
        if not standing.rows:
            raise CheckFailed(f"{config.source} on {engine} has no rows between {start} and {end} (event time, ms).")
        context.progress(0.3, f"describing {standing.rows:,} rows there")
        statistics = engine_statistics(rows, project.name).SerializeToString(deterministic=True)
        snapshot = platform.data.refer(
            context.actor, project.name, standing, engine=engine, source=config.source, statistics=statistics
        )
        context.progress(0.8, f"{snapshot.rows:,} rows stay on {engine}")
        span = None if start is None or end is None else end - start
        taking = Taking(platform.records.clock(), end=end, span_ms=span)
        found = inspect(
            platform, context.actor.workspace, snapshot, project=project, taking=taking, there=rows
        )  # fmt: skip
    return _outputs(context, snapshot, found, snapshot.statistics)


def _outputs(context: StepContext, snapshot: Snapshot, found: Inspection, statistics: str) -> Mapping[str, JSON]:
    if found.failed:
        context.progress(1.0, f"{snapshot.rows:,} rows; alarm: {', '.join(each.name for each in found.failed)}")
    return {"snapshot": snapshot.id, "digest": snapshot.digest, "rows": snapshot.rows, "statistics": statistics}


@contextmanager
def _told(platform: Platform, project: Project, context: StepContext, *kinds: type[BailiwickError]) -> Iterator[None]:
    """Stakeholders are told of a source that cannot be read."""
    try:
        yield
    except kinds as error:
        alarm_unreadable(platform, context.actor.workspace, project, error.message)
        raise


def _taking(platform: Platform, source: Source, start: int | None, end: int | None) -> Taking:
    return Taking(
        platform.records.clock(),
        end=end,
        span_ms=None if start is None or end is None else end - start,
        written=max((place.written() for place in source.files), default=None),
    )


def _bound(value: JSON) -> int | None:
    return value if isinstance(value, int) else None


def _statistics(platform: Platform, snapshot: Snapshot) -> str:
    """The blob of statistics of every row: those of an older, large snapshot are of a sample, and a schema is held against all."""
    if snapshot.statistics_rows == snapshot.rows:
        return snapshot.statistics
    found = stream_statistics(platform.data.batches(snapshot.workspace, snapshot.id), snapshot.dataset)
    return platform.blobs.put(found.SerializeToString(deterministic=True))


def source_options(read: Reading) -> SourceOptions:
    """The project file's `data.read` in the words of sources."""
    values = read.model_dump()
    return SourceOptions(**{**values, "names": tuple(values["names"])})


def _named_columns(project: Project) -> list[str]:
    """Columns the project file counts on; a source without one is refused by name before anything is kept."""
    data = project.data
    read = [column for spec in declared_features(project) for column in spec.reads]
    split = data.split.column if data.split else ""
    named = [data.time, data.key, data.label.column, split, *read, *project.evaluate.slices]
    return list(dict.fromkeys(name for name in named if name))


def check(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Validate the snapshot against the schema; the first time there is none, infer it and write it for review.

    Raises CheckFailed before that while an alarm about the snapshot stands.
    """
    workspace = context.actor.workspace
    snapshot = platform.data.snapshot(workspace, str(context.inputs["ingest"]["snapshot"]))
    require_usable(platform, workspace, snapshot, project=project)
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    statistics.ParseFromString(platform.blobs.get(str(context.inputs["ingest"]["statistics"])))
    path = schema_path(project)
    if path is None:
        return {"schema": "", "anomalies": 0}
    inferred = not path.exists()
    if inferred:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_schema(infer_schema(statistics), path)
    schema = read_schema(path)
    anomalies = validate(statistics, schema)
    wrong = [(each.feature, each.kind, each.short) for each in anomalies if each.severity == "ERROR"]
    alarm_misfit(platform, workspace, project, snapshot.id, wrong)
    refuse_errors(anomalies, str(path))
    message = f"inferred {path.name}: review it" if inferred else f"fits {path.name}"
    context.progress(1.0, message)
    return {"schema": platform.blobs.put(schema_text(schema).encode()), "anomalies": len(anomalies)}


def schema_path(project: Project) -> Path | None:
    """Where the project keeps its reviewed schema; None when it declares none. Raises InvalidInput outside the project."""
    if not project.data.schema_path:
        return None
    path = (project.folder / project.data.schema_path).resolve()
    if not path.is_relative_to(project.folder.resolve()):
        raise InvalidInput(f"data.schema {project.data.schema_path!r} must lie inside the project folder.")
    return path


def refuse_errors(anomalies: list[Anomaly], schema: str) -> None:
    """Raises CheckFailed naming each anomaly of severity ERROR."""
    errors = [f"{anomaly.feature}: {anomaly.long}" for anomaly in anomalies if anomaly.severity == "ERROR"]
    if errors:
        raise CheckFailed(
            f"The data does not fit {schema}: {len(errors)} anomalies.",
            findings=errors,
            hint="Repair the data, or relax the schema after review.",
        )
