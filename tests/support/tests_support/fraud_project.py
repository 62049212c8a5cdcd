"""A small project whose pipeline takes seconds: transactions, and whether they went bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import engine_for, training_pipeline
from bailiwick.pipelines.model import PipelineRun
from bailiwick.pipelines.project import load_project

DAY = 86_400_000
START = 1_700_006_400_000

PROJECT = """\
project: fraud
data:
  source: data/*.parquet
  time: at
  key: id
  label: {column: bad, positive: 1}
  schema: schema.pbtxt
features:
  amount: number
  country: {category: {min_count: 5}}
train:
  entrypoint: fraud:fit
  tune: {trials: 2, pruner: none, metric: log_loss, space: {c: {float: [0.1, 1.0]}}}
evaluate:
  holdout: newest 3d
  slices: [country]
  gates: ["roc_auc >= 0.7"]
deploy:
  endpoint: fraud
  strategy: {canary: {ramp: [50, 100], min_units: 50}}
monitor:
  window: 1d
  performance: {metric: log_loss, outcome_delay: 1h}
retrain: {on: [alarm], window: 30d, cooldown: 2d}
govern:
  card:
    intended_use: Hold back payments that look like fraud.
    out_of_scope: Deciding about people.
    limitations: Two countries, one month.
    ethical_considerations: A payment held back wrongly can be released by hand.
    personal_data: None; the rows are made up.
    contact: fraud@example.com
  approvals:
    production: {approvers: 1, not_author: true, evidence: [gates, parity, card]}
"""

CODE = """\
from sklearn.linear_model import LogisticRegression


def fit(train, valid, params, report):
    return LogisticRegression(C=params["c"], max_iter=200).fit(train.features, train.labels)
"""


def rows(*, days: int = 10, a_day: int = 200, seed: int = 1, first_day: int = 0) -> pa.Table:
    """Transactions whose amount and country tell much about `bad`."""
    random = np.random.default_rng(seed)
    count = days * a_day
    amount = random.normal(size=count)
    country = random.choice(["AT", "BE", "CH"], size=count)
    score = 2 * amount + np.where(country == "CH", 1.0, 0.0) - 0.5
    bad = (random.uniform(size=count) < 1 / (1 + np.exp(-score))).astype(np.int64)
    at = START + first_day * DAY + np.arange(count) * (DAY // a_day)
    ids = [f"t{first_day}-{index}" for index in range(count)]
    return pa.table({"id": ids, "at": at, "amount": amount, "country": country, "bad": bad})


def run_pipeline(platform: Platform, actor: Actor, folder: Path, **params: object) -> PipelineRun:
    """Apply the project and run its pipeline here."""
    project = apply_project(platform, actor, load_project(folder))
    wanted = {"project": project.name, "start": None, "end": None, "reason": "test", **params}
    submitted = platform.pipelines.submit(actor, training_pipeline(platform, project), wanted)  # type: ignore[arg-type]
    return engine_for(platform, submitted).execute(actor, submitted.id)
