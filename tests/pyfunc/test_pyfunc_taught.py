"""What estimators of scikit-learn say of the columns they were taught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from bailiwick.pyfunc.worker.teaching import of_sklearn

ROWS = pd.DataFrame(
    {"age": [1.0, 2, 3, 4], "city": list("abab"), "says": ["red car", "car", "blue", "red"], "size": [4.0, 3, 2, 1]}
)
SAID = [0, 1, 0, 1]
CITY = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))


def divided(*, numbers: Any = ("age", "size"), city: Any = ("city",)) -> ColumnTransformer:
    numbers, city = (list(each) if isinstance(each, tuple) else each for each in (numbers, city))
    return ColumnTransformer([("n", StandardScaler(), numbers), ("c", CITY, city), ("t", TfidfVectorizer(), "says")])


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(divided(), LogisticRegression()),
        make_pipeline(divided(numbers=[0, 3], city=[1]), LogisticRegression()),
        make_pipeline(
            divided(numbers=make_column_selector(dtype_include="number"), city=slice(1, 2)), LogisticRegression()
        ),
        make_pipeline(divided(city=[False, True, False, False]), LogisticRegression()),
        make_pipeline(FeatureUnion([("one", divided()), ("two", divided())]), LogisticRegression()),
        GridSearchCV(make_pipeline(divided(), LogisticRegression()), {"logisticregression__C": [1.0, 2.0]}, cv=2),
    ],
)
def test_texts_are_found_wherever_they_go(model: Any) -> None:
    model.fit(ROWS, SAID)
    assert of_sklearn(model) == (["age", "city", "says", "size"], [1, 2])


def test_an_encoder_at_the_beginning_says_which_are_texts() -> None:
    model = make_pipeline(OrdinalEncoder(), LogisticRegression()).fit(ROWS[["age", "city"]], SAID)
    assert of_sklearn(model) == (["age", "city"], [1])


def test_an_array_has_places() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(np.array([[1.0, 2], [2, 1]]), [0, 1])
    assert of_sklearn(model) == ([0, 1], [])


def test_a_model_of_texts_alone_does_not_say() -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(ROWS["says"], SAID)
    with pytest.raises(AttributeError):
        of_sklearn(model)
