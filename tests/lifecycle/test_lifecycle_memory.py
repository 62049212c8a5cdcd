"""Training holds the matrix that the learner needs and no more than batches of what it is made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests_support.fraud_project import DAY, PROJECT, START, rows

TEXT_BYTES = 4_000
ROWS = 250_000
A_PART = 10_000

STEPS = """
import json, resource, sys
from pathlib import Path
from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.training.pipeline import training_pipeline
from bailiwick.pipelines.model import StepContext
from bailiwick.pipelines.project import load_project

platform = open_platform(Settings(home=Path(sys.argv[1])))
actor = Actor("u-1", "someone", "default", frozenset(Permission))
wanted = json.loads(sys.argv[3])


def run(folder, outputs):
    project = apply_project(platform, actor, load_project(Path(folder)))
    for step in training_pipeline(platform, project).steps:
        if step.name in wanted and step.name not in outputs:
            inputs = {name: outputs[name] for name in step.needs}
            context = StepContext(project.name, step.name, actor, "u-1", {}, inputs)
            outputs[step.name] = dict(step.run(context))
    return outputs


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


given = json.loads(sys.argv[4])
small = run(sys.argv[2] + "/small", given["small"])  # now everything that any training needs is loaded
before = peak()
large = run(sys.argv[2] + "/large", given["large"])
platform.close()
print(json.dumps({"outputs": {"small": small, "large": large}, "grown": peak() - before}))
"""


def _project(folder: Path, name: str) -> Path:
    (folder / name / "data").mkdir(parents=True)
    text = PROJECT.replace("project: fraud", f"project: {name}").replace("  schema: schema.pbtxt\n", "")
    text = text.replace("  country:", "  note: {hash: 16}\n  country:")
    (folder / name / "bailiwick.yaml").write_text(text, encoding="utf-8")
    code = "from sklearn.linear_model import LogisticRegression\n\n\ndef fit(train, valid, params, report):\n"
    code += "    return LogisticRegression(max_iter=20).fit(train.features[:5000], train.labels[:5000])\n"
    (folder / name / "fraud.py").write_text(code, encoding="utf-8")
    return folder / name


def _write(folder: Path, count: int) -> None:
    """Rows with long notes, small on disk and large in memory; of few different ones, for statistics count each of these."""
    base = rows(days=10, a_day=count // 10)
    at = pa.array(START + np.arange(count) * (10 * DAY // count))
    base = base.set_column(base.column_names.index("at"), "at", at)
    filling = "x" * TEXT_BYTES
    schema = base.schema.append(pa.field("note", pa.string()))
    with pq.ParquetWriter(folder / "data" / "rows.parquet", schema, use_dictionary=False, compression="zstd") as file:
        for first in range(0, count, A_PART):
            part = base.slice(first, A_PART)
            notes = pa.array([f"{filling}{number % 500}" for number in range(first, first + part.num_rows)])
            file.write_table(part.append_column("note", notes))


def _run(folder: Path, steps: list[str], outputs: object) -> dict[str, Any]:
    paths = os.pathsep.join([*(each for each in sys.path if each), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    given = [str(folder / "home"), str(folder), json.dumps(steps), json.dumps(outputs)]
    command = [sys.executable, "-c", STEPS, *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_training_takes_less_than_half_of_the_memory_that_its_table_would(tmp_path: Path) -> None:
    small, large = _project(tmp_path, "small"), _project(tmp_path, "large")
    _write(small, 4_000)
    _write(large, ROWS)
    kept = _run(tmp_path, ["ingest", "validate"], {"small": {}, "large": {}})
    training = ["features", "tune", "train", "evaluate", "register"]
    trained = _run(tmp_path, training, kept["outputs"])
    assert trained["outputs"]["large"]["register"]["version"] == 1
    assert trained["grown"] < ROWS * TEXT_BYTES / 2, f"{trained['grown'] / 2**20:.0f} MiB"
