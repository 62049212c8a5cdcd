"""What estimators say of the rows they were taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .channel import Head
from .loading import estimator_of, flavour_of


def taught(folder: str, flavours: Mapping[str, Any]) -> Head:
    """What the estimator says of the rows it was taught: how many values, by which names, and which of these are texts.

    `names` is empty where values go by their places. Raises ValueError for one that does not say.
    """
    model, flavour = estimator_of(folder, flavours), flavour_of(flavours)
    names, texts = {"lightgbm": of_lightgbm, "xgboost": of_xgboost, "catboost": of_catboost}.get(flavour, of_sklearn)(
        model
    )
    if not all(isinstance(name, str) for name in names):  # of a table whose columns were numbered
        names = list(range(len(names)))
    numbered = not names or isinstance(names[0], int)
    return {"count": len(names), "names": [] if numbered else names, "texts": list(texts)}


def of_sklearn(model: Any) -> tuple[list[Any], list[int]]:
    """(names or places, places of texts)."""
    names = getattr(model, "feature_names_in_", None)
    found = list(range(model.n_features_in_)) if names is None else [str(name) for name in names]
    return found, sorted(texts_of(model, found, list(range(len(found)))))


def texts_of(step: Any, names: Sequence[Any], places: Sequence[int]) -> set[int]:
    """Of `places`, which this step of a pipeline was taught texts in: as categories, or to take words from."""
    step = getattr(step, "best_estimator_", step)  # of a search over settings
    if hasattr(step, "transformer_list"):
        return {place for _, part in step.transformer_list for place in texts_of(part, names, places)}
    if hasattr(step, "transformers_"):
        parts = [(part, places_of(chosen, names, places)) for _, part, chosen in step.transformers_]
        return {place for part, chosen in parts for place in texts_of(part, names, chosen)}
    if hasattr(step, "steps"):
        for _, part in step.steps:
            found = texts_of(part, names, places)
            if found or hasattr(part, "transformers_"):
                return found
        return set()
    if hasattr(step, "build_analyzer"):
        return set(places)
    categories = getattr(step, "categories_", None) or ()
    return {place for place, each in zip(places, categories) if each.dtype.kind in "OUS"}  # noqa: B905


def places_of(chosen: Any, names: Sequence[Any], places: Sequence[int]) -> list[int]:
    """What a ColumnTransformer's choice of columns stands for."""
    if isinstance(chosen, slice):
        return list(places[chosen])
    listed = [chosen] if isinstance(chosen, (str, int)) else list(chosen)
    if listed and isinstance(listed[0], str):
        return [places[list(names).index(name)] for name in listed]
    if len(listed) == len(names) and all(str(each) in {"True", "False"} for each in listed):
        return [place for place, taken in zip(places, listed) if taken]  # noqa: B905
    return [places[int(each)] for each in listed]


def of_lightgbm(model: Any) -> tuple[list[Any], list[int]]:
    """Its own names are places."""
    booster = getattr(model, "booster_", model)
    if booster.pandas_categorical:
        raise ValueError("it was taught categories of a table, and does not say which columns have them")
    names = booster.feature_name()
    return (list(range(len(names))) if names == [f"Column_{place}" for place in range(len(names))] else names), []


def of_xgboost(model: Any) -> tuple[list[Any], list[int]]:
    """A booster of arrays has no names."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if "c" in (booster.feature_types or ()):
        raise ValueError("it was taught categories of a table, and does not say what they are called")
    return booster.feature_names or list(range(booster.num_features())), []


def of_catboost(model: Any) -> tuple[list[Any], list[int]]:
    """Its own names are places; categories are given as texts."""
    names = list(model.feature_names_)
    texts = sorted({*model.get_cat_feature_indices(), *model.get_text_feature_indices()})
    return (list(range(len(names))) if names == [str(place) for place in range(len(names))] else names), texts
