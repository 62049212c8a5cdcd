"""Fills a server with everything that the classic API can hold; prints the names of what is to be looked at."""

import json
import math
import pathlib
import tempfile

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

client = MlflowClient()
folder = pathlib.Path(tempfile.mkdtemp())


class Halving(mlflow.pyfunc.PythonModel):
    """A model without any library."""

    def predict(self, model_input: list[float]) -> list[float]:
        return [value / 2 for value in model_input]


def fill_experiment(name):
    made = client.create_experiment(name, tags={"team": "risk", "ünïcode": "✓"})
    client.set_experiment_tag(made, "mlflow.note.content", "# Notes\n" + "x" * 3000)
    for number in range(3):
        run = client.create_run(
            made, start_time=1_600_000_000_000 + number, tags={"kind": "hand"}, run_name=f"r{number}"
        )
        run_id = run.info.run_id
        points = [Metric("loss", 1 / (step + 1), 1_600_000_000_000 + step, step) for step in range(1500)]
        for start in range(0, len(points), 500):
            client.log_batch(run_id, metrics=points[start : start + 500])
        odd = [
            Metric("odd", math.nan, 5, 0),
            Metric("odd", math.inf, 5, 1),
            Metric("odd", -math.inf, 5, 2),
            Metric("odd", 1.5, 7, -3),
            Metric("a/b c", -0.0, 0, 0),
        ]
        client.log_batch(
            run_id, odd, [Param("lr", "0.1"), Param("empty", ""), Param("long", "é" * 3000)], [RunTag("t", "v" * 4000)]
        )
        client.set_terminated(run_id, ["FINISHED", "FAILED", "KILLED"][number], end_time=1_600_000_009_000)
    return made


main = fill_experiment("team/α experiment")
gone = fill_experiment("gone")
runs = client.search_runs([main])
client.delete_run(runs[0].info.run_id)
client.delete_experiment(gone)

running = client.create_run(main, run_name="still running")
client.log_metric(running.info.run_id, "early", 1.0)

mlflow.set_experiment("team/α experiment")
(folder / "in" / "deep").mkdir(parents=True)
(folder / "in" / "deep" / "ünï cöde & 100%.txt").write_text("words", encoding="utf-8")
(folder / "in" / "big.bin").write_bytes(bytes(range(256)) * 20_000)
(folder / "in" / "empty").write_bytes(b"")
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_artifacts(str(folder / "in"), "files")
    mlflow.log_dict({"a": 1}, "top.json")
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    data = mlflow.data.from_pandas(frame, source="s3://b/data.csv", name="flights", targets="y")
    mlflow.log_input(data, context="training", tags={"why": "test"})
    with mlflow.start_run(run_name="child", nested=True):
        mlflow.log_metric("deep", 3.0)
    first = mlflow.pyfunc.log_model(
        name="halving", python_model=Halving(), params={"p": 1}, registered_model_name="halver"
    )
    mlflow.log_metric("quality", 0.9, model_id=first.model_id, dataset=data)
    old_way = mlflow.pyfunc.log_model(name="second", python_model=Halving())
    mlflow.set_tag("mlflow.note.content", "hello")

for _ in range(3):
    client.create_model_version("halver", f"models:/{old_way.model_id}", model_id=old_way.model_id, description="again")
client.delete_model_version("halver", "3")
client.delete_model_version("halver", "4")  # the highest: its number is never given again
client.update_registered_model("halver", "halves what it is given")
client.set_registered_model_tag("halver", "owner", "ana")
client.set_model_version_tag("halver", "2", "checked", "yes")
client.set_registered_model_alias("halver", "champion", 1)
client.set_registered_model_alias("halver", "challenger", 2)
client.transition_model_version_stage("halver", "1", "Production")
client.transition_model_version_stage("halver", "2", "Staging")
client.create_registered_model('it\'s "empty"', tags={"x": "y"}, description="nothing in it")
client.create_registered_model("elsewhere")
client.create_model_version("elsewhere", "s3://bucket/model")
client.copy_model_version("models:/halver/1", "copied")
client.create_model_version("elsewhere", f"runs:/{parent.info.run_id}/files", run_id=parent.info.run_id)
direct = f"{parent.info.artifact_uri}/files"
client.create_model_version("elsewhere", direct, run_id=parent.info.run_id)
mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first")
mlflow.genai.register_prompt("greeting", "Good day {{name}}")
client.create_experiment("apart", artifact_location="s3://bucket/apart")
client.create_run(client.get_experiment_by_name("apart").experiment_id)

print(json.dumps({"parent": parent.info.run_id, "main": main, "running": running.info.run_id}))
