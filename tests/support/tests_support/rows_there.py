"""Engines that hold the rows of a project, and runs of it there."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import engine_for, training_pipeline
from bailiwick.pipelines.model import PipelineRun
from bailiwick.pipelines.project import load_project
from tests_support.engine_tables import into_postgresql
from tests_support.fraud_project import PROJECT

TABLE = 'pay"ments; DROP TABLE x'
"""As hostile as a catalogue allows."""


@dataclass
class There:
    """An engine that holds rows: its URL, and the source there."""

    kind: str
    url: str
    source: str

    def put(self, table: pa.Table, name: str = TABLE) -> None:
        """Make the table, or make it anew."""
        quoted = '"' + name.replace('"', '""') + '"'
        if self.kind == "postgresql":
            import psycopg

            with psycopg.connect(self.url) as connection:
                connection.execute(f"DROP TABLE IF EXISTS {quoted}")
            into_postgresql(self.url, name, table)
            return
        with closing(duckdb.connect(self.url.removeprefix("duckdb:///"))) as connection:
            connection.register("given", table)
            connection.execute(f"CREATE OR REPLACE TABLE {quoted} AS SELECT * FROM given")

    def run(self, sql: str) -> None:
        """A statement there."""
        if self.kind == "postgresql":
            import psycopg

            with psycopg.connect(self.url) as connection:
                connection.execute(sql)
            return
        with closing(duckdb.connect(self.url.removeprefix("duckdb:///"))) as connection:
            connection.execute(sql)


def project_text(there: There, *more: tuple[str, str]) -> str:
    """The project file with its rows on the engine."""
    text = PROJECT.replace(
        "source: data/*.parquet", f"source: {json.dumps(there.source)}\n  engine: {json.dumps(there.url)}"
    )
    for old, new in more:
        assert old in text
        text = text.replace(old, new)
    return text


def run_steps(platform: Platform, admin: Actor, folder: Path, *only: str, **params: object) -> PipelineRun:
    """Apply the project and run the steps here, with those they need."""
    project = apply_project(platform, admin, load_project(folder))
    wanted = {"project": project.name, "start": None, "end": None, "reason": "test", **params}
    submitted = platform.pipelines.submit(admin, training_pipeline(platform, project, only=only or None), wanted)  # type: ignore[arg-type]
    return engine_for(platform, submitted).execute(admin, submitted.id)


def outputs(run: PipelineRun, step: str) -> dict[str, Any]:
    """What a step gave."""
    return next(dict(each.outputs) for each in run.steps if each.name == step)
