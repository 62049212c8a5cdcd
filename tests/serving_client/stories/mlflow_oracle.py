"""The same requests to MLflow's own scoring server and to ours, both with x + code of carrier + 1000; what differs."""

import json
import math
import socket
import sys
import tempfile
import threading
import time

import mlflow
import pandas as pd
import requests
import uvicorn
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, Schema


class Late(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        codes = model_input["carrier"].map({"AA": 10.0, "UA": 20.0}).fillna(0.0)
        return (model_input["x"].astype("float64") + codes + 1000).to_numpy()


schema = Schema([ColSpec("double", "x"), ColSpec("string", "carrier")])
folder = tempfile.mkdtemp() + "/model"
mlflow.pyfunc.save_model(folder, python_model=Late(), signature=ModelSignature(inputs=schema))
listening = socket.create_server(("127.0.0.1", 0))
oracle = uvicorn.Server(uvicorn.Config(scoring_server.init(mlflow.pyfunc.load_model(folder)), log_level="critical"))
threading.Thread(target=oracle.run, kwargs={"sockets": [listening]}, daemon=True).start()
while not oracle.started:
    time.sleep(0.05)
reference = f"http://127.0.0.1:{listening.getsockname()[1]}/invocations"
url = f"http://{sys.argv[1]}/invocations"

frame = pd.DataFrame({"x": [1.0, 2.5], "carrier": ["AA", "UA"]})
extra = frame.assign(more=1)
split, records = json.loads(frame.to_json(orient="split")), json.loads(frame.to_json(orient="records"))
columns = {"x": [1.0, 2.5], "carrier": ["AA", "UA"]}
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
corpus = {
    "split": (JSON, {"dataframe_split": split}),
    "split, extra column": (JSON, {"dataframe_split": json.loads(extra.to_json(orient="split"))}),
    "split, columns in another order": (
        JSON,
        {"dataframe_split": {"columns": ["carrier", "x"], "data": [["AA", 1.0]]}},
    ),
    "split, no columns": (JSON, {"dataframe_split": {"data": [[1.0, "AA"]]}}),
    "split, short row": (JSON, {"dataframe_split": {"columns": ["x", "carrier"], "data": [[1.0]]}}),
    "split, missing column": (JSON, {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}),
    "split, not an object": (JSON, {"dataframe_split": [1]}),
    "split of records": (JSON, {"dataframe_split": records}),
    "split, other keys": (JSON, {"dataframe_split": {**split, "dtype": 1}}),
    "split without data": (JSON, {"dataframe_split": {"columns": ["x", "carrier"]}}),
    "split, index too short": (JSON, {"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}}),
    "split, no rows": (JSON, {"dataframe_split": {"columns": ["x", "carrier"], "data": []}}),
    "records of split": (JSON, {"dataframe_records": split}),
    "records": (JSON, {"dataframe_records": records}),
    "records, whole number": (JSON, {"dataframe_records": [{"x": 1, "carrier": "AA"}]}),
    "records, text for a number": (JSON, {"dataframe_records": [{"x": "one", "carrier": "AA"}]}),
    "records, number for a text": (JSON, {"dataframe_records": [{"x": 1.0, "carrier": 5}]}),
    "records with params": (JSON, {"dataframe_records": records, "params": {"a": 1}}),
    "instances": (JSON, {"instances": records}),
    "instances of rows": (JSON, {"instances": [[1.0, "AA"]]}),
    "inputs": (JSON, {"inputs": columns}),
    "inputs of records": (JSON, {"inputs": records}),
    "inputs of uneven columns": (JSON, {"inputs": {"x": [1.0, 2.0], "carrier": ["AA"]}}),
    "two forms": (JSON, {"inputs": columns, "instances": records}),
    "no form": (JSON, {"x": 1}),
    "no form, a frame as it is": (JSON, split),
    "two empty forms": (JSON, {"dataframe_records": [], "dataframe_split": {"data": []}}),
    "list": (JSON, [1]),
    "number": (JSON, 1),
    "text": (JSON, "1"),
    "not UTF-8": (JSON, b'{"inputs": "\xff"}'),
    "malformed": (JSON, b"{"),
    "charset": ("application/json; charset=utf-8", {"dataframe_split": split}),
    "other charset": ("application/json; charset=latin-1", {"dataframe_split": split}),
    "other parameter": ("application/json; a=b", {"dataframe_split": split}),
    "other type": ("text/plain", b"x"),
    "csv": (CSV, frame.to_csv(index=False).encode()),
    "csv with index": (CSV, frame.to_csv().encode()),
    "csv, text for a number": (CSV, b"x,carrier\none,AA\n"),
    "csv, empty": (CSV, b""),
    "csv, not UTF-8": (CSV, b"x,carrier\n1,\xff\n"),
    "csv, missing column": (CSV, b"x\n1\n"),
    "parquet": (PARQUET, frame.to_parquet()),
    "parquet, extra column": (PARQUET, extra.to_parquet()),
    "parquet, broken": (PARQUET, b"PAR1"),
}
# What MLflow's own tests look for in its messages.
PHRASES = (
    "Invalid input. Ensure that input is a valid JSON formatted string.",
    "The input must be a JSON dictionary with exactly one of the input fields",
    "Dataframe split format must be a dictionary. Got list",
    "Dataframe records format must be a list of records. Got dictionary.",
    "Provided dataframe_split field is not a valid dataframe representation",
)
different = {}
for name, (kind, body) in corpus.items():
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    theirs = requests.post(reference, data, headers={"Content-Type": kind}, timeout=20)
    ours = requests.post(url, data, headers={"Content-Type": kind}, timeout=20)
    same = theirs.status_code == ours.status_code
    if same and ours.status_code == 200:
        pairs = zip(theirs.json()["predictions"], ours.json()["predictions"], strict=True)
        same = all(math.isclose(one, two, rel_tol=1e-6) for one, two in pairs)
    elif same and ours.status_code == 400:
        same = theirs.json().keys() <= ours.json().keys() | {"error_class", "sqlstate"}
        same &= theirs.json()["error_code"] in {ours.json()["error_code"], "INVALID_PARAMETER_VALUE"}
        same &= all(phrase in ours.text for phrase in PHRASES if phrase in theirs.text)
    elif same:
        same = theirs.headers["content-type"].partition(";")[0] == ours.headers["content-type"].partition(";")[0]
    if not same:
        different[name] = [theirs.status_code, ours.status_code, theirs.text[:160], ours.text[:160]]
print(json.dumps({"asked": len(corpus), "different": different}))
