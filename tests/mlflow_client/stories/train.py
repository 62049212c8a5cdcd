"""A training script that knows nothing of how it is run."""

import sys
import time

import mlflow

print("training", flush=True)
with mlflow.start_run() as run:
    mlflow.log_param("lr", 0.1)
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_text("hello", "notes/hello.txt")
    if "slow" in sys.argv:
        print("waiting", flush=True)
        time.sleep(60)
    if "crash" in sys.argv:
        raise RuntimeError("the loss is not a number")
print("done", file=sys.stderr)
