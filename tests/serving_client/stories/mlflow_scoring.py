"""What MLflow's scoring client does, and its tables in every content type."""

import io
import json
import sys

import numpy as np
import pandas as pd
import requests
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = sys.argv[1].split(":")
client = ScoringServerClient(host, int(port))
url = f"http://{host}:{port}/invocations"
client.wait_server_ready(timeout=10)
found = {"ping": client.ping() is None, "version": client.get_version()}

frame = pd.DataFrame({"x": [1.0, 2.5, None], "carrier": ["AA", "UA", "??"], "unused": [1, 2, 3]})
found["frame"] = client.invoke(frame, params={"any": 1})["predictions"]
# What the client itself would write for a mapping of arrays, if it could (it fails on any).
arrays = json.dumps({"inputs": {"x": [1.0, np.nan], "carrier": ["AA", "AA"]}})
answer = requests.post(url, arrays, headers={"Content-Type": "application/json"}, timeout=20)
found["arrays"] = answer.json()["predictions"]
for kind, data in (
    ("text/csv", frame.to_csv()),
    ("application/vnd.apache.parquet", frame.to_parquet()),
    ("application/json", json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split"))})),
    ("application/json; charset=utf-8", json.dumps({"dataframe_records": json.loads(frame.to_json(orient="records"))})),
):
    answer = requests.post(url, data=data, headers={"Content-Type": kind}, timeout=20)
    found.setdefault("tables", []).append(answer.json()["predictions"])
sink = io.BytesIO()
frame.astype({"carrier": "category"}).to_parquet(sink)
answer = requests.post(url, sink.getvalue(), headers={"Content-Type": "application/vnd.apache.parquet"}, timeout=20)
found["tables"].append(answer.json()["predictions"])
try:
    client.invoke(frame[["x"]])
except Exception as error:  # the client raises no narrower one
    found["error"] = str(error)
print(json.dumps(found))
