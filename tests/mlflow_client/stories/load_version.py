"""Loads a registered version by its name, as any notebook would, and predicts where the libraries it needs are installed."""

import importlib.util
import json
import pathlib
import sys

import mlflow
import pandas as pd

uri, columns = sys.argv[1], json.loads(sys.argv[2])
folder = pathlib.Path(mlflow.artifacts.download_artifacts(uri))
info = mlflow.models.Model.load(str(folder))
found = {
    "flavors": sorted(info.flavors),
    "inputs": info.signature.inputs.input_names(),
    "files": sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()),
    "predictions": None,
    "onnx": None,
}
ready = "onnx" not in info.flavors or (importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"))
if ready:
    answers = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame(columns))
    found["predictions"] = answers.iloc[:, 0].tolist() if hasattr(answers, "iloc") else list(map(float, answers))
if ready and "onnx" in info.flavors:
    found["onnx"] = [each.name for each in mlflow.onnx.load_model(uri).graph.input]
print(json.dumps(found))
