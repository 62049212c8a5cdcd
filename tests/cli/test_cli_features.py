"""`bailiwick features`: what was fitted, and what becomes of a row."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.training.pipeline import engine_for, training_pipeline
from bailiwick.pipelines.project import load_project
from tests_support.command import Command
from tests_support.fraud_project import CODE, PROJECT, rows

FEATURES = """\
  amount: {scale: {method: robust, clip: [-3, 3]}}
  country: {one_hot: 5}
  when: {date: {column: at, parts: [hour, weekday]}}
  words: {ngrams: {column: country, min_count: 5}}
  made: {sklearn: {pipeline: "fraud:prepare", inputs: [amount]}}
"""
PREPARE = """
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


def cube(values):
    return values ** 3


def prepare():
    return make_pipeline(SimpleImputer(), FunctionTransformer(cube))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose project has fitted its features."""
    folder = tmp_path_factory.mktemp("features")
    (folder / "fraud" / "data").mkdir(parents=True)
    text = PROJECT.replace("  amount: number\n  country: {category: {min_count: 5}}\n", FEATURES)
    (folder / "fraud" / "bailiwick.yaml").write_text(text, encoding="utf-8")
    (folder / "fraud" / "fraud.py").write_text(PREPARE + CODE, encoding="utf-8")
    pq.write_table(rows(), folder / "fraud" / "data" / "first.parquet")
    platform = open_platform(Settings(home=folder / "home"))
    actor = platform.identities.local_admin("default")
    project = apply_project(platform, actor, load_project(folder / "fraud"))
    pipeline = training_pipeline(platform, project, only=["features"])
    submitted = platform.pipelines.submit(actor, pipeline, {"project": "fraud", "start": None, "end": None})
    finished = engine_for(platform, submitted).execute(actor, submitted.id)
    assert finished.status == "FINISHED", finished.message
    platform.close()
    return folder / "home"


def test_it_shows_what_each_feature_has_learnt_and_what_the_graph_takes_and_gives(command: Command, home: Path) -> None:
    shown = command("--home", home, "features", "show", "fraud")
    assert (shown.code, shown.err) == (0, "")
    flat = " ".join(shown.out.split())
    assert "inputs amount (number), country (text), at (moment)" in flat
    assert "output features/matrix, 11 columns" in flat
    assert "least -3; most 3" in flat
    assert "categories" in flat
    assert "sklearn (Python)" in flat
    assert "stays Python: skl2onnx cannot convert it" in flat.replace("stays Python skl", "stays Python: skl")
    one = command("--home", home, "features", "show", "fraud", "--feature", "country")
    assert "makes country=(other), country=" in " ".join(one.out.split())
    assert sorted(one.out.split("categories")[1].split("makes")[0].replace(",", "").split()) == ["AT", "BE", "CH"]
    told = command("--home", home, "features", "show", "fraud", "--json").json
    assert isinstance(told, dict)
    assert [each["name"] for each in told["features"]] == ["amount", "country", "when", "words", "made"]


def test_it_tries_a_row(command: Command, home: Path) -> None:
    row = '{"amount": 2, "country": "CH", "at": "2023-11-15T13:30:00Z"}'
    found = command("--home", home, "features", "try", "fraud", "--row", row, "--json").json
    assert isinstance(found, dict)
    assert (found["when.hour"], found["when.weekday"], found["country=CH"], found["made.0"]) == (13, 2, 1, 8)
    missing = command("--home", home, "features", "try", "fraud", "--row", "{}")
    assert missing.code == 0
    assert "when.hour -1" in " ".join(missing.out.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("show", "fraud", "--feature", "amont"), 2, "Did you mean 'amount'?"),
        (("show", "nothing"), 3, "nothing"),
        (("try", "fraud", "--row", '{"amont": 1}'), 2, "Did you mean 'amount'?"),
        (("try", "fraud", "--row", '{"amount": "much"}'), 2, "'amount' is a number, and 'much' is none"),
        (("try", "fraud", "--row", '{"at": "soon"}'), 2, "is not an ISO 8601 time"),
        (("try", "fraud", "--row", "[1]"), 2, "must be a JSON object"),
        (("try", "fraud", "--row", "{"), 2, "--row is not JSON"),
    ],
)
def test_what_is_wrong_is_told(command: Command, home: Path, words: tuple[str, ...], code: int, said: str) -> None:
    shown = command("--home", home, "features", *words)
    assert shown.code == code
    assert said in shown.err
