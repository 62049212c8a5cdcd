"""A run whose rows stay on an engine learns what a run of the same rows read here does, and comes to the same verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict
from bailiwick.data.profile import from_json
from bailiwick.data.splits import draws_of_keys
from bailiwick.lifecycle.inspection import found_before
from bailiwick.lifecycle.lineage.walk import trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training import engine_fitting
from bailiwick.lifecycle.training.matrices import Matrix, graph_of, known_fold, read
from bailiwick.lifecycle.training.splits import divided
from bailiwick.lifecycle.verification import verify_version
from bailiwick.pipelines.model import PipelineRun, StepContext
from bailiwick.pipelines.project import load_project
from tests_support.fraud_project import PROJECT, rows
from tests_support.rows_there import There, outputs, project_text, run_steps

FEATURES = """\
features:
  amount: {scale: {method: standard, impute: mean}}
  country: {category: {min_count: 5}}
  small: {bucketize: {column: amount, buckets: 7}}
  fee: {log: {indicator: true}}
  twice: {expression: "amount * 2 + fee"}
  country x shop: {cross: {columns: [country, shop], min_count: 2}}
  remark: {ngrams: {longest: 2, min_count: 3}}
  words: {text: {column: remark, measures: [length]}}
  shop: {one_hot: {min_count: 2}}
  at: {date: [hour, weekday]}
"""
PLAIN = "features:\n  amount: number\n  country: {category: {min_count: 5}}\n"


def wide() -> pa.Table:
    """The rows with more columns, missing values, and moments that several rows share."""
    table, random = rows(days=12), np.random.default_rng(4)
    count = table.num_rows
    fee = random.exponential(size=count).round(3)
    hours = np.asarray(table["at"].to_numpy()) // 3_600_000 * 3_600_000
    shops = random.integers(0, 40, count)
    return (
        table.set_column(1, "at", pa.array(hours))
        .append_column("fee", pa.array(fee, mask=random.uniform(size=count) < 0.1))
        .append_column("shop", pa.array(shops))
        .append_column("remark", pa.array([["late again", "on time", None, "é"][row % 4] for row in range(count)]))
    )


def in_both(
    platform: Platform,
    admin: Actor,
    folder: Path,
    there: There,
    table: pa.Table,
    *only: str,
    changes: list[tuple[str, str]],
) -> tuple[PipelineRun, PipelineRun]:
    """The run of the rows read here, and that of the rows there."""
    pq.write_table(table, folder / "data" / "first.parquet")
    there.put(table)
    text = PROJECT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")
    here = run_steps(platform, admin, folder, *only)
    assert here.status == "FINISHED", here.message
    (folder / "bailiwick.yaml").write_text(project_text(there, *changes), encoding="utf-8")
    return here, run_steps(platform, admin, folder, *only)


SPLITS = [
    [],
    [("  holdout: newest 3d\n", "  holdout: newest 33.3%\n")],
    [("  schema:", "  split: {by: hash, seed: 5}\n  schema:"), ("  holdout: newest 3d\n", "")],
    [("  schema:", "  split: {by: group, column: shop, valid: 0.3}\n  schema:"), ("  holdout: newest 3d\n", "")],
]


@pytest.mark.parametrize("split", SPLITS, ids=["days", "share", "hash", "group"])
def test_features_are_fitted_to_the_same_parameters_bit_for_bit_on_the_same_sides(
    platform: Platform, admin: Actor, folder: Path, there: There, split: list[tuple[str, str]]
) -> None:
    here, theirs = in_both(platform, admin, folder, there, wide(), "features", changes=[(PLAIN, FEATURES), *split])
    assert theirs.status == "FINISHED", theirs.message
    assert outputs(theirs, "features")["digest"] == outputs(here, "features")["digest"]
    assert outputs(theirs, "features")["features"] == outputs(here, "features")["features"]
    sides = []
    for run in (here, theirs):
        snapshot = platform.data.snapshot("default", str(outputs(run, "ingest")["snapshot"]))
        (tag,) = [value for key, value in platform.data.labels("default", snapshot.id).tags.items() if "split" in key]
        sides.append(tag)
    assert sides[0] == sides[1]


def test_a_matrix_comes_in_the_order_of_time_and_is_the_one_made_here(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    here, theirs = in_both(platform, admin, folder, there, rows(), "features", changes=[])
    project = load_project(folder)
    folds = []
    for run in (here, theirs):
        inputs = {"ingest": outputs(run, "ingest"), "features": outputs(run, "features")}
        context = StepContext(
            run_id="r", step="tune", params={}, inputs=inputs, actor=admin, submitted_by=admin.identity
        )
        found = divided(platform, project, context)
        folds.append(known_fold(project, Matrix(platform, read(platform, inputs["features"])), found))
        judged = pa.concat_tables(found.holdout(["id"]))
        found.close()
        assert judged.num_rows == 600
    assert folds[0].features.tobytes() == folds[1].features.tobytes()
    assert folds[0].labels.tolist() == folds[1].labels.tolist()


def test_a_whole_run_comes_to_the_same_verdict_and_its_lineage_names_the_source(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    here, theirs = in_both(platform, admin, folder, there, rows(), changes=[])
    assert theirs.status == "FINISHED", theirs.message
    mine, other = outputs(here, "evaluate"), outputs(theirs, "evaluate")
    assert other["gates"] == mine["gates"]
    assert other["metrics"] == pytest.approx(mine["metrics"])
    assert other["slices"].keys() == mine["slices"].keys()
    first, second = (platform.registry.version("default", "fraud", number) for number in (1, 2))
    profiles = [from_json(platform.blobs.get(each.reference_profile)) for each in (first, second)]
    named = [[feature for feature in each.features if feature.name != "probability"] for each in profiles]
    assert named[0][:2] == named[1][:2]
    source = platform.data.snapshot("default", second.snapshot).source
    lineage = trace(platform, "default", "version/fraud/2")
    assert f"source/{source}" in {node["id"] for node in lineage.nodes}
    assert all(check.passed for check in verify_version(platform, "default", "fraud", 2))
    assert not list(Path(str(platform.settings.home)).rglob(f"{second.snapshot}*.parquet"))


def test_a_gate_that_says_no_here_says_no_there(platform: Platform, admin: Actor, folder: Path, there: There) -> None:
    there.put(rows())
    gate = ('gates: ["roc_auc >= 0.7"]', 'gates: ["roc_auc >= 0.999"]')
    (folder / "bailiwick.yaml").write_text(project_text(there, gate), encoding="utf-8")
    run = run_steps(platform, admin, folder)
    assert run.status == "FAILED"
    assert "1 of 1 gates say no" in run.message


def test_target_encoding_serves_the_same_and_its_training_rows_are_encoded_without_their_own_label(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    features = "features:\n  amount: number\n  shop: {target: {folds: 4}}\n"
    here, theirs = in_both(platform, admin, folder, there, wide(), "features", changes=[(PLAIN, features)])
    assert theirs.status == "FINISHED", theirs.message
    assert outputs(theirs, "features")["features"] == outputs(here, "features")["features"]
    inputs = {"ingest": outputs(theirs, "ingest"), "features": outputs(theirs, "features")}
    fitted = read(platform, inputs["features"])
    assert len(fitted.folds) == 4
    context = StepContext(run_id="r", step="tune", params={}, inputs=inputs, actor=admin, submitted_by=admin.identity)
    found = divided(platform, load_project(folder), context)
    fold = known_fold(load_project(folder), Matrix(platform, fitted), found)
    found.close()
    ordered = wide().sort_by([("at", "ascending"), ("id", "ascending")]).slice(0, len(fold.labels))
    drawn = np.floor(draws_of_keys(ordered["id"], 1) * 4).astype(int)
    assert min(np.bincount(drawn)) > len(drawn) // 5
    expected = np.empty_like(fold.features)
    for number, without in enumerate(fitted.folds):
        places = np.flatnonzero(drawn == number)
        expected[places] = graph_of(without).run(ordered.take(places))
    assert fold.features.tobytes() == expected.tobytes()


def test_many_columns_are_counted_in_few_statements(
    platform: Platform, admin: Actor, folder: Path, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_fitting, "MOST_COLUMNS", 3)
    here, theirs = in_both(platform, admin, folder, there, wide(), "features", changes=[(PLAIN, FEATURES)])
    assert theirs.status == "FINISHED", theirs.message
    assert outputs(theirs, "features")["digest"] == outputs(here, "features")["digest"]


def test_rows_that_change_in_the_middle_of_a_run_end_it(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run = run_steps(platform, admin, folder, "features")
    project = load_project(folder)
    there.run(f"DELETE FROM {there.source} WHERE id = 't0-1999'")
    inputs = {"ingest": outputs(run, "ingest")}
    context = StepContext(run_id="r", step="tune", params={}, inputs=inputs, actor=admin, submitted_by=admin.identity)
    with pytest.raises(Conflict, match="have changed since it was taken"):
        divided(platform, project, context)
    snapshot = platform.data.snapshot("default", str(outputs(run, "ingest")["snapshot"]))
    assert found_before(platform, "default", snapshot.id) is not None


def test_a_part_that_is_too_small_and_a_key_that_is_missing_are_told_as_here(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    table = rows()
    there.put(table.slice(0, 500))
    (folder / "bailiwick.yaml").write_text(project_text(there, ("newest 3d", "newest 1d")), encoding="utf-8")
    assert "each part needs 200" in run_steps(platform, admin, folder, "features").message
    there.put(table.set_column(0, "id", pa.array([None, *table["id"].to_pylist()[1:]])))
    text = project_text(there, ("  schema: schema.pbtxt\n", "  split: {by: hash}\n"), ("  holdout: newest 3d\n", ""))
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")
    assert (
        "missing in 1 of 2000 rows, which belong to no part" in run_steps(platform, admin, folder, "features").message
    )
