"""Models of which nothing says what they take, logged and registered; printed: what MLflow's own scoring server makes of requests."""

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.pyfunc import scoring_server

warnings.simplefilter("ignore")
NEW = not mlflow.__version__.startswith("2.")


def told(value: Any) -> Any:
    """What a model was called with, to the last type."""
    if isinstance(value, pd.DataFrame):
        kinds = {str(name): str(kind) for name, kind in value.dtypes.items()}
        return {
            "frame": kinds,
            "index": [str(each) for each in value.index],
            "rows": value.astype(str).to_numpy().tolist(),
        }
    if isinstance(value, np.ndarray):
        return {"array": str(value.dtype), "shape": list(value.shape), "values": value.tolist()}
    if isinstance(value, dict):
        return {"named": {str(name): told(each) for name, each in value.items()}}
    if isinstance(value, list):
        return {"list": [told(each) for each in value]}
    return {type(value).__name__: str(value)}


class Told(mlflow.pyfunc.PythonModel):
    """Answers with what it was asked."""

    def predict(self, context, model_input, params=None):
        return {"input": told(model_input), "params": params or None}


class Various(mlflow.pyfunc.PythonModel):
    """Answers in the manner that its first column is called."""

    def predict(self, context, model_input, params=None):
        rows = len(model_input)
        manner = next(iter(model_input))
        if manner == "a":
            return (model_input["a"] * 2).tolist()
        if manner == "total":
            return np.float64(model_input["total"].sum())
        if manner == "series":
            return pd.Series(np.arange(rows), name="place")
        if manner == "bare":
            return pd.Series(np.arange(rows))
        if manner == "table":
            return pd.DataFrame(
                {
                    "known": np.arange(rows) + 0.5,
                    "unknown": [float("nan")] * rows,
                    "when": pd.to_datetime(["2026-01-02T03:04:05"] * rows),
                    "text": ["é☃"] * rows,
                    "kind": pd.Categorical(["x"] * rows),
                    "number": np.arange(rows, dtype="int8"),
                }
            )
        if manner == "nothing":
            return None
        raise KeyError(manner)


class Mean(mlflow.pyfunc.PythonModel):
    """A list of one for all rows, whose columns are declared."""

    def predict(self, context, model_input, params=None):
        return [float(model_input["a"].mean())]


class Basket(mlflow.pyfunc.PythonModel):
    """Takes lists and objects, which its signature declares."""

    def predict(self, context, model_input, params=None):
        return [
            {"sum": float(np.sum(row["prices"])), "name": row["who"]["name"], "given": params}
            for row in model_input.to_dict("records")
        ]


def log(name, model, **more):
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            **{"name" if NEW else "artifact_path": name}, python_model=model, registered_model_name=name, **more
        )


mlflow.set_experiment("documents")
numbers = pd.DataFrame({"a": [1.0, 2.0]})
log("told", Told())
log("various", Various())
log("mean", Mean(), signature=mlflow.models.infer_signature(numbers, [1.0, 2.0]))
basket = pd.DataFrame({"prices": [[1.0, 2.0], [3.0]], "who": [{"name": "ann"}, {"name": "bob"}]})
log("basket", Basket(), signature=mlflow.models.infer_signature(basket, params={"rate": 0.5}), input_example=basket)
if NEW:

    class Hinted(mlflow.pyfunc.PythonModel):
        """Its signature is its type hint."""

        def predict(self, model_input: list[str]) -> list[str]:
            return [text.upper() for text in model_input]

    class Chat(mlflow.pyfunc.ChatModel):
        """Says what it heard."""

        def predict(self, context, messages, params):
            return mlflow.types.llm.ChatCompletionResponse.from_dict(
                {
                    "id": "one",
                    "created": 1,
                    "model": "echo",
                    "choices": [
                        {"index": 0, "message": {"role": "assistant", "content": messages[-1].content.upper()}}
                    ],
                }
            )

    log("hinted", Hinted(), input_example=["a", "b"])
    log("chat", Chat())

FORMS = [
    {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}},
    {"dataframe_split": {"columns": ["a"], "index": [5, 6], "data": [[1.5], [None]]}},
    {"dataframe_split": {"data": [[1, 2.5], [3, 4]]}},
    {"dataframe_split": {"columns": ["a", "b"], "data": [[1], [2, 3]]}},
    {"dataframe_split": {"columns": ["a"], "data": [[1]], "more": 1}},
    {"dataframe_split": [1]},
    {"dataframe_records": [{"a": 1, "b": "x"}, {"a": 2.5}]},
    {"dataframe_records": {"a": 1}},
    {"dataframe_records": [{"a": True, "c": [1, 2]}]},
    {"instances": [[1, 2], [3, 4]]},
    {"instances": [1.5, 2]},
    {"instances": [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}]},
    {"instances": [{"a": 1}, {"b": 1, "a": 2}]},
    {"instances": {"a": [1, 2]}},
    {"instances": [[1], [2, 3]]},
    {"inputs": [[1, 2], [3, 4]]},
    {"inputs": {"a": [1, 2], "b": ["x", "y"]}},
    {"inputs": [{"a": 1}, {"a": [2, 3]}]},
    {"inputs": "one"},
    {"inputs": 3},
    {"inputs": ["a", "b"]},
    {"inputs": []},
    {"instances": []},
    {"inputs": {}},
    {"instances": [{"a": 1}, 2]},
    {"instances": [1, {"a": 1}]},
    {"dataframe_records": []},
    {"dataframe_split": {"columns": [], "data": []}},
    {"inputs": None},
    {"inputs": [None, 1]},
    {"inputs": True},
    {"inputs": [["☃"]], "params": {"rate": 0.25}},
    {"inputs": {"a": [2**70]}},
    {"inputs": {"prices": [[1.0], [2.0, 3.0]], "who": [{"name": "x"}, {"name": "y"}]}},
    {"dataframe_records": [{"prices": [1, 2], "who": {"name": "x"}}], "params": {"rate": 0.25}},
    {"dataframe_records": [{"prices": ["no"], "who": {"name": "x"}}]},
    {"dataframe_split": {"columns": ["a"], "data": [[1]]}, "inputs": [1]},
    {"messages": [{"role": "user", "content": "hello"}]},
    {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5},
    {"messages": []},
    *({"inputs": {manner: [1, 2]}} for manner in ("total", "series", "bare", "table", "nothing")),
    *(
        {"dataframe_split": {"columns": [manner], "data": [[1], [2]]}}
        for manner in ("total", "series", "bare", "table")
    ),
    {"nothing": 1},
    [1],
    3,
]
BODIES = [("application/json", json.dumps(each)) for each in FORMS]
BODIES += [
    ("application/json", '{"inputs": [NaN, 1.0, Infinity]}'),
    ("application/json", "{"),
    ("application/json", '{"dataframe_split": {"columns": ["a"], "data": [[NaN], [1]]}}'),
    ("text/csv", "a,b\n1,x\n2,\n"),
    ("text/csv", "a\n1.5\nNaN\n"),
    ("text/csv", 'a,b\n1,"x\n'),
]


def scored(model, kind, body):
    try:
        found = scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())
    except mlflow.MlflowException as error:
        return error.get_http_status_code(), str(error.message)
    return found.status, found.response


names = ["told", "various", "mean", "basket", *(["hinted", "chat"] if NEW else [])]
answered = {}
for name in names:
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    answered[name] = [[kind, body, *scored(model, kind, body)] for kind, body in BODIES]

parquet = io.BytesIO()
pd.DataFrame(
    {
        "small": np.array([1, 2], "int8"),
        "half": np.array([1.5, 2.5], "float32"),
        "when": pd.to_datetime(["2026-01-02T00:00:00", "2026-01-03T04:05:06"]).astype("datetime64[ns]"),
        "zone": pd.to_datetime(["2026-01-02", "2026-01-03"]).tz_localize("UTC").astype("datetime64[ns, UTC]"),
        "text": ["x", None],
        "gaps": [1.0, None],
        "truth": [True, False],
        "kind": pd.Categorical(["u", "v"]),
    }
).to_parquet(parquet)
Path("table.parquet").write_bytes(parquet.getvalue())
model = mlflow.pyfunc.load_model("models:/told/1")
answered["told"].append(
    ["application/vnd.apache.parquet", "", 200, json.dumps({"predictions": model.predict(pd.read_parquet(parquet))})]
)
sys.stdout.write(json.dumps(answered) + "\n")
