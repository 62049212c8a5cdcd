"""The vendors' own clients at emulators of BigQuery and Snowflake: the SQL is run, and its answers come over the wire.

`BAILIWICK_WRITE_GOLDEN=1` keeps the answers of the small table anew, for `test_warehouse_engines` to play back.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests_support import warehouses
from tests_support.source import ROOT

KEPT = ROOT / "tests" / "golden" / "engines"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["bigquery", "snowflake"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with warehouses.emulator(request.param, tmp_path_factory.mktemp(request.param)) as port:
        return {"name": request.param, **warehouses.story(request.param, port)}


def test_a_warehouse_tells_of_the_hard_table_what_is_told_of_its_rows(told: Any) -> None:
    assert told["differences"] == []
    assert told["profile"]
    kinds = {name: kind for name, (kind, _) in told["columns"].items()}
    assert (kinds["float"], kinds["whole"], kinds["moment"], kinds["bytes"]) == ("number", "whole", "moment", "binary")


def test_a_table_that_is_not_there_is_told(told: Any) -> None:
    assert told["gone"].startswith(("lake.sales.gone on bigquery: ", "gone on snowflake: "))


def test_its_answers_are_those_that_are_kept(told: Any) -> None:
    path = KEPT / f"{told['name']}-answers.json"
    if os.environ.get("BAILIWICK_WRITE_GOLDEN"):
        text = json.dumps(told["answers"], ensure_ascii=False, indent=0, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert warehouses.near(json.loads(path.read_text(encoding="utf-8")), told["answers"])


def test_the_reviewed_sql_is_in_the_grammar_of_its_dialect() -> None:
    found = warehouses.story("snowflake", file="grammar_story.py")
    assert not any(found.values()), found
    assert len(found) == 6
