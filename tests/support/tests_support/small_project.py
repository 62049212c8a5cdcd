"""A project that trains in a second, for tests that run it, interrupt it and damage it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PROJECT = """\
project: small
data:
  source: rows.csv
  time: at
  key: id
  label: {column: late, positive: 1}
features:
  x: number
train:
  entrypoint: train:fit
evaluate:
  metrics: [roc_auc, log_loss]
  gates: ["roc_auc >= 0.5"]
deploy:
  endpoint: small
"""
TRAIN = """\
import time
from pathlib import Path
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent

def fit(train, valid, params, report):
    (HERE / "fitting").touch()
    while (HERE / "hold").exists():
        time.sleep(0.02)
    if (HERE / "fail").exists():
        raise RuntimeError("no convergence today")
    return LogisticRegression().fit(train.features, train.labels)
"""


def write_project(folder: Path) -> Path:
    """`bailiwick.yaml`, `train.py`, `rows.csv`. A file `hold` makes training wait, a file `fail` makes it raise."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bailiwick.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    rng = np.random.default_rng(7)
    x = rng.normal(size=2000)
    late = (rng.random(2000) < 1 / (1 + np.exp(-2 * x))).astype(int)
    lines = [f"{1_357_000_000_000 + row * 60_000},r{row},{x[row]:.4f},{late[row]}" for row in range(2000)]
    (folder / "rows.csv").write_text("\n".join(["at,id,x,late", *lines]) + "\n", encoding="utf-8")
    return folder
