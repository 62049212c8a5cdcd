"""A small MLflow server that holds something of everything, with names that tests go by."""

from __future__ import annotations

from typing import Any

from bailiwick.lifecycle.platform import Platform
from tests_support.fake_mlflow import FakeMlflow

RUNS = [f"{number:032x}" for number in range(1, 6)]
GONE = "f" * 32
"""A run of the deleted experiment."""
MODEL = f"m-{'a' * 32}"
EVERYTHING = {
    "experiments": 3,
    "runs": 6,
    "params": 6,
    "tags": 12,
    "metric_points": 66,
    "dataset_inputs": 1,
    "logged_models": 1,
    "artifact_files": 4,
    "artifact_bytes": 33,
    "registered_models": 2,
    "model_versions": 4,
    "aliases": 1,
    "stages": 1,
}


def a_server() -> FakeMlflow:
    """Three experiments, six runs, a logged model, two registered models."""
    fake = FakeMlflow()
    fake.experiment("0", "Default")
    fake.experiment("7", "flights", tags=[{"key": "team", "value": "risk"}])
    fake.experiment("9", "old", lifecycle_stage="deleted")
    for run_id in RUNS:
        fake.run(run_id, "7", points={"loss": 10, "a/b": 2})
    fake.run(GONE, "9", points={"loss": 6}, lifecycle_stage="deleted")
    fake.runs[RUNS[3]]["info"]["lifecycle_stage"] = "deleted"
    first = fake.runs[RUNS[0]]
    dataset = {"name": "d", "digest": "abc", "source_type": "s3", "source": "{}", "schema": "[]"}
    first["inputs"] = {
        "dataset_inputs": [{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "eval"}]}]
    }
    first["outputs"] = {"model_outputs": [{"model_id": MODEL, "step": 3}]}
    place = f"7/{RUNS[0]}/artifacts"
    fake.files = {
        f"{place}/top.txt": b"top",
        f"{place}/deep/er/ü ñ.bin": b"0123456789",
        f"{place}/empty": b"",
        f"7/models/{MODEL}/artifacts/MLmodel": b"flavors: {python: 1}",
    }
    fake.logged.append(
        {
            "info": {
                "model_id": MODEL,
                "experiment_id": "7",
                "name": "late",
                "status": "LOGGED_MODEL_READY",
                "source_run_id": RUNS[0],
                "artifact_uri": f"mlflow-artifacts:/7/models/{MODEL}/artifacts",
                "creation_timestamp_ms": 3_000,
                "last_updated_timestamp_ms": 4_000,
                "tags": [{"key": "k", "value": "v"}],
            },
            "data": {
                "params": [{"key": "p", "value": "1"}],
                "metrics": [
                    {"key": "auc", "value": 0.5, "timestamp": 1, "step": 0, "run_id": RUNS[0]},
                    {"key": "auc", "value": "NaN", "timestamp": 2, "step": 1, "run_id": RUNS[0]},
                ],
            },
        }
    )
    fake.model(
        "late", 1, 2, 5, aliases={"champion": 2}, description="says who is late", tags=[{"key": "o", "value": "ana"}]
    )
    fake.model("other", 1)
    for version in fake.versions:
        if (version["name"], version["version"]) == ("late", "2"):
            version |= {
                "source": f"models:/{MODEL}",
                "current_stage": "Production",
                "run_id": RUNS[0],
                "description": "d",
            }
            version |= {"tags": [{"key": "checked", "value": "yes"}]}
        if (version["name"], version["version"]) == ("late", "5"):
            version |= {"source": f"mlflow-artifacts:/7/{RUNS[0]}/artifacts/deep", "run_id": RUNS[0]}
    return fake


def state(platform: Platform) -> dict[str, Any]:
    """What is kept, without times of our own."""
    tracking, registry = platform.tracking, platform.registry
    experiments = [*tracking.experiments("default"), *tracking.experiments("default", lifecycle="deleted")]
    runs = [
        *tracking.runs("default", limit=1000),
        *tracking.runs("default", limit=1000, lifecycle="deleted"),
    ]
    return {
        "experiments": sorted(
            (each.name, each.lifecycle, tuple(each.tags.items()), each.created) for each in experiments
        ),
        "runs": sorted((each.id, repr(each)) for each in runs),
        "points": {
            run.id: repr(tracking.metric_history("default", run.id, key)) for run in runs for key in run.metrics
        },
        "links": repr(sorted(platform.run_lineage.links("default", [run.id for run in runs]).items())),
        "files": sorted((each.path, each.digest) for each in platform.artifacts.files("default", "")),
        "logged": repr(platform.logged_models.model("default", MODEL)),
        "models": [
            (each.name, each.description, each.newest, each.tags, each.aliases) for each in registry.models("default")
        ],
        "versions": [
            (each.model, each.number, each.source, each.storage, each.stage, each.created, each.tags)
            for model in registry.models("default")
            for each in registry.versions("default", model.name)
        ],
    }
