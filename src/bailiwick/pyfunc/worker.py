"""The process that a model is loaded in: a file of its own that runs where the model's libraries are and Bailiwick is not.

    python worker.py CHANNEL MODEL_FOLDER

It answers one question after another on the stream CHANNEL. A message is `u32 size of head, head as JSON, arrays` in
little-endian; the head's `arrays` say name, dtype, shape and size in bytes of each, where dtype `text` is a JSON list.
Questions: `load`, `predict`, `taught`, `estimator`, `convert`; and of ONNX graphs in the folder `open`, `run`. An answer has `ok`; where that is false, `error` says what the model raised.
Nothing is ever unpickled from the stream, on either side.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import pickle
import struct
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Head = dict[str, Any]
Named = list[tuple[str, Any]]

HEAD = struct.Struct("<I")
MOST_HEAD_BYTES = 64 << 20


class Channel:
    """Messages on a stream."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb+", buffering=0)

    def receive(self) -> tuple[Head, list[Any]]:
        """One message; ends the process where the other side is gone."""
        (size,) = HEAD.unpack(self._exactly(HEAD.size))
        if size > MOST_HEAD_BYTES:
            raise SystemExit("the head of a message is too large")
        head = json.loads(bytes(self._exactly(size)))
        return head, [decoded(each, self._exactly(each["bytes"])) for each in head.get("arrays", ())]

    def send(self, head: Mapping[str, Any], arrays: Sequence[tuple[str, Any]] = ()) -> None:
        """One message."""
        described, parts = [], []
        for name, values in arrays:
            about, data = encoded(name, values)
            described.append(about)
            parts.append(data)
        text = json.dumps({**head, "arrays": described}).encode()
        for part in (HEAD.pack(len(text)) + text, *parts):
            view = memoryview(part).cast("B")
            while len(view):
                view = view[self._file.write(view) :]

    def _exactly(self, size: int) -> bytearray:
        held = bytearray(size)
        view, got = memoryview(held), 0
        while got < size:
            read = self._file.readinto(view[got:])
            if not read:
                raise SystemExit(0)
            got += read
        return held


def decoded(about: Mapping[str, Any], data: bytearray) -> Any:
    """An array of a message."""
    import numpy as np

    if about["dtype"] == "text":
        return np.array(json.loads(bytes(data)), dtype=object).reshape(about["shape"])
    return np.frombuffer(data, dtype=about["dtype"]).reshape(about["shape"])


def encoded(name: str, values: Any) -> tuple[dict[str, Any], bytes]:
    """An array, or bytes, for a message; what is no number travels as text."""
    import numpy as np

    if isinstance(values, bytes):
        return {"name": name, "dtype": "bytes", "shape": [len(values)], "bytes": len(values)}, values
    if values.dtype.kind in "biuf":
        values = np.asarray(values, values.dtype.newbyteorder("<"), order="C")  # one without dimensions keeps none
        about = {"name": name, "dtype": values.dtype.name, "shape": list(values.shape), "bytes": values.nbytes}
        return about, values.tobytes()
    texts = json.dumps([as_text(value) for value in values.ravel().tolist()]).encode()
    return {"name": name, "dtype": "text", "shape": list(values.shape), "bytes": len(texts)}, texts


def as_text(value: Any) -> str:
    """Empty for what is not there: None, NaN, pandas' NA."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in {"NaT", "<NA>"}:
        return ""
    return value if isinstance(value, str) else str(value)


# -- loading -----------------------------------------------------------------------------------------------------------


class Loaded:
    """A model, the form it takes its rows in, and how it was loaded."""

    def __init__(self, folder: str, head: Head) -> None:
        self.columns = head["columns"]
        self.tensors = head["tensors"]
        logged = os.path.exists(os.path.join(folder, "MLmodel"))
        if logged and head.get("loader") != "flavour" and importlib.util.find_spec("mlflow") is not None:
            self.predict, self.loader = with_mlflow(folder)
        elif head.get("params"):
            raise ValueError("its params need mlflow to be given to it")
        else:
            self.predict, self.loader = by_flavour(folder, head["flavours"])

    def answer(self, head: Head, arrays: Sequence[Any]) -> Named:
        """(name, array) of each output of the model for these rows."""
        given = {}
        for about, values in zip(head["arrays"], arrays):  # noqa: B905 - models may need a Python that lacks `strict`
            names = about["names"]
            for place, name in enumerate(names):
                given[name] = values[:, place] if len(names) > 1 else values
        rows = len(arrays[0])
        outputs = normal(self._predicted(self._rows(given), head.get("params")))
        for name, values in outputs:
            if values.ndim == 0 or len(values) != rows:
                raise ValueError(f"the model answered {rows} rows with {name} of shape {list(values.shape)}")
        return outputs

    def _predicted(self, rows: Any, params: Any) -> Any:
        # Without MLflow a model is one that they mean nothing to; and MLflow fills in those that are not given.
        if params and self.loader.startswith("mlflow"):
            return self.predict(rows, params=params)
        return self.predict(rows)

    def _rows(self, given: Mapping[str, Any]) -> Any:
        if self.tensors:
            arrays = {each["name"]: given[each["name"]] for each in self.columns}
            unnamed = len(self.columns) == 1 and self.columns[0]["unnamed"]
            return next(iter(arrays.values())) if unnamed else arrays
        return frame(given, self.columns)


def frame(given: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> Any:
    """A pandas frame with the columns in the order of the signature."""
    import pandas as pd

    made = {}
    for column in columns:
        values = given[column["name"]].reshape(-1)
        made[column["name"]] = pd.to_datetime(values) if column["type"] == "datetime" else values
    return pd.DataFrame(made, columns=[column["name"] for column in columns])


def with_mlflow(folder: str) -> tuple[Callable[..., Any], str]:
    """The model's pyfunc."""
    mlflow, pyfunc = importlib.import_module("mlflow"), importlib.import_module("mlflow.pyfunc")
    return pyfunc.load_model(folder).predict, f"mlflow {mlflow.__version__}"


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


def normal(found: Any) -> Named:
    """What pyfunc models answer with (frames, series, arrays, lists, mappings) as named arrays."""
    import numpy as np

    if hasattr(found, "toarray"):
        found = found.toarray()
    if isinstance(found, dict) or (hasattr(found, "columns") and hasattr(found, "iloc")):
        return [(str(name), array_of(found[name])) for name in list(found)]
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [(str(name), array_of([row[name] for row in found])) for name in found[0]]
    return [("predictions", array_of(found if isinstance(found, np.ndarray) else np.asarray(found)))]


def array_of(values: Any) -> Any:
    """Numbers as such, everything else as objects."""
    import numpy as np

    array = np.asarray(values)
    if array.dtype == object and len(array) and not isinstance(array.ravel()[0], str):
        try:
            return np.array(array.tolist())
        except ValueError:
            return array
    return array.astype(object) if array.dtype.kind in "USMmO" else array


# -- what it was taught ------------------------------------------------------------------------------------------------


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


# -- converting --------------------------------------------------------------------------------------------------------


def estimator(folder: str, head: Head) -> Named:
    """The estimator that the flavour keeps, pickled anew: for a converter that is in another environment."""
    return [("estimator", pickle.dumps(estimator_of(folder, head["flavours"])))]


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


def conversions(folder: str, head: Head) -> Iterator[tuple[str, bytes]]:
    """ONNX models of the estimator, the likeliest first: (form of its inputs, bytes). Raises when there is none."""
    flavour = flavour_of(head["flavours"])
    if head.get("pickled"):
        with open(os.path.join(folder, head["pickled"]), "rb") as file:
            model = pickle.load(file)
    else:
        model = estimator_of(folder, head["flavours"])
    columns = head["columns"]
    converter = {"lightgbm": convert_lightgbm, "xgboost": convert_xgboost, "catboost": convert_catboost}.get(
        flavour, convert_sklearn
    )
    width = sum(each["width"] for each in columns)
    failed = []
    for form in forms(columns, flavour, tensors=head["tensors"]):
        try:
            converted = converter(model, form, columns, width)
        except Exception as error:  # noqa: BLE001 - a converter may raise anything, and another form may do
            failed.append(f"{type(error).__name__}: {error}".splitlines()[0][:200])
        else:
            yield form, converted
    if len(failed) == len(forms(columns, flavour, tensors=head["tensors"])):
        raise ValueError(failed[0])


def forms(columns: Sequence[Mapping[str, Any]], flavour: str, *, tensors: bool) -> list[str]:
    """`matrix`: all inputs as one float matrix. `columns`: each its own, whole numbers as such. `floats`: as floats."""
    numeric = all(each["dtype"] != "text" for each in columns)
    if tensors:
        return ["matrix"] if numeric and len(columns) == 1 else []
    if flavour != "sklearn":
        return ["matrix"] if numeric else []
    return (["matrix"] if numeric else []) + ["columns", "floats"]


def convert_sklearn(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:
    """By skl2onnx."""
    import skl2onnx
    from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType

    def kind(column: Mapping[str, Any]) -> Any:
        if column["dtype"] == "text":
            return StringTensorType([None, 1])
        if form == "columns" and column["dtype"].startswith(("int", "uint")):
            return Int64TensorType([None, 1])
        if form == "columns" and column["dtype"] == "bool":
            return BooleanTensorType([None, 1])
        return FloatTensorType([None, 1])

    register_boosters()
    if form == "matrix":
        types = [("features", FloatTensorType([None, width]))]
    else:
        types = [(column["name"], kind(column)) for column in columns]
    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    made = skl2onnx.convert_sklearn(
        model, name="model", initial_types=types, options=options, target_opset={"": 17, "ai.onnx.ml": 3}
    )
    return bytes(made.SerializeToString())


def register_boosters() -> None:
    """Let boosters be converted where they are steps of a scikit-learn pipeline."""
    import skl2onnx
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    if importlib.util.find_spec("lightgbm") is None or importlib.util.find_spec("onnxmltools") is None:
        return
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as converter

    skl2onnx.update_registered_converter(
        lightgbm.LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        converter,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    skl2onnx.update_registered_converter(
        lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", calculate_linear_regressor_output_shapes, converter
    )


def convert_lightgbm(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:  # noqa: ARG001
    """By onnxmltools."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    made = onnxmltools.convert_lightgbm(
        getattr(model, "booster_", model),
        name="model",
        initial_types=[("features", FloatTensorType([None, width]))],
        target_opset=15,
        zipmap=False,
    )
    return bytes(made.SerializeToString())


def convert_xgboost(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:  # noqa: ARG001
    """By onnxmltools."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.get_booster() if hasattr(model, "get_booster") else model
    booster.feature_names = None  # the converter knows features by their number only
    types = [("features", FloatTensorType([None, width]))]
    made = onnxmltools.convert_xgboost(model, name="model", initial_types=types, target_opset=15)
    return bytes(made.SerializeToString())


def convert_catboost(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:  # noqa: ARG001
    """By CatBoost itself."""
    path = os.path.join(os.environ["TMPDIR"], "model.onnx")
    model.save_model(path, format="onnx")
    with open(path, "rb") as file:
        return file.read()


# -- graphs ------------------------------------------------------------------------------------------------------------


def graph_of(folder: str, head: Head) -> Any:
    """A session of ONNX Runtime. One thread; nothing on the terminal, and no arena, which takes more than is asked for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    path = inside(folder, head["file"])
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def about_graph(session: Any) -> Head:
    """What a session says of its outputs."""
    return {"outputs": [[each.name, each.type, list(each.shape or ())] for each in session.get_outputs()]}


def run_graph(session: Any, head: Head, arrays: Sequence[Any]) -> Named:
    """Its outputs by name; of those that are maps, the values of the keys that are asked for."""
    import numpy as np

    feed = {about["names"][0]: values for about, values in zip(head["arrays"], arrays)}  # noqa: B905
    found = []
    for name, values in zip(head["outputs"], session.run(head["outputs"], feed)):  # noqa: B905
        keys = head["maps"].get(name)
        found.append((name, values if keys is None else np.array([[row[key] for key in keys] for row in values], "f4")))
    return found


# -- answering ---------------------------------------------------------------------------------------------------------


def libraries() -> dict[str, str]:
    """Versions of what answers may depend on."""
    from importlib import metadata

    found = {}
    for name in ("mlflow", "mlflow-skinny", "scikit-learn", "lightgbm", "xgboost", "catboost", "numpy", "pandas"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def serve(channel: Channel, folder: str) -> None:
    """Answer until the other side is gone."""
    loaded: Loaded | None = None
    sessions: dict[str, Any] = {}
    while True:
        head, arrays = channel.receive()
        answer: Head = {}
        outputs: Named = []
        try:
            if head["ask"] == "load":
                loaded = Loaded(folder, head)
                answer = {"loader": loaded.loader, "libraries": libraries(), "python": sys.version.split()[0]}
            elif head["ask"] == "predict" and loaded is not None:
                outputs = loaded.answer(head, arrays)
            elif head["ask"] == "open":
                session = sessions[head["file"]] = graph_of(folder, head)
                answer = about_graph(session)
            elif head["ask"] == "run":
                outputs = run_graph(sessions[head["file"]], head, arrays)
            elif head["ask"] == "taught":
                answer = taught(folder, head["flavours"])
            elif head["ask"] == "estimator":
                outputs = estimator(folder, head)
            else:
                outputs = list(conversions(folder, head))
                answer = {"forms": [form for form, _ in outputs], "libraries": libraries()}
        except Exception as error:  # noqa: BLE001 - whatever the model raises is told, and the next question is awaited
            channel.send({"ok": False, "error": f"{type(error).__name__}: {error}"[:2000]})
        else:
            channel.send({"ok": True, **answer}, outputs)


def main() -> None:
    """`worker.py CHANNEL MODEL_FOLDER`."""
    warnings.simplefilter("ignore")
    descriptor, folder = int(sys.argv[1]), sys.argv[2]
    serve(Channel(descriptor), folder)


if __name__ == "__main__":
    main()
