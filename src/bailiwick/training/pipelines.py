"""scikit-learn transformers of a project: made by its function, fitted, named, and converted to ONNX."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import skl2onnx
from numpy.typing import NDArray
from onnx import TensorProto
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

from bailiwick.core.errors import InvalidInput, MissingExtra
from bailiwick.training.entrypoint import load_function

_KINDS = {"FP32": FloatTensorType, "FP64": DoubleTensorType, "BYTES": StringTensorType}
_ML_OPSET = 3
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
_MOST_DEEP = 8
LIMIT = 1e15
"""Numbers beyond it, infinities too, are given to a pipeline as the limit, as they are to every other feature."""

Columns = Mapping[str, NDArray[Any]]


def fit_pipeline(entrypoint: str, folder: Path, columns: Columns, labels: NDArray[np.int64]) -> Any:
    """The transformer that the project's function makes, fitted to columns by name: float32 numbers, NaN where missing; texts,
    empty where missing. They are a pandas data frame where pandas is installed, and otherwise an Arrow table, which scikit-learn
    takes too, but not all of its transformers do. Raises InvalidInput for what is none, and for one that cannot be fitted,
    MissingExtra where that may be because it was given an Arrow table.
    """
    made = load_function(entrypoint, folder)()
    if not hasattr(made, "fit") or not hasattr(made, "transform"):
        raise InvalidInput(
            f"{entrypoint} returned a {type(made).__name__}, which has no fit and transform.",
            hint="Return a scikit-learn transformer, such as a ColumnTransformer or a Pipeline of transformers.",
        )
    try:
        return made.fit(_frame(columns), labels)
    except Exception as error:  # the project's own code may raise anything
        if not has_pandas():
            raise _without_pandas(f"The pipeline of {entrypoint} cannot be fitted to an Arrow table", error) from error
        raise InvalidInput(
            f"The pipeline of {entrypoint} cannot be fitted: {type(error).__name__}: {error}."
        ) from error


def _frame(columns: Columns) -> Any:
    given = {name: _bounded(values) for name, values in columns.items()}
    if not has_pandas():
        return pa.table({name: pa.array(values) for name, values in given.items()})
    import pandas as pd

    return pd.DataFrame(given)


def has_pandas() -> bool:
    """Whether pipelines are given data frames of pandas."""
    return find_spec("pandas") is not None


def _without_pandas(what: str, error: Exception) -> MissingExtra:
    missing = MissingExtra.of("sklearn", "pandas")
    return MissingExtra(
        f"{what}: {type(error).__name__}: {error}. {missing.message} With it pipelines are given data frames.",
        hint=missing.hint,
    )


def _bounded(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype == object else np.clip(values, np.float32(-LIMIT), np.float32(LIMIT))


def transform(pipeline: Any, columns: Columns) -> NDArray[np.float32]:
    """Its columns, [rows, width]. Raises InvalidInput for what are no numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that are made up to be difficult
        try:
            found = pipeline.transform(_frame(columns))
        except AttributeError as error:  # what Arrow's values lack
            if has_pandas():
                raise
            raise _without_pandas("The pipeline cannot transform an Arrow table", error) from error
    found = found.toarray() if hasattr(found, "toarray") else found
    try:
        matrix = np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The pipeline makes something else than numbers: {error}.") from error
    return matrix.reshape(len(matrix), -1)


def names_of(pipeline: Any, columns: Columns, width: int) -> tuple[str, ...]:
    """What it calls its columns, where it does so for each of them and differently; else their numbers."""
    try:
        names = tuple(str(name) for name in pipeline.get_feature_names_out(list(columns)))
    except (AttributeError, ValueError, TypeError, NotImplementedError):
        names = ()
    return names if len(set(names)) == width == len(names) else tuple(str(place) for place in range(width))


def convert_pipeline(pipeline: Any, datatypes: Mapping[str, str], *, opset: int) -> bytes:
    """The ONNX graph that skl2onnx makes of it, one input a column. Raises InvalidInput saying why there is none."""
    types = [(name, _KINDS[datatype]([None, 1])) for name, datatype in datatypes.items()]
    exact = copy.deepcopy(pipeline)
    for step in _steps(exact, 0):
        _round_edges(step)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: onnx.ModelProto = skl2onnx.convert_sklearn(
                exact, name="pipeline", initial_types=types, target_opset={"": opset, "ai.onnx.ml": _ML_OPSET}
            )
    except Exception as error:  # a converter may raise anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise InvalidInput(f"skl2onnx cannot convert it: {type(error).__name__}: {reason}") from error
    strange = {node.domain for node in model.graph.node} - _DOMAINS
    if strange:
        raise InvalidInput(f"skl2onnx makes operators outside of the standard of it ({', '.join(sorted(strange))}).")
    kind = model.graph.output[0].type.tensor_type.elem_type
    if len(model.graph.output) != 1 or kind not in {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64}:
        raise InvalidInput("The converted pipeline gives something else than one matrix of numbers.")
    del model.metadata_props[:]
    model.producer_name = model.producer_version = model.doc_string = ""
    return bytes(model.SerializeToString(deterministic=True))


def edges_of(pipeline: Any) -> NDArray[np.float32]:
    """Edges of bins anywhere in it: where a conversion is most likely to part from what it was made of."""
    found = [
        np.concatenate([np.ravel(each) for each in step.bin_edges_]) for step in _steps(pipeline, 0) if _bins(step)
    ]
    return np.unique(np.concatenate([np.empty(0), *found]).astype(np.float32))


def _steps(thing: Any, depth: int) -> Iterator[Any]:
    """The fitted estimators within one."""
    if depth > _MOST_DEEP or isinstance(thing, str):
        return
    if hasattr(thing, "get_params"):
        yield thing
        for name in ("steps", "transformers_", "transformer_list"):
            for part in getattr(thing, name, ()) or ():
                if len(part) > 1:
                    yield from _steps(part[1], depth + 1)


def _bins(step: Any) -> bool:
    return hasattr(step, "bin_edges_")


def _round_edges(step: Any) -> None:
    """For a float32 `x`, `edge <= x` stays the same test when the edge is rounded up to a float32, which is what ONNX keeps."""
    if not _bins(step):
        return
    for place, edges in enumerate(step.bin_edges_):
        exact = np.asarray(edges, np.float64)
        nearest = exact.astype(np.float32)
        up = np.where(nearest < exact, np.nextafter(nearest, np.float32(np.inf)), nearest)
        step.bin_edges_[place] = up.astype(np.float64)
