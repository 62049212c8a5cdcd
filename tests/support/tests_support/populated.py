"""A platform with a history: data, runs, versions, an endpoint that drifted, a canary under way, one that was rolled back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.data.profile import build_profile, to_json
from bailiwick.endpoints.assignment import choose_many
from bailiwick.endpoints.log import outcome_schema, prediction_schema
from bailiwick.lifecycle.platform import Platform
from bailiwick.monitoring.model import MonitorConfig
from bailiwick.pipelines.engine import Engine
from bailiwick.pipelines.model import JSON, Pipeline, Step, StepContext
from bailiwick.registry.model import ModelVersion
from bailiwick.rollout.canary import CanaryConfig
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.lineage.model import CONTEXT_TAG, Dataset, DatasetInput, ModelOutput
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.model import MetricPoint, RunInput
from bailiwick.webhooks.model import Answer

DAY = 86_400_000
FIRST_DAY = 1_357_084_800_000 + 364 * DAY  # 2014-01-01
ROWS = 600
CARRIERS = ("AA", "B6", "DL", "EV", "UA", "US", "WN")
HOSTILE = "<script>alert('x')</script>"
NOTE_TAG = "mlflow.note.content"
NOTE = f"# Why\n\nTo see **whether** it works. {HOSTILE} [bad](javascript:alert(1)) [good](https://example.com)"
EXPERIMENT = "flüge/prévision ✈"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p9pK5QAAAABJRU5ErkJggg=="
)
FILES = {
    "report.html": f"<h1>Report</h1>{HOSTILE}".encode(),
    "plots/figure.svg": f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE}</svg>".encode(),
    "plots/roc curve.png": PNG,
    "plots/not-an-image.png": HOSTILE.encode(),
    "data/rows.csv": f"a,b\n1,{HOSTILE}\n".encode(),
    "données/réglages.json": b'{"a": [1, 2]}',
    "logs/huge.log": b"line\n" * 100_000,
    "model.bin": b"\x00\x01\x02" * 100,
    "empty.txt": b"",
}
ADMIN = Actor("u-ada", "ada", "default", frozenset(Permission))
SECOND = Actor("u-grace", "grace", "default", frozenset(Permission))


class Story:
    """Makes the history step by step; `ids` names what tests want to find again."""

    def __init__(self, home: Path) -> None:
        self.clock = FakeClock(FIRST_DAY - 3 * DAY)
        self.platform = open_platform(Settings(home=home), self.clock)
        self.rng = np.random.default_rng(5)
        self.sent = 0
        self.ids: dict[str, str] = {}

    def tell(self) -> Story:
        """Everything in order; about two seconds."""
        hook = self.platform.webhooks.create(
            ADMIN, "chat", url="https://chat.example.com/in", events=["workspace.*"], format="cloudevents"
        )
        self.ids["webhook"] = hook.id
        self.platform.workspaces.create(ADMIN, "elsewhere", description="Nothing is here.")
        self._train_and_release()
        for day in range(24):
            self._serve("late", day, worse=0.0 if day < 19 else 0.14, shift=0.0 if day < 19 else 1.6)
        self._judge()
        self._canary()
        self._rolled_back()
        self._pipelines()
        self._tracked()
        self._hostile()
        self._wide()
        self._seal()
        return self

    def _train_and_release(self) -> None:
        platform = self.platform
        rows = _flights(self.rng, 2000, FIRST_DAY - 90 * DAY)
        snapshot = platform.data.ingest(ADMIN, "flights", rows, source="data/flights-*.parquet", time_column="time")
        self.ids["snapshot"] = snapshot.id
        first = self._version(snapshot.id, "first", 0.71)
        platform.governance.set_policy(ADMIN, "flights", "production", approvers=1, not_author=True)
        request = self._request(first)
        platform.governance.approve(SECOND, request, "Reviewed the slices; good to go.")
        platform.registry.set_alias(ADMIN, "flights", "production", first.number, reason="first deployment")
        platform.endpoints.deploy(
            ADMIN, "late", model="flights", version=1, package=first.package, key="tail_number", time="scheduled"
        )
        platform.monitors.configure(ADMIN, "late", MonitorConfig(min_rows=50))
        profile = to_json(
            build_profile(_inputs(rows), ["hour", "distance", "temperature", "wind", "carrier", "origin"])
        )
        self._watch("late", 1, profile)
        self._watch("late", 2, profile)
        self.profile = profile

    def _watch(self, endpoint: str, version: int, profile: str) -> None:
        self.platform.monitors.set_reference(
            ADMIN, endpoint, model="flights", version=version, profile=profile, expected_loss=0.33
        )

    def _version(self, snapshot: str, name: str, auc: float) -> ModelVersion:
        tracking = self.platform.tracking
        run = tracking.start_run(ADMIN, "flights", name=f"train-{name}", inputs=[RunInput(snapshot)])
        self.ids["run"] = run.id
        for step in range(30):
            points = [MetricPoint("valid_log_loss", 0.69 - 0.12 * (1 - 0.9**step), self.clock.now + step * 900, step)]
            tracking.log(ADMIN, run.id, metrics=points)
        tracking.log(
            ADMIN, run.id, metrics={"holdout_roc_auc": auc}, params={"num_leaves": "31", "learning_rate": "0.05"}
        )
        for trial in range(3):
            child = tracking.start_run(ADMIN, "flights", name=f"trial-{trial}", parent=run.id)
            tracking.log(
                ADMIN, child.id, metrics={"log_loss": 0.6 - trial * 0.01}, params={"num_leaves": str(15 + trial)}
            )
            tracking.finish_run(ADMIN, child.id)
        self.clock.advance(95_000)
        tracking.finish_run(ADMIN, run.id)
        return self.platform.registry.register(
            ADMIN,
            "flights",
            package=self.platform.blobs.put(f"onnx of {name}".encode() * 4000),
            run_id=run.id,
            snapshot=snapshot,
            signature=_SIGNATURE,
            metrics={"roc_auc": auc, "log_loss": 1.24 - auc, "accuracy": auc - 0.03, "calibration_error": 0.021},
            slices={"slices": _slices(auc)},
            parity={"rows": 2000, "max_error": 2.1e-7, "label_flips": 0, "tolerance": 1e-5, "passed": True},
            environment={"python": "3.11.9", "packages": {"lightgbm": "4.7.0", "onnx": "1.23.2"}},
            code_version="4f0c2a9d7be1",
            parameters={"num_leaves": 31, "learning_rate": 0.05, "min_child_samples": 40},
            description="Probability that a flight leaves more than 15 minutes late.",
        )

    def _request(self, version: ModelVersion) -> str:
        evidence = {"gates": True, "card": True, "roc_auc": version.metrics["roc_auc"]}
        request = self.platform.governance.request(
            ADMIN, version.model, version.number, "production", author=version.created_by, evidence=evidence
        )
        return request.id

    def _serve(self, name: str, day: int, *, worse: float, shift: float, rows: int = ROWS) -> None:
        """One day of traffic, split as the endpoint splits it now, with outcomes known the same evening."""
        self.clock.now = FIRST_DAY + (day + 1) * DAY
        start = FIRST_DAY + day * DAY
        inputs = _inputs(_flights(self.rng, rows, start, shift=shift))
        wrong = {version: 0.33 + worse * (version == 1 or name == "diverted") for version in (1, 2, 3)}
        if name == "diverted":
            wrong |= {1: 0.2, 2: 0.45}
        self._log(name, start, inputs, wrong)

    def _log(self, name: str, start: int, inputs: pa.Table, wrong: Mapping[int, float]) -> None:
        endpoint = self.platform.endpoints.endpoint("default", name)
        rows = inputs.num_rows
        ids = [f"{self.sent + row:032x}:0" for row in range(rows)]
        chosen = [endpoint.variants[index] for index in choose_many(endpoint, ids)]
        versions = np.array([variant.version for variant in chosen])
        decided = self.rng.random(rows) < 0.4
        misses = self.rng.random(rows) < np.array([wrong[version] for version in versions])
        probability = np.where(decided, 0.55 + 0.4 * self.rng.random(rows), 0.05 + 0.4 * self.rng.random(rows))
        time = start + np.sort(self.rng.integers(0, DAY - 1, rows))
        columns = {
            "prediction_id": ids,
            "request_id": [text[:32] for text in ids],
            "row": [0] * rows,
            "endpoint": [name] * rows,
            "epoch": [endpoint.epoch] * rows,
            "variant": [variant.name for variant in chosen],
            "model": [variant.model for variant in chosen],
            "version": versions,
            "unit": ids,
            "time": time,
            "received": time,
            "latency_us": [900] * rows,
            "status": [200] * rows,
            "error": [None] * rows,
        }
        table = pa.table(columns, schema=prediction_schema())
        for column in inputs.column_names:
            table = table.append_column(f"in_{column}", inputs[column])
        table = table.append_column("out_probability", pa.array(probability, pa.float32()))
        self.platform.logs.of("default").append_predictions(name, table)
        outcome = np.where(misses, ~decided, decided).astype(float)
        known = {"prediction_id": ids, "outcome": outcome, "time": time, "received": time}
        self.platform.logs.of("default").append_outcomes(name, pa.table(known, schema=outcome_schema()))
        self.sent += rows

    def _judge(self) -> None:
        monitors = self.platform.monitors
        monitors.evaluate_due(ADMIN, "late")
        for alarm in monitors.alarms("default", endpoint="late", status="OPEN"):
            if alarm.kind == "feature_drift":
                monitors.acknowledge(ADMIN, alarm.id, "A storm front; retraining on the newest weeks.")
            else:
                self.ids["alarm"] = alarm.id

    def _canary(self) -> None:
        """A retrained version takes over step by step and is doing well."""
        rows = _flights(self.rng, 2400, FIRST_DAY - 60 * DAY, shift=0.4)
        snapshot = self.platform.data.ingest(
            ADMIN, "flights", rows, source="data/flights-*.parquet", time_column="time"
        )
        second = self._version(snapshot.id, "second", 0.74)
        self.platform.governance.approve(SECOND, self._request(second), "")
        config = CanaryConfig(ramp=(5, 25, 50), min_units_per_step=500)
        rollout = self.platform.rollouts.start(
            ADMIN, "late", model="flights", version=2, package=second.package, config=config
        )
        self.ids["rollout"] = rollout.id
        for day in range(24, 27):
            self._serve("late", day, worse=0.06, shift=1.6)
            self.platform.rollouts.advance(ADMIN, rollout.id)
        self.platform.monitors.evaluate_due(ADMIN, "late")
        third = self._version(snapshot.id, "third", 0.752)
        self.ids["approval"] = self._request(third)

    def _rolled_back(self) -> None:
        version = self.platform.registry.version("default", "flights", 2)
        self.platform.endpoints.deploy(ADMIN, "diverted", model="flights", version=1, package=version.package)
        config = CanaryConfig(ramp=(20, 50), min_units_per_step=200)
        rollout = self.platform.rollouts.start(
            ADMIN, "diverted", model="flights", version=2, package="c" * 64, config=config
        )
        self.ids["rolled_back"] = rollout.id
        for day in range(27, 31):
            self._serve("diverted", day, worse=0.0, shift=0.0)
            rollout = self.platform.rollouts.advance(ADMIN, rollout.id)

    def _pipelines(self) -> None:
        pipelines = self.platform.pipelines
        good, bad = _pipeline(self, fails=False), _pipeline(self, fails=True)
        for pipeline, name in ((good, "pipeline_run"), (good, "cached_run"), (bad, "failed_run")):
            run = pipelines.submit(ADMIN, pipeline, {"project": "flights", "start": None, "end": FIRST_DAY})
            Engine(self.platform.records, {pipeline.name: pipeline}).execute(ADMIN, run.id)
            self.ids[name] = run.id
            self.clock.advance(3_600_000)
        self.ids["waiting_run"] = pipelines.submit(ADMIN, good, {"project": "flights"}, trigger="retrain-flights").id

    def _tracked(self) -> None:
        """What an MLflow client leaves behind: a run with parts, data, curves, files and a logged model that is a version."""
        platform, tracking = self.platform, self.platform.tracking
        run = tracking.start_run(ADMIN, EXPERIMENT, name="sweep", tags={NOTE_TAG: NOTE, "team": "core"})
        self.ids |= {"tracked_run": run.id, "experiment": run.experiment_id}
        start, curve = self.clock(), ("loss", "val/auc", "system/cpu_utilization_percentage")
        points = [MetricPoint(key, 1 / (step + 1), start + step * 60_000, step) for key in curve for step in range(500)]
        tracking.log(ADMIN, run.id, metrics=points, params={"lr": "0.01", "depth": "6"})
        read = DatasetInput(
            Dataset("flights 2013", "d1", "http", "https://example.com/f.csv"), {CONTEXT_TAG: "training"}
        )
        platform.run_lineage.log_inputs(ADMIN, run.id, datasets=[read])
        for place in range(3):
            part = tracking.start_run(ADMIN, EXPERIMENT, name=f"trial {place}", parent=run.id)
            tracking.log(ADMIN, part.id, metrics={"val/auc": 0.7 + place / 100}, params={"lr": f"0.{place + 1}"})
            tracking.finish_run(ADMIN, part.id)
            self.ids[f"part_{place}"] = part.id
        model = platform.logged_models.create(
            ADMIN, run.experiment_id, name="classifier", source_run=run.id, params={"C": HOSTILE}, tags={"t": HOSTILE}
        )
        self.ids["logged_model"] = model.id
        platform.run_lineage.log_outputs(ADMIN, run.id, [ModelOutput(model.id, 3)])
        tracking.log(
            ADMIN,
            run.id,
            metrics=[MetricPoint("accuracy", 0.9, start)],
            of_models=[ModelMetric(model.id, run.id, "accuracy", 0.9, start, dataset_name="flights 2013")],
        )
        for path, content in FILES.items():
            platform.artifacts.put(ADMIN, platform.artifacts.locate("default", run.artifact_uri, path), [content])
        described = platform.artifacts.locate("default", model.artifact_location, "MLmodel")
        platform.artifacts.put(ADMIN, described, [b"flavors: {}"])
        platform.logged_models.finalize(ADMIN, model.id, "READY")
        platform.registry.create_model(ADMIN, "tracked")
        for alias in ("champion", "challenger"):
            made = platform.registry.create_version(ADMIN, "tracked", source=f"models:/{model.id}", model_id=model.id)
            platform.registry.set_alias(ADMIN, "tracked", alias, made.number, reason="it is better")
        platform.registry.set_alias(ADMIN, "tracked", "champion", 2, reason="so is this")
        platform.registry.set_stage(ADMIN, "tracked", 1, "Production")
        platform.registry.set_stage(ADMIN, "tracked", 2, "Production", archive_existing=True)

    def _hostile(self) -> None:
        """Records whose every free text tries to become markup."""
        run = self.platform.tracking.start_run(ADMIN, HOSTILE, name=HOSTILE, tags={"note": HOSTILE, NOTE_TAG: HOSTILE})
        self.platform.tracking.log(ADMIN, run.id, params={"p": HOSTILE})
        self.ids["hostile_run"] = run.id
        name = HOSTILE.replace("/", "|")
        version = self.platform.registry.register(
            ADMIN,
            name,
            package=self.platform.blobs.put(b"hostile"),
            run_id=run.id,
            snapshot=self.ids["snapshot"],
            signature={"inputs": [{"name": HOSTILE, "datatype": HOSTILE, "shape": [-1, 1]}], "outputs": []},
            metrics={"roc_auc": float("nan")},
            slices={"slices": [{"column": HOSTILE, "value": HOSTILE, "rows": 3, "metrics": {HOSTILE: 0.1}}]},
            parity={},
            environment={HOSTILE: HOSTILE},
            code_version=HOSTILE,
            parameters={HOSTILE: HOSTILE},
            description=HOSTILE,
        )
        self.platform.registry.set_alias(ADMIN, name, "try", version.number, reason=HOSTILE)
        self.platform.governance.request(
            ADMIN, name, version.number, "production", author="u-ada", evidence={HOSTILE: HOSTILE}
        )
        self.ids["hostile_model"] = name

    def _wide(self) -> None:
        """Two snapshots of more columns than a page shows, some with hostile names and values."""
        for name, shift in (("wide_before", 0.0), ("wide", 2.0)):
            rng = np.random.default_rng(9)
            columns: dict[str, object] = {f"sensor_{i:03}": rng.normal(shift * (i < 3), 1, 300) for i in range(120)}
            columns |= {HOSTILE: [HOSTILE, '"><img src=x onerror=alert(1)>', "</style></script>"] * 100}
            columns |= {
                "{{ 7 * 7 }}' onmouseover='alert(1)": rng.integers(0, 5, 300),
                "empty": pa.nulls(300, pa.float64()),
            }
            kept = self.platform.data.ingest(ADMIN, "wide", pa.table(columns), source=HOSTILE)
            self.ids[name] = kept.id

    def _seal(self) -> None:
        platform = self.platform
        signer = Signer.in_folder(platform.keys_folder)
        Sequencer(platform.database, platform.journal_folder, signer, clock=self.clock).integrate()
        platform.outbox.collect()
        waiting = platform.outbox.head(self.ids["webhook"])
        assert waiting is not None
        platform.outbox.finish(waiting, Answer(404, "Nobody is here."))
        self.ids["delivery"] = platform.webhooks.deliveries("default", self.ids["webhook"])[0].id
        self.clock.advance(120_000)


def populate(home: Path) -> Story:
    """A platform with a history, in `home`."""
    return Story(home).tell()


def empty(home: Path) -> Platform:
    """A platform in which nothing has happened."""
    return open_platform(Settings(home=home), FakeClock())


def _flights(rng: np.random.Generator, rows: int, start: int, shift: float = 0.0) -> pa.Table:
    hour = np.clip(rng.normal(13 + shift, 4, rows), 0, 23)
    return pa.table(
        {
            "time": start + np.sort(rng.integers(0, DAY - 1, rows)),
            "hour": hour.astype(np.float32),
            "distance": rng.gamma(3, 400, rows).astype(np.float32),
            "temperature": rng.normal(2 - 6 * shift, 6, rows).astype(np.float32),
            "wind": (rng.gamma(2, 5, rows) * (1 + shift / 3)).astype(np.float32),
            "carrier": rng.choice(CARRIERS, rows),
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            "late": rng.random(rows) < 0.3,
        }
    )


def _inputs(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["time", "late"])


def _slices(auc: float) -> list[dict[str, object]]:
    return [
        {
            "column": column,
            "value": value,
            "rows": 900 - 70 * index,
            "metrics": {"roc_auc": auc - 0.01 * index, "log_loss": 0.5},
        }
        for column, values in (("origin", ("EWR", "JFK", "LGA")), ("carrier", CARRIERS))
        for index, value in enumerate(values)
    ]


_SIGNATURE = {
    "inputs": [
        {"name": "hour", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "distance", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
    ],
    "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
}


def _pipeline(story: Story, *, fails: bool) -> Pipeline:
    def step(name: str, *needs: str, took: int, **outputs: JSON) -> Step:
        def run(context: StepContext) -> Mapping[str, JSON]:
            story.clock.advance(took)
            context.progress(1.0, f"{name} done")
            if fails and name == "evaluate":
                raise ValueError("roc_auc 0.58 is below the gate 0.65")
            return outputs

        return Step(name, needs, run, version="1", cached=name in {"features", "tune"})

    ids = story.ids
    steps = [
        step("ingest", took=4_200, snapshot=ids["snapshot"]),
        step("validate", "ingest", took=1_300, anomalies=0),
        step("features", "ingest", "validate", took=2_700, columns=24),
        step("tune", "features", took=48_000, trials=20, value=0.512),
        step("train", "features", "tune", took=9_000, run=ids["run"]),
        step("evaluate", "ingest", "train", took=1_800, metrics={"roc_auc": 0.74}),
        step("register", "train", "evaluate", took=200, model="flights", version=2),
    ]
    return Pipeline("train-flights-broken" if fails else "train-flights", steps)
