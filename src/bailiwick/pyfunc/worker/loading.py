"""A logged model, as MLflow loads it or as its flavour keeps it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
from collections.abc import Callable, Mapping
from typing import Any


def with_mlflow(folder: str) -> tuple[Callable[..., Any], str, Any]:
    """The model's pyfunc, and what MLflow says of it."""
    mlflow, pyfunc = importlib.import_module("mlflow"), importlib.import_module("mlflow.pyfunc")
    model = pyfunc.load_model(folder)
    return model.predict, f"mlflow {mlflow.__version__}", model.metadata


def by_flavour(folder: str, flavours: Mapping[str, Any]) -> tuple[Callable[..., Any], str]:
    """The model as its flavour keeps it, and its `predict` as MLflow's pyfunc would call it."""
    model, flavour = native(folder, flavours)
    function = flavours.get("python_function", {}).get("predict_fn") or "predict"
    if not isinstance(function, str) or function.startswith("_"):
        raise ValueError(f"the model names no function to predict with: {function!r}")
    if flavour == "xgboost" and not hasattr(model, "get_xgb_params"):
        xgboost = importlib.import_module("xgboost")
        return (lambda rows: model.predict(xgboost.DMatrix(rows))), f"xgboost {xgboost.__version__}"
    library = importlib.import_module(flavour)
    return getattr(model, function), f"{flavour} {library.__version__}"


def native(folder: str, flavours: Mapping[str, Any]) -> tuple[Any, str]:
    """The estimator or booster of the first flavour that can be loaded without MLflow."""
    if "sklearn" in flavours:
        about = flavours["sklearn"]
        return unpickled(inside(folder, about.get("pickled_model", "model.pkl")), about), "sklearn"
    for flavour in ("lightgbm", "xgboost", "catboost"):
        if flavour in flavours:
            about = flavours[flavour]
            path = inside(folder, about.get("data") or about.get("model_binary") or "model")
            return globals()["load_" + flavour](path, about), flavour
    raise ValueError(f"its flavours ({', '.join(sorted(flavours))}) need mlflow to be loaded")


def inside(folder: str, name: str) -> str:
    """The path of a file that the model names."""
    path = os.path.realpath(os.path.join(folder, name))
    if not path.startswith(os.path.realpath(folder) + os.sep):
        raise ValueError(f"the model names a file outside of its folder: {name!r}")
    return path


def unpickled(path: str, about: Mapping[str, Any]) -> Any:
    """What is in a file that may run anything: which is why this process is confined."""
    kept_as = about.get("serialization_format", "pickle")
    if kept_as not in {"pickle", "cloudpickle", "joblib"}:
        raise ValueError(f"a model kept as {kept_as!r} needs mlflow to be loaded")
    module = importlib.import_module(kept_as if kept_as != "pickle" else "pickle")
    if kept_as == "joblib":
        return module.load(path)
    with open(path, "rb") as file:
        return module.load(file)


def load_lightgbm(path: str, about: Mapping[str, Any]) -> Any:
    """A booster, or the estimator around it."""
    import lightgbm

    if path.endswith((".pkl", ".cloudpickle")) or str(about.get("model_class", "")).endswith(
        ("Classifier", "Regressor")
    ):
        with open(path, "rb") as file:
            return pickle.load(file)
    return lightgbm.Booster(model_file=path)


def load_xgboost(path: str, about: Mapping[str, Any]) -> Any:
    """A booster, or the estimator around it."""
    xgboost = importlib.import_module("xgboost")
    kind = str(about.get("model_class", "")).rpartition(".")[2] or "Booster"
    model = getattr(xgboost, kind)()
    model.load_model(path)
    return model


def load_catboost(path: str, about: Mapping[str, Any]) -> Any:
    """The model of the class that was logged."""
    catboost = importlib.import_module("catboost")
    model = getattr(catboost, str(about.get("model_type", "CatBoost")))()
    model.load_model(path)
    return model


def estimator_of(folder: str, flavours: Mapping[str, Any]) -> Any:
    """What MLflow's own loader of the flavour gives, where there is MLflow."""
    if importlib.util.find_spec("mlflow") is None:
        return native(folder, flavours)[0]
    return importlib.import_module("mlflow." + flavour_of(flavours)).load_model(folder)


def flavour_of(flavours: Mapping[str, Any]) -> str:
    """The flavour that converters know."""
    for flavour in ("sklearn", "lightgbm", "xgboost", "catboost"):
        if flavour in flavours:
            return flavour
    raise ValueError(f"none of its flavours ({', '.join(sorted(flavours))}) has a conversion to ONNX")
