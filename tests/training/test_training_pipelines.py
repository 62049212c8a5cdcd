"""scikit-learn transformers are given data frames, or Arrow tables where pandas is not installed: they make the same of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bailiwick.core.errors import InvalidInput, MissingExtra
from bailiwick.training import pipelines
from bailiwick.training.pipelines import convert_pipeline, fit_pipeline, names_of, transform

CODE = """
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

def by_name():
    bins = KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")
    return ColumnTransformer([
        ("number", make_pipeline(SimpleImputer(), StandardScaler()), ["amount", "n"]),
        ("bins", make_pipeline(SimpleImputer(), bins), ["amount"]),
        ("log", FunctionTransformer(np.log1p, feature_names_out="one-to-one"), ["n"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ("order", OrdinalEncoder(), ["country"]),
    ])

def plain():
    return make_pipeline(SimpleImputer(), StandardScaler())

def words():
    return ColumnTransformer([("words", CountVectorizer(), "country")])
"""


@pytest.fixture
def columns() -> pipelines.Columns:
    random = np.random.default_rng(4)
    amount = random.normal(100, 30, 400).astype(np.float32)
    amount[random.random(400) < 0.1] = np.nan
    amount[3] = np.inf
    country = np.array(["de", "fr", "", "ü"], object)[random.integers(0, 4, 400)]
    return {"amount": amount, "n": random.integers(0, 9, 400).astype(np.float32), "country": country}


LABELS = np.zeros(400, np.int64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made.py").write_text(CODE)
    return tmp_path


@pytest.mark.parametrize("function", ["by_name", "plain"])
def test_without_pandas_a_pipeline_makes_the_same_of_an_arrow_table(
    folder: Path, columns: pipelines.Columns, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    given = columns if function == "by_name" else {name: columns[name] for name in ("amount", "n")}
    with_frames = fit_pipeline(f"made:{function}", folder, given, LABELS)
    expected = transform(with_frames, given)
    monkeypatch.setattr(pipelines, "has_pandas", lambda: False)
    without = fit_pipeline(f"made:{function}", folder, given, LABELS)
    np.testing.assert_allclose(transform(without, given), expected, rtol=1e-5, atol=1e-6)  # sums in another order
    width = expected.shape[1]
    assert names_of(without, given, width) == names_of(with_frames, given, width)
    if function == "plain":
        assert convert_pipeline(without, dict.fromkeys(given, "FP32"), opset=18)


def test_what_does_not_take_arrow_tables_says_which_extra_to_install(
    folder: Path, columns: pipelines.Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"country": columns["country"]}
    fitted = fit_pipeline("made:words", folder, given, LABELS)
    monkeypatch.setattr(pipelines, "has_pandas", lambda: False)
    with pytest.raises(MissingExtra, match="cannot be fitted to an Arrow table: AttributeError") as caught:
        fit_pipeline("made:words", folder, given, LABELS)
    assert 'pip install "bailiwick[sklearn]"' in (caught.value.hint or "")
    with pytest.raises(MissingExtra, match="cannot transform an Arrow table"):
        transform(fitted, given)
    monkeypatch.undo()
    with pytest.raises(InvalidInput, match="cannot be fitted"):
        fit_pipeline("made:words", folder, {"n": columns["n"]}, LABELS)
