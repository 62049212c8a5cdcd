"""Steps `ingest` and `validate`: rows become a snapshot, and the snapshot is held against the reviewed schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.core.errors import CheckFailed, InvalidInput
from bailiwick.data.schema import infer_schema, read_schema, schema_text, write_schema
from bailiwick.data.sources import SourceOptions, open_source, without_password
from bailiwick.data.validation import Anomaly, validate
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.declared import declared_features
from bailiwick.pipelines.model import JSON, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import Reading


def ingest(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Read the project's source, keep the rows of [start, end) event time, and make them a snapshot."""
    config = project.data
    context.progress(0.1, f"reading {without_password(config.source)}")
    source = open_source(
        config.source, project.folder, needed=_named_columns(project), options=source_options(config.read)
    )
    rows = source.table()
    start, end = context.params.get("start"), context.params.get("end")
    if config.time:
        if isinstance(start, int):
            rows = rows.filter(pc.greater_equal(rows[config.time], start))
        if isinstance(end, int):
            rows = rows.filter(pc.less(rows[config.time], end))
    if not rows.num_rows:
        raise CheckFailed(f"{source.name} has no rows between {start} and {end} (event time, ms).")
    context.progress(0.5, f"{rows.num_rows:,} rows")
    snapshot = platform.data.ingest(
        context.actor, project.name, rows, source=source.name, time_column=config.time or ""
    )
    return {
        "snapshot": snapshot.id,
        "digest": snapshot.digest,
        "rows": snapshot.rows,
        "statistics": snapshot.statistics,
    }


def source_options(read: Reading) -> SourceOptions:
    """The project file's `data.read` in the words of sources."""
    values = read.model_dump()
    return SourceOptions(**{**values, "names": tuple(values["names"])})


def _named_columns(project: Project) -> list[str]:
    """Columns the project file counts on; a source without one is refused by name before anything is kept."""
    data = project.data
    read = [column for spec in declared_features(project) for column in spec.reads]
    named = [data.time, data.key, data.label.column, *read, *project.evaluate.slices]
    return list(dict.fromkeys(name for name in named if name))


def check(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Validate the snapshot against the schema; the first time there is none, infer it and write it for review."""
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
