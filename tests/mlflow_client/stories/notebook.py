"""What a data scientist's notebook does: an experiment, autologging, hand-made logging, a model registered and loaded."""

import json
import math
import pathlib
import tempfile

import mlflow
from mlflow import MlflowClient
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

found = {}
features, labels = load_iris(return_X_y=True, as_frame=True)
mlflow.set_experiment("iris")
mlflow.sklearn.autolog()
with mlflow.start_run(run_name="autologged") as run:
    LogisticRegression(max_iter=300).fit(features, labels)
client = MlflowClient()
logged = client.get_run(run.info.run_id)
found["autologged"] = {
    "name": logged.info.run_name,
    "status": logged.info.status,
    "params": logged.data.params["max_iter"],
    "accuracy": "training_accuracy_score" in logged.data.metrics,
    "inputs": len(logged.inputs.dataset_inputs),
}

mlflow.sklearn.autolog(disable=True)
with mlflow.start_run() as run:
    mlflow.log_params({"lr": 0.1, "layers": 3})
    mlflow.set_tags({"team": "core", "mlflow.note.content": "by hand"})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"nan": math.nan, "infinite": math.inf}, step=1)
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_dict({"a": [1, 2]}, "notes/data.json")
    with mlflow.start_run(nested=True, run_name="child") as child:
        mlflow.log_metric("loss", 0.5)
    model = LogisticRegression(max_iter=300).fit(features, labels)
    info = mlflow.sklearn.log_model(model, "model", registered_model_name="iris", input_example=features.head(2))
logged = client.get_run(run.info.run_id)
history = client.get_metric_history(run.info.run_id, "loss")
with tempfile.TemporaryDirectory() as folder:
    path = client.download_artifacts(run.info.run_id, "notes", folder)
    found["artifacts"] = sorted(each.name for each in pathlib.Path(path).iterdir())
    found["text"] = pathlib.Path(path, "hello.txt").read_text()
found["logged"] = {
    "params": logged.data.params,
    "team": logged.data.tags["team"],
    "loss": logged.data.metrics["loss"],
    "nan": math.isnan(logged.data.metrics["nan"]),
    "largest": logged.data.metrics["infinite"],
    "history": [[point.step, point.value] for point in history],
    "parent": client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id,
}

searched = mlflow.search_runs(filter_string="metrics.loss < 0.3 and params.lr = '0.1'", order_by=["metrics.loss DESC"])
found["searched"] = list(searched["run_id"]) == [run.info.run_id]

version = client.get_model_version("iris", "1")
client.set_registered_model_alias("iris", "champion", "1")
client.set_model_version_tag("iris", "1", "checked", "yes")
loaded = mlflow.pyfunc.load_model("models:/iris@champion")
again = mlflow.sklearn.load_model("models:/iris/1")
found["registry"] = {
    "run": version.run_id == run.info.run_id,
    "tags": client.get_model_version_by_alias("iris", "champion").tags,
    "aliases": client.get_registered_model("iris").aliases,
    "models": [each.name for each in client.search_registered_models()],
    "predictions": bool((loaded.predict(features) == model.predict(features)).all()),
    "same": bool((again.predict(features) == model.predict(features)).all()),
    "from_run": bool((mlflow.pyfunc.load_model(info.model_uri).predict(features) == model.predict(features)).all()),
}
client.delete_run(child.info.run_id)
found["deleted"] = client.get_run(child.info.run_id).info.lifecycle_stage
print(json.dumps(found))
