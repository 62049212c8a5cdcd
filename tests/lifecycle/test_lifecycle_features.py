"""Features of every kind, from the project file to the package that serves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import score
from bailiwick.lifecycle.training.declared import declared_features
from bailiwick.pipelines.project import load_project
from bailiwick.serving.runtime import OnnxRuntime
from bailiwick.training.metadata import read_metadata
from tests_support.fraud_project import PROJECT, rows
from tests_support.fraud_project import run_pipeline as run

SMALL = "  amount: number\n  country: {category: {min_count: 5}}\n"
ALL = """\
  amount: {scale: {method: robust, impute: mean, clip_quantiles: [0.01, 0.99], indicator: true}}
  share: {target: {column: country, smoothing: 5, folds: 4}}
  when: {date: {column: at, parts: [hour_cyclic, weekday]}}
  land: {hash: {column: country, buckets: 16, one_hot: true}}
  size: {text: {column: country}}
  words: {ngrams: {column: country, min_count: 5}}
  rule: {expression: "log1p(abs(amount)) if country in ('AT', 'BE') else 0"}
"""


def test_features_of_every_kind_are_trained_and_served_by_one_graph(
    platform: Platform, admin: Actor, folder: Path, tmp_path: Path
) -> None:
    (folder / "bailiwick.yaml").write_text(PROJECT.replace(SMALL, ALL), encoding="utf-8")
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert version.parity["passed"] is True
    assert version.parity["rows"] >= 1000
    data = platform.blobs.get(version.package)
    assert read_metadata(onnx.load_from_string(data)).inputs == {"amount": "FP32", "country": "BYTES", "at": "FP64"}
    package = tmp_path / "package.onnx"
    package.write_bytes(data)
    runtime = OnnxRuntime(package)
    runtime.warm_up()
    table = rows(seed=9).slice(0, 20)
    feed = {
        "bailiwick.FP32": np.array(table["amount"].to_pylist(), np.float32).reshape(-1, 1),
        "bailiwick.BYTES": np.array(table["country"].to_pylist(), object).reshape(-1, 1),
        "bailiwick.FP64": np.array(table["at"].to_pylist(), np.float64).reshape(-1, 1),
    }
    named = {block.name: feed[f"bailiwick.{block.specs[0].datatype}"] for block in runtime.blocks}
    (probability,) = runtime.run(named)
    np.testing.assert_allclose(probability, score(data, table), atol=1e-6)


def test_all_mistakes_are_told_with_line_key_value_choices_and_fix(folder: Path) -> None:
    wrong = (
        '  amount: {scale: robus}\n  b: {expression: "bad * 2"}\n  c: {target: {column: id}}\n  d: number\n  e: hash\n'
    )
    file = folder / "bailiwick.yaml"
    file.write_text(PROJECT.replace(SMALL, wrong), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        declared_features(load_project(file))
    first = next(at for at, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1) if "amount" in line)
    told = str(caught.value).splitlines()
    assert told[0] == f"{file} has 4 problems:"
    assert f"{file}:{first}: features.amount Feature 'amount': method 'robus' is not known" in told[1]
    assert "Did you mean 'robust'?" in told[1]
    assert f":{first + 1}: features.b Column 'bad' is the label, so no feature can be made of it." in told[2]
    assert f":{first + 2}: features.c Column 'id' is the key" in told[3]
    assert f":{first + 4}: features.e Feature 'e': hash needs 'buckets'" in told[4]
