"""Keep a database of the newest schema as an asset, with a few rows in every table: a later version must open it.

    python tools/old_database.py

Writes `tests/assets/old_databases/NNNN.db` and, beside it, the number of rows of each table; refuses to write one that
is already kept. Run it in the change that releases a migration.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy import insert

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.ids import new_id
from bailiwick.core.settings import Settings
from bailiwick.data.profile import build_profile, to_json
from bailiwick.endpoints.assignment import choose_many
from bailiwick.endpoints.log import outcome_schema, prediction_schema
from bailiwick.lifecycle.platform import Platform
from bailiwick.monitoring.model import MonitorConfig
from bailiwick.pipelines.engine import Engine
from bailiwick.pipelines.model import JSON, Pipeline, Step, StepContext
from bailiwick.pipelines.project import parse_project
from bailiwick.registry.model import ModelVersion
from bailiwick.rollout.canary import CanaryConfig
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.migrate import newest_revision
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.artifacts.tables import uploads
from bailiwick.tracking.imports.model import Kind, Mark
from bailiwick.tracking.lineage.model import Dataset, DatasetInput, ModelOutput
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.model import MetricPoint, RunInput
from bailiwick.webhooks.model import Answer

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "assets" / "old_databases"
DAY = 86_400_000
FIRST_DAY = 1_388_534_400_000  # 2014-01-01
ADA = Actor("u-ada", "ada", "default", frozenset(Permission))
GRACE = Actor("u-grace", "grace", "default", frozenset(Permission))


def write_asset() -> Path:
    """The path written. Exits when this schema's database is kept already, or a table would be empty in it."""
    target = FOLDER / f"{newest_revision()}.db"
    if target.exists():
        sys.exit(f"{target} is kept already; a released schema's database never changes.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        counts = _make(Path(folder))
        empty = sorted(name for name, rows in counts.items() if not rows)
        if empty:
            sys.exit(f"These tables have no row, so nothing would be shown of them: {', '.join(empty)}.")
        shutil.copy(Path(folder) / "bailiwick.db", target)
    target.with_suffix(".json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    return target


def count_rows(database: Path) -> dict[str, int]:
    """Rows of each table of ours."""
    connection = sqlite3.connect(database)
    try:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in names
            if not name.startswith("sqlite_")
        }
    finally:
        connection.close()


def _make(home: Path) -> Mapping[str, int]:
    clock = FakeClock(FIRST_DAY - DAY)
    platform = open_platform(Settings(home=home), clock)
    _people_and_project(platform)
    platform.webhooks.create(
        ADA,
        "chat",
        url="https://93.184.215.14/hook",
        events=["model_version.created"],
        secret="-",  # noqa: S106
    )
    first = _version(platform, clock, "first")
    _approve(platform, first)
    _serve(platform, clock, first)
    _roll_out(platform, clock, _version(platform, clock, "second"))
    _run(platform)
    _as_an_mlflow_client(platform, clock)
    platform.duties.hold("work", "an old worker", lease_ms=1)
    signer = Signer.in_folder(platform.keys_folder)
    Sequencer(platform.database, platform.journal_folder, signer, clock=clock).integrate()
    _deliver(platform)
    platform.close()
    _fold_log(home / "bailiwick.db")
    return count_rows(home / "bailiwick.db")


def _people_and_project(platform: Platform) -> None:
    platform.identities.create(ADA, "grace", roles=["approver"])
    platform.identities.issue_token(ADA, "grace", lifetime_ms=DAY, note="laptop")
    platform.tracking.create_experiment(ADA, "flights", tags={"team": "ops"})
    example = ROOT / "examples" / "flights"
    text = (example / "bailiwick.yaml").read_text(encoding="utf-8")
    platform.projects.apply(ADA, parse_project(text, name="bailiwick.yaml", folder=Path("/srv/flights")))


def _version(platform: Platform, clock: FakeClock, name: str) -> ModelVersion:
    rows = pa.table({"time": [FIRST_DAY + len(name), FIRST_DAY], "hour": [1.0, 2.0], "late": [True, False]})
    snapshot = platform.data.ingest(ADA, "flights", rows, source=f"{name}.parquet", time_column="time")
    platform.data.name_snapshot(ADA, snapshot.id, name)
    platform.data.tag_snapshot(ADA, snapshot.id, "why", name)
    tracking = platform.tracking
    run = tracking.start_run(ADA, "flights", name=name, tags={"why": name}, inputs=[RunInput(snapshot.id)], key=name)
    tracking.log(
        ADA, run.id, metrics=[MetricPoint("loss", 0.5, clock.now, step) for step in range(3)], params={"a": "1"}
    )
    tracking.finish_run(ADA, run.id)
    made = platform.registry.register(
        ADA,
        "flights",
        package=platform.blobs.put(name.encode()),
        run_id=run.id,
        snapshot=snapshot.id,
        signature={"inputs": [{"name": "hour", "datatype": "FP32", "shape": [-1, 1]}], "outputs": []},
        metrics={"roc_auc": 0.71},
        slices={},
        parity={"passed": True},
        environment={"python": "3.11"},
        code_version="4f0c2a9",
        parameters={"trees": 50},
        description=name,
    )
    platform.registry.set_alias(ADA, "flights", "candidate", made.number, reason=name)
    return made


def _approve(platform: Platform, version: ModelVersion) -> None:
    platform.governance.set_policy(ADA, "flights", "production", approvers=1, not_author=True, evidence=("gates",))
    request = platform.governance.request(
        ADA, "flights", version.number, "production", author=version.created_by, evidence={"gates": True}
    )
    platform.governance.approve(GRACE, request.id, "looked at")
    platform.registry.set_alias(ADA, "flights", "production", version.number, reason="approved")


def _serve(platform: Platform, clock: FakeClock, version: ModelVersion) -> None:
    """A week of traffic that goes wrong after three days, so that there is an alarm to keep."""
    platform.endpoints.deploy(ADA, "late", model="flights", version=version.number, package=version.package, key="tail")
    platform.monitors.configure(ADA, "late", MonitorConfig(min_rows=50))
    hours = pa.table({"hour": np.linspace(0.0, 23.0, 500)})
    profile = to_json(build_profile(hours, hours.column_names))
    platform.monitors.set_reference(
        ADA, "late", model="flights", version=version.number, profile=profile, expected_loss=0.2
    )
    for day in range(7):
        _traffic(platform, "late", day, wrong=0.2 if day < 3 else 0.7)
        clock.now = FIRST_DAY + (day + 1) * DAY
    platform.monitors.evaluate_due(ADA, "late")


def _roll_out(platform: Platform, clock: FakeClock, version: ModelVersion) -> None:
    config = CanaryConfig(ramp=(20, 50), min_units_per_step=50)
    begun = platform.rollouts.start(
        ADA, "late", model="flights", version=version.number, package=version.package, config=config
    )
    _traffic(platform, "late", 7, wrong=0.2)
    clock.now = FIRST_DAY + 8 * DAY
    platform.rollouts.advance(ADA, begun.id)


def _traffic(platform: Platform, name: str, day: int, *, wrong: float, rows: int = 200) -> None:
    endpoint = platform.endpoints.endpoint("default", name)
    rng = np.random.default_rng(day)
    ids = [f"{day * rows + row:032x}:0" for row in range(rows)]
    chosen = [endpoint.variants[index] for index in choose_many(endpoint, ids)]
    time = FIRST_DAY + day * DAY + np.sort(rng.integers(0, DAY - 1, rows))
    decided = rng.random(rows) < 0.5
    columns = {
        "prediction_id": ids,
        "request_id": [one[:32] for one in ids],
        "row": [0] * rows,
        "endpoint": [name] * rows,
        "epoch": [endpoint.epoch] * rows,
        "variant": [variant.name for variant in chosen],
        "model": [variant.model for variant in chosen],
        "version": [variant.version for variant in chosen],
        "unit": ids,
        "time": time,
        "received": time,
        "latency_us": [900] * rows,
        "status": [200] * rows,
        "error": [None] * rows,
    }
    table = pa.table(columns, schema=prediction_schema())
    scores = pa.array(np.where(decided, 0.8, 0.2), pa.float32())
    platform.logs.of("default").append_predictions(name, table.append_column("out_probability", scores))
    outcome = np.where(rng.random(rows) < wrong, ~decided, decided).astype(float)
    known = {"prediction_id": ids, "outcome": outcome, "time": time, "received": time}
    platform.logs.of("default").append_outcomes(name, pa.table(known, schema=outcome_schema()))


def _run(platform: Platform) -> None:
    def ingest(_context: StepContext) -> Mapping[str, JSON]:
        return {"rows": 2}

    pipeline = Pipeline("train-flights", [Step("ingest", (), ingest, version="1")])
    run = platform.pipelines.submit(ADA, pipeline, {"project": "flights"})
    Engine(platform.records, {pipeline.name: pipeline}).execute(ADA, run.id)
    platform.triggers.fire(ADA, "retrain:flights", "an alarm", pipeline, {"project": "flights"})
    platform.triggers.schedule(ADA, "nightly", cron="0 3 * * *", pipeline=pipeline.name, params={"project": "flights"})


def _as_an_mlflow_client(platform: Platform, clock: FakeClock) -> None:
    """What a notebook leaves: a run with a dataset and a logged model, artifacts, a version of its own with a stage."""
    tracking, registry = platform.tracking, platform.registry
    experiment = tracking.create_experiment(ADA, "notebook")
    run = tracking.create_run(ADA, experiment.id, name="by hand", tags={"mlflow.user": "ada"})
    read = Dataset("late", "4f0c2a9b", "local", '{"uri": "late.parquet"}', schema='{"columns": 2}')
    platform.run_lineage.log_inputs(ADA, run.id, datasets=[DatasetInput(read, {"mlflow.data.context": "training"})])
    model = platform.logged_models.create(
        ADA, experiment.id, name="trees", source_run=run.id, params={"depth": "3"}, tags={"kind": "forest"}
    )
    platform.run_lineage.log_outputs(ADA, run.id, [ModelOutput(model.id)])
    measured = ModelMetric(model.id, run.id, "auc", 0.7, clock.now, dataset_name="late", dataset_digest="4f0c2a9b")
    point = MetricPoint("auc", 0.7, clock.now, 0)
    tracking.log(ADA, run.id, metrics=[point], of_models=[measured])
    platform.artifacts.put(
        ADA, platform.artifacts.locate("default", model.artifact_location, "MLmodel"), [b"flavors: {}"]
    )
    platform.logged_models.finalize(ADA, model.id, "READY")
    registry.create_model(ADA, "by-hand", tags={"team": "ops"})
    made = registry.create_version(
        ADA, "by-hand", source=f"models:/{model.id}", model_id=model.id, tags={"checked": "yes"}
    )
    registry.set_stage(ADA, "by-hand", made.number, "Staging", reason="to look at")
    platform.statements.state(ADA, "by-hand", made.number, "intended_use", "Shows what an old database held.")
    platform.imports.mark(ADA, "http://mlflow.example", Kind.EXPERIMENT, [Mark("7", experiment.id)])
    _half_sent(platform, clock)


def _half_sent(platform: Platform, clock: FakeClock) -> None:
    """A file that a client began to send in parts; only an object store takes these, so it is written down by hand."""
    row = {"id": new_id(), "workspace": "default", "place": "s3", "path": "1/big.bin", "key": "1/big.bin"}
    with platform.database.write() as connection:
        connection.execute(insert(uploads).values(**row, upload="x", time=clock.now, created_by=ADA.identity))


def _deliver(platform: Platform) -> None:
    """One delivery that went out; the others still wait."""
    platform.outbox.collect()
    platform.outbox.finish(platform.outbox.heads()[0], Answer(204, duration_ms=12))


def _fold_log(path: Path) -> None:
    """One file, without a write-ahead log beside it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("VACUUM")
    connection.close()


def kept() -> Iterator[Path]:
    """Every database that is kept."""
    yield from sorted(FOLDER.glob("[0-9]*.db"))


if __name__ == "__main__":
    sys.stdout.write(f"Wrote {write_asset()}.\n")
