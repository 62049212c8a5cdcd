"""Rows are divided as the project file says, the same every time, on record, and without looking ahead or into a group."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import build_profile
from bailiwick.data.sources import open_source
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training import reference
from bailiwick.lifecycle.training.declared import declared_features
from bailiwick.lifecycle.training.matrices import Matrix, fit, graph_of, known_fold, two_folds
from bailiwick.lifecycle.training.reference import profile_of
from bailiwick.lifecycle.training.splits import DividedRows, divided
from bailiwick.pipelines.model import StepContext
from bailiwick.pipelines.notation import Holdout
from bailiwick.pipelines.project import Project, load_project
from tests_support.fraud_project import DAY, PROJECT, START, rows
from tests_support.fraud_project import run_pipeline as run

SPLIT = "  label: {column: bad, positive: 1}\n"


def _split(text: str, *, holdout: str = "") -> str:
    changed = PROJECT.replace(SPLIT, f"{SPLIT}  split: {{{text}}}\n")
    return changed.replace("  holdout: newest 3d\n", holdout)


def _divided(platform: Platform, admin: Actor, folder: Path, table: pa.Table) -> tuple[Project, DividedRows, str]:
    project = load_project(folder)
    snapshot = platform.data.ingest(admin, project.name, table, source="test", time_column="at").id
    context = StepContext(
        run_id="r",
        step="features",
        params={},
        inputs={"ingest": {"snapshot": snapshot}},
        actor=admin,
        submitted_by=admin.identity,
    )
    found = divided(platform, project, context)
    assert isinstance(found, DividedRows)
    return project, found, snapshot


def _by_hand(table: pa.Table, holdout: Holdout, valid: float = 0.2) -> tuple[pa.Table, pa.Table, pa.Table]:
    """The division of the first version of Bailiwick, which read the whole table and sorted it."""
    ordered = table.sort_by("at")
    moments = ordered["at"].to_numpy()
    if holdout.length_ms:
        second = int(np.searchsorted(moments, moments[-1] - holdout.length_ms + 1, side="left"))
    else:
        cut = round(len(moments) * (1 - holdout.fraction))
        second = int(np.searchsorted(moments, moments[cut], side="left"))
    first = int(np.searchsorted(moments, moments[round(second * (1 - valid))], side="left"))
    return ordered.slice(0, first), ordered.slice(first, second - first), ordered.slice(second)


def _ids(parts: Iterable[pa.Table]) -> list[str]:
    return [each for part in parts for each in part["id"].to_pylist()]


@pytest.mark.parametrize(
    ("written", "holdout"),
    [
        ("newest 3d", Holdout(length_ms=3 * DAY)),
        ("newest 20%", Holdout(fraction=0.2)),
        ("newest 33.3%", Holdout(fraction=0.333)),
    ],
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_by_time_the_same_rows_teach_choose_and_judge_as_ever_in_the_same_order(
    platform: Platform, admin: Actor, folder: Path, written: str, holdout: Holdout, *, shuffled: bool
) -> None:
    (folder / "bailiwick.yaml").write_text(PROJECT.replace("newest 3d", written), encoding="utf-8")
    table = rows()
    moments = pc.cast(pc.floor(pc.divide(pc.cast(table["at"], pa.float64()), 3.6e6)), pa.int64())  # many of one hour
    table = table.set_column(table.column_names.index("at"), "at", pc.multiply(moments, 3_600_000))
    if shuffled:
        table = table.take(np.random.default_rng(5).permutation(table.num_rows))
    project, divided_rows, _ = _divided(platform, admin, folder, table)
    train, valid, judging = _by_hand(table, holdout)
    assert divided_rows.counts == {"train": train.num_rows, "valid": valid.num_rows, "holdout": judging.num_rows}
    assert set(_ids(divided_rows.holdout(["id"]))) == set(judging["id"].to_pylist())
    placed = np.empty(divided_rows.known_rows, object)
    for part, places in divided_rows.known(["id"]):
        placed[places] = part["id"].to_pylist()
    assert placed.tolist() == [*train["id"].to_pylist(), *valid["id"].to_pylist()]
    specs = declared_features(project)
    fitted = fit(platform, project, specs, divided_rows)
    folds = two_folds(known_fold(project, Matrix(platform, fitted), divided_rows), divided_rows)
    for fold, part in zip(folds, (train, valid), strict=True):
        assert fold.features.tobytes() == graph_of(fitted.features).run(part).tobytes()
        assert fold.labels.tolist() == part["bad"].to_pylist()


def test_no_group_is_on_two_sides(platform: Platform, admin: Actor, folder: Path) -> None:
    table = rows(days=20)
    customers = pa.array([f"c{number}" for number in np.random.default_rng(2).integers(300, size=table.num_rows)])
    table = table.append_column("customer", customers)
    (folder / "bailiwick.yaml").write_text(_split("by: group, column: customer, seed: 7"), encoding="utf-8")
    _, divided_rows, snapshot = _divided(platform, admin, folder, table)
    known = {each for part, _ in divided_rows.known(["customer"]) for each in part["customer"].to_pylist()}
    judging = {each for part in divided_rows.holdout(["customer"]) for each in part["customer"].to_pylist()}
    assert not known & judging
    assert known | judging == set(customers.to_pylist())
    assert 0.1 < divided_rows.counts["holdout"] / table.num_rows < 0.3
    [name] = [tag for tag in platform.data.labels("default", snapshot).tags if tag.startswith("split.training-")]
    recorded = platform.data.split_of("default", snapshot, name.removeprefix("split."))
    assert (recorded.kind, recorded.column, recorded.seed) == ("group", "customer", 7)
    again = platform.data.part_batches("default", snapshot, name.removeprefix("split."), "holdout", ["id"])
    assert _ids(pa.Table.from_batches([each]) for each in again) == _ids(divided_rows.holdout(["id"]))


@pytest.mark.parametrize("kind", ["random", "hash"])
def test_a_seed_divides_the_same_again_and_another_otherwise(
    platform: Platform, admin: Actor, folder: Path, kind: str
) -> None:
    found = []
    for seed in (1, 1, 2):
        (folder / "bailiwick.yaml").write_text(
            _split(f"by: {kind}, seed: {seed}, holdout: 0.25, valid: 0.3"), encoding="utf-8"
        )
        _, divided_rows, _ = _divided(platform, admin, folder, rows(days=20))
        found.append(_ids(divided_rows.holdout(["id"])))
        shares = {name: count / 4000 for name, count in divided_rows.counts.items()}
        assert shares == pytest.approx({"train": 0.525, "valid": 0.225, "holdout": 0.25}, abs=0.03)
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_run_divided_by_group_is_trained_and_its_run_says_how(platform: Platform, admin: Actor, folder: Path) -> None:
    pq.write_table(rows(days=20), folder / "data" / "first.parquet")
    (folder / "bailiwick.yaml").write_text(_split("by: hash, column: id"), encoding="utf-8")
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert '"kind": "hash"' in platform.tracking.run("default", version.run_id).tags["bailiwick.split"]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("by: group", "data.split.by by 'group' needs `column`"),
        ("by: random, column: id", "data.split.column column means nothing at random"),
        ("seed: 3", "data.split.seed seed means nothing by time"),
        ("by: time, holdout: 0.2", "data.split.holdout holdout means nothing by time"),
        ("by: days", "data.split.by"),
    ],
)
def test_a_split_that_contradicts_itself_is_told_by_line(folder: Path, split: str, said: str) -> None:
    (folder / "bailiwick.yaml").write_text(_split(split), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        load_project(folder)
    assert said in str(caught.value)


def test_a_share_that_two_keys_could_say_is_refused_and_the_right_key_named(folder: Path) -> None:
    text = _split("by: random", holdout="  holdout: newest 10%\n")
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"write `data\.split\.holdout` instead of `evaluate\.holdout`"):
        load_project(folder)


@pytest.mark.parametrize(
    "split", ["by: time, valid: 0.3", "by: random, seed: 3", "by: group, column: id, holdout: 0.3"]
)
def test_a_project_with_a_split_means_the_same_when_it_is_read_back(folder: Path, split: str) -> None:
    (folder / "bailiwick.yaml").write_text(_split(split), encoding="utf-8")
    project = load_project(folder)
    (folder / "bailiwick.yaml").write_text(str(project.document()).replace("True", "true"), encoding="utf-8")
    assert load_project(folder).digest == project.digest


def test_rows_outside_of_the_time_that_was_asked_for_are_never_kept(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    pq.write_table(rows(days=12), folder / "data" / "first.parquet")
    finished = run(platform, admin, folder, start=START + DAY, end=START + 11 * DAY)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    moments = platform.data.read("default", version.snapshot, ["at"])["at"].to_numpy()
    assert (moments.min(), len(moments)) == (START + DAY, 10 * 200)
    assert moments.max() < START + 11 * DAY
    nothing = run(platform, admin, folder, start=START + 100 * DAY)
    assert nothing.status == "FAILED"
    assert "has no rows between" in nothing.message


def test_a_source_between_two_moments_understands_timestamps(tmp_path: Path) -> None:
    times = pa.array([0, 1_000, 2_000, None], pa.timestamp("ms"))
    pq.write_table(pa.table({"at": times, "x": [1, 2, 3, 4]}), tmp_path / "a.parquet")
    source = open_source("a.parquet", tmp_path)
    assert source.between("at", 1_000, 2_000).table()["x"].to_pylist() == [2]
    assert source.between("at", None, 2_000).table()["x"].to_pylist() == [1, 2]
    assert source.between("at", None, None) is source
    pq.write_table(pa.table({"x": [1.5]}), tmp_path / "b.parquet")
    untimely = open_source("b.parquet", tmp_path).between("x", 1, None)
    with pytest.raises(InvalidInput, match=r"column 'x': it is double, and time is a timestamp"):
        untimely.table()


def test_a_reference_of_few_rows_is_that_of_the_whole_table_and_of_many_counts_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = rows(days=30)

    def read(columns: list[str]) -> Iterable[pa.Table]:
        return (table.select(columns).slice(first, 700) for first in range(0, table.num_rows, 700))

    names = ["amount", "country"]
    assert profile_of(read, names, rows=table.num_rows) == build_profile(table.select(names))  # type: ignore[arg-type]
    monkeypatch.setattr(reference, "MOST_BYTES", 10_000)
    thinned = profile_of(read, names, rows=table.num_rows)  # type: ignore[arg-type]
    assert [sum(feature.counts) for feature in thinned.features] == [table.num_rows] * 2
    exact = build_profile(table.select(["country"])).features[0]
    assert sorted(thinned.features[1].counts) == sorted(exact.counts)
