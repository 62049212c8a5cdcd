"""Commands about predictions: what is kept, which there were, why; and scoring of whole files."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests_support.command import Command, Populated
from tests_support.explained import BOOSTED, Served
from tests_support.fraud_project import rows


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    made = Served(tmp_path_factory.mktemp("served"), BOOSTED, sqlite_template)
    made.answer("r1", 1.2, "CH")
    home = made.platform.settings.home
    made.close()
    return home


def test_an_explanation_is_a_picture_in_the_terminal(command: Command, home: Path) -> None:
    shown = command("--home", home, "predictions", "explain", "r1:0")
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[0].startswith("probability 0.")
    assert any("base" in line and "log-odds" in line for line in lines)
    assert any("amount = 1.2" in line and "█" in line for line in lines)
    assert "Nearest of 2,000 training rows" in shown.out
    assert "What would have brought it to the other side of 0.5" in shown.out
    told = command("--home", home, "predictions", "explain", "r1:0", "--kinds", "shap", "--json").json
    assert told["shap"]["method"] == "trees"
    assert told["neighbours"] is None


def test_constraints_are_given_by_column(command: Command, home: Path, tmp_path: Path) -> None:
    shown = command(
        "--home", home, "predictions", "explain", "r1:0", "--kinds", "counterfactuals", "--immutable", "country",
        "--direction", "amount=up", "--within", "amount=-1..5", "--step", "amount=0.5",
    )  # fmt: skip
    assert "no proof" in shown.out
    wrong = command("--home", home, "predictions", "explain", "r1:0", "--within", "amount=5")
    assert (wrong.code, "LEAST..MOST" in wrong.err) == (2, True)
    (tmp_path / "asked.json").write_text('{"kinds": ["shap"], "background": 7}', encoding="utf-8")
    told = command("--home", home, "predictions", "explain", "r1:0", "--settings", "asked.json", "--json").json
    assert told["shap"]["background"] == 7
    assert command("--home", home, "predictions", "explain", "gone:0").code == 3


def test_files_are_scored_and_again_only_what_is_left(command: Command, home: Path, tmp_path: Path) -> None:
    pq.write_table(rows(days=2), tmp_path / "rows.parquet")
    words = ("--home", home, "score", "rows.parquet", "--model", "fraud", "--out", "scored", "--keep", "id")
    scored = command(*words, "--part-rows", "150", "--json").json
    assert (scored["rows"], scored["before"], scored["parts"]) == (400, 0, 3)
    again = command(*words, "--part-rows", "150")
    assert again.code == 0
    assert "400 rows scored by fraud version 1" in again.out
    assert pq.read_table(tmp_path / "scored").column_names == ["id", "probability"]
    wrong = command("--home", home, "score", "rows.parquet", "--model", "fraud@no", "--out", "other")
    assert wrong.code == 3
    assert command(*words, "--part-rows", "0").code == 2


def test_what_is_kept_is_shown_and_changed(command: Command, populated: Populated) -> None:
    ask = ("--home", populated.home, "endpoints", "recording", "late")
    assert "100 % of the requests" in command(*ask).out
    changed = command(*ask, "--share", "0.25", "--omit", "origin", "--when-full", "drop", "--reason", "less")
    assert "25 % of the requests" in changed.out
    assert "counted as dropped" in changed.out
    told = command(*ask, "--hash", "carrier", "--json").json
    assert (told["share"], told["omitted"], told["hashed"]) == (2_500, ["origin"], ["carrier"])
    slip = command(*ask, "--hash", "carier")
    assert slip.code == 0
    assert "note: nothing that serves has an input 'carier'; there are: " in slip.err
    assert "note" not in command(*ask, "--hash", "carrier").err
    assert command(*ask, "--personal", "maybe").code == 2
    assert command(*ask, "--reset", "--json").json["share"] == 10_000
