"""Reads all that a server holds through the client, with what differs from server to server taken out; prints it."""

import hashlib
import json
import pathlib
import re
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType

client = MlflowClient()
experiments = {each.experiment_id: each.name for each in client.search_experiments(view_type=ViewType.ALL)}


def plain(text):
    """An artifact location without the experiment's own number, which servers give."""
    return re.sub(r"mlflow-artifacts:(//[^/]*)?/\d+/", "mlflow-artifacts:/EXPERIMENT/", str(text))


def digests(uri):
    """SHA-256 of every file below a URI."""
    if not uri.startswith("mlflow-artifacts:"):
        return uri
    if not mlflow.artifacts.list_artifacts(artifact_uri=uri):
        return {}
    folder = pathlib.Path(tempfile.mkdtemp())
    mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def points(run):
    return {
        key: [[repr(each.value), each.timestamp, each.step] for each in client.get_metric_history(run.info.run_id, key)]
        for key in sorted(run.data.metrics)
    }


def run_of(run):
    info = {
        key: value for key, value in dict(run.info).items() if key not in {"experiment_id", "artifact_uri", "run_uuid"}
    }
    inputs = [[dict(each.dataset), {tag.key: tag.value for tag in each.tags}] for each in run.inputs.dataset_inputs]
    return {
        "info": {
            **info,
            "experiment": experiments[run.info.experiment_id],
            "artifact_uri": plain(run.info.artifact_uri),
        },
        "params": run.data.params,
        "tags": run.data.tags,
        "latest": {key: repr(value) for key, value in sorted(run.data.metrics.items())},
        "points": points(run),
        "inputs": inputs,
        "outputs": [[each.model_id, each.step] for each in (run.outputs.model_outputs if run.outputs else [])],
        "files": digests(run.info.artifact_uri),
    }


def logged_of(model):
    kept = ("model_id", "name", "model_type", "source_run_id", "status", "tags", "creation_timestamp")
    told = {key: str(getattr(model, key)) for key in kept}
    metrics = sorted(
        [m.key, repr(m.value), m.timestamp, m.step, m.run_id, m.dataset_name, m.dataset_digest]
        for m in model.metrics or []
    )
    return {**told, "params": model.params, "metrics": metrics, "files": digests(model.artifact_location)}


def version_of(version):
    kept = ("name", "version", "creation_timestamp", "current_stage", "description", "run_id", "status", "tags")
    uri = client.get_model_version_download_uri(version.name, version.version)
    files = digests(uri) if uri.startswith("mlflow-artifacts:") else plain(uri)
    told = {key: str(getattr(version, key)) for key in kept}
    return {**told, "source": plain(version.source), "files": files, "aliases": sorted(version.aliases)}


prompts = {f"{number}": [mlflow.genai.load_prompt(f"prompts:/greeting/{number}").template] for number in (1, 2)}
names = {each.name for each in client.search_registered_models()}
registered = {}
for name in sorted(names):
    model = client.get_registered_model(name)
    versions = {}
    for number in range(1, 8):
        try:
            versions[number] = version_of(client.get_model_version(name, str(number)))
        except mlflow.exceptions.MlflowException as error:
            versions[number] = error.error_code
    registered[name] = {
        "description": model.description or "",
        "tags": model.tags,
        "aliases": {alias: str(number) for alias, number in model.aliases.items()},
        "created": model.creation_timestamp,
        "versions": versions,
    }

found = {
    "experiments": {
        each.name: [each.lifecycle_stage, each.tags, each.creation_time, plain(each.artifact_location + "/")]
        for each in client.search_experiments(view_type=ViewType.ALL)
        if each.name != "Default"
    },
    "runs": {run.info.run_id: run_of(run) for run in client.search_runs(list(experiments), run_view_type=ViewType.ALL)},
    "logged": {
        each.model_id: logged_of(each) for each in client.search_logged_models(experiment_ids=list(experiments))
    },
    "registered": registered,
    "prompts": prompts,
    "answer": [float(x) for x in mlflow.pyfunc.load_model("models:/halver@champion").predict([3.0, 5.0])],
}
print(json.dumps(found))
