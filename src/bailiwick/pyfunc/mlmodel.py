"""Reading a logged MLflow model without loading it: flavours, signature and input example, from files that anyone may have
written.

The form of `MLmodel` is that of MLflow 1 to 3; datatypes are given in the words of the Open Inference Protocol.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.pyfunc.params import ParamSpec, read_params

MAX_TEXT_BYTES = 4 << 20
MAX_COLUMNS = 4_096
UNNAMED_INPUT = "input"
CONVERTIBLE = ("sklearn", "lightgbm", "xgboost", "catboost")
HEEDLESS = ("sklearn", "lightgbm", "catboost", "onnx")
"""Flavours whose models mean nothing by params, as MLflow runs them."""

_COLUMN_TYPES = {
    "boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64", "string": "BYTES",
    "datetime": "BYTES",
}  # fmt: skip
_TENSOR_TYPES = {
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8",
    "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "float16": "FP16", "float32": "FP32",
    "float64": "FP64", "str": "BYTES", "object": "BYTES",
}  # fmt: skip
DTYPES = {
    "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8",
    "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "FP16": "float16", "FP32": "float32",
    "FP64": "float64", "BYTES": "text",
}  # fmt: skip
"""How the worker and NumPy name a datatype."""


@dataclass(frozen=True, slots=True)
class Column:
    """One input: `datatype` and `shape` in OIP's words, `kind` is MLflow's type where it says more."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1, 1)
    kind: str = ""
    unnamed: bool = False

    @property
    def width(self) -> int:
        """Values in one row."""
        size = 1
        for each in self.shape[1:]:
            size *= each
        return size

    def described(self) -> dict[str, Any]:
        """As the worker wants it."""
        dtype = DTYPES[self.datatype]
        return {"name": self.name, "dtype": dtype, "width": self.width, "type": self.kind, "unnamed": self.unnamed}


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """What `MLmodel` says. `inputs` is empty where there is no signature; `outputs` has their names, where they have.

    `params` are what its `predict` takes beside rows. `beyond` says why a signature that is there is not in `inputs`: it
    has what no tensor can carry.
    """

    flavours: Mapping[str, Mapping[str, Any]]
    inputs: tuple[Column, ...]
    tensors: bool
    outputs: tuple[str, ...]
    example: str
    mlflow_version: str
    params: tuple[ParamSpec, ...] = ()
    example_type: str = ""
    beyond: str = ""
    request: str = ""

    @property
    def convertible(self) -> str:
        """The flavour that has a conversion to ONNX, or empty: no graph takes params, so what makes use of them has none."""
        return "" if self.needs_params else _library(self.flavours)

    @property
    def needs_params(self) -> bool:
        """Whether its answers depend on params, also on those that nobody gives: then only MLflow can run it."""
        return bool(self.params) and heeds_params(self.flavours)


def heeds_params(flavours: Collection[str]) -> bool:
    """Whether MLflow hands a model of these flavours the params that it is asked with."""
    return not any(each in flavours for each in HEEDLESS)


def _library(flavours: Collection[str]) -> str:
    return next((each for each in CONVERTIBLE if each in flavours), "")


class _Beyond(Exception):
    """A signature has what no tensor can carry."""


def read_mlmodel(folder: Path) -> LoggedModel:
    """Raises InvalidInput for a folder that holds no MLflow model, or one whose signature is none."""
    found = _document(folder)
    flavours = found.get("flavors")
    if not isinstance(flavours, dict) or not flavours:
        raise InvalidInput("The file MLmodel names no flavors, so nothing says how the model is loaded.")
    signature = found.get("signature")
    signature = signature if isinstance(signature, dict) else {}
    inputs = _schema(signature.get("inputs"))
    columns, beyond = _columns(inputs)
    example = found.get("saved_input_example_info")
    return LoggedModel(
        flavours={str(name): about if isinstance(about, dict) else {} for name, about in flavours.items()},
        inputs=columns,
        tensors=bool(columns) and inputs[0].get("type") == "tensor",
        outputs=tuple(str(each["name"]) for each in _schema(signature.get("outputs")) if each.get("name") is not None),
        example=str(example.get("artifact_path", "")) if isinstance(example, dict) else "",
        mlflow_version=str(found.get("mlflow_version", "")),
        params=read_params(_schema(signature.get("params"))),
        example_type=str(example.get("type", "")) if isinstance(example, dict) else "",
        beyond=beyond,
        request=str(example.get("serving_input_path") or "") if isinstance(example, dict) else "",
    )


def read_example(folder: Path, model: LoggedModel) -> list[dict[str, Any]]:
    """Rows of the logged input example by input; empty where there is none that can be read without loading anything."""
    try:
        found = json.loads(example_text(folder, model))
    except ValueError:
        return []
    if isinstance(found, dict) and found.keys() == {"inputs", "params"}:  # an example of rows and of params beside them
        found = found["inputs"]
    # What lacks an input is no row of this model, whatever the file was meant to say.
    return [row for row in _rows(found, model) if all(column.name in row for column in model.inputs)]


def example_text(folder: Path, model: LoggedModel) -> str:
    """The file of the input example; empty where there is none."""
    return _named_text(folder, model.example)


def example_request(folder: Path, model: LoggedModel) -> str:
    """The input example as MLflow would send it, where it says so; empty where it does not."""
    return _named_text(folder, model.request)


def _named_text(folder: Path, name: str) -> str:
    path = _within(folder, name)
    return _text(path) if name and path is not None and path.is_file() else ""


def _document(folder: Path) -> dict[str, Any]:
    path = folder / "MLmodel"
    if not path.is_file():
        raise InvalidInput("There is no file MLmodel, so this is no MLflow model.")
    try:
        found = yaml.load(_text(path), Loader=_PlainLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidInput(f"The file MLmodel is not YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(found, dict):
        raise InvalidInput("The file MLmodel holds no mapping.")
    return found


class _PlainLoader(yaml.SafeLoader):
    """Without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Raises YAMLError at an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise LimitExceeded(f"{path.name} has {size} bytes; at most {MAX_TEXT_BYTES} are read.")
    return path.read_text(encoding="utf-8", errors="replace")


def _within(folder: Path, name: str) -> Path | None:
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _schema(text: object) -> list[dict[str, Any]]:
    if not text:
        return []
    try:
        found = json.loads(str(text))
    except ValueError as error:
        raise InvalidInput(f"The model's signature is not JSON: {error}.") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidInput("The model's signature is not a list of objects.")
    return found


def _columns(inputs: Sequence[Mapping[str, Any]]) -> tuple[tuple[Column, ...], str]:
    """The inputs; or none, and why tensors cannot be what the model takes. Raises InvalidInput."""
    try:
        columns = tuple(_column(each) for each in inputs)
    except _Beyond as error:
        return (), str(error)
    if len(columns) > MAX_COLUMNS:
        return (), f"it has {len(columns):,} inputs, and tensors of at most {MAX_COLUMNS:,} can be sent"
    names = [column.name for column in columns]
    if len(set(names)) != len(names):
        raise InvalidInput("Two inputs of the model's signature have the same name.")
    return columns, ""


def _column(said: Mapping[str, Any]) -> Column:
    kind, name = str(said.get("type", "")), said.get("name")
    if kind != "tensor":
        if kind not in _COLUMN_TYPES:
            raise _Beyond(f"input {str(name)[:100]!r} is of type {kind[:40]!r}, which no tensor can carry")
        if name is None:
            raise _Beyond("a column of its signature has no name")
        return Column(str(name), _COLUMN_TYPES[kind], kind=kind)
    spec = said.get("tensor-spec")
    spec = spec if isinstance(spec, dict) else {}
    dtype, shape = str(spec.get("dtype", "")), spec.get("shape")
    if dtype not in _TENSOR_TYPES:
        raise _Beyond(f"its signature has a tensor of dtype {dtype[:40]!r}, which cannot be sent")
    sizes = list(shape) if isinstance(shape, list) else []
    if not sizes or sizes[0] != -1 or any(type(size) is not int or size < 1 for size in sizes[1:]):
        raise _Beyond(f"its signature has a tensor of shape {sizes[:8]}: only the first dimension, rows, may be -1")
    text = UNNAMED_INPUT if name is None else str(name)
    return Column(text, _TENSOR_TYPES[dtype], tuple(sizes), "tensor", unnamed=name is None)


def _rows(found: Any, model: LoggedModel) -> list[dict[str, Any]]:
    if isinstance(found, dict) and isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
        names = [str(each) for each in found["columns"]]
        return [dict(zip(names, row, strict=False)) for row in found["data"] if isinstance(row, list)]
    if isinstance(found, dict) and isinstance(found.get("inputs"), list | dict):
        found = found["inputs"]
    if isinstance(found, list) and len(model.inputs) == 1 and model.tensors:
        return [{model.inputs[0].name: row} for row in found]
    if isinstance(found, dict) and all(isinstance(each, list) for each in found.values()):
        count = min(map(len, found.values()), default=0)
        return [{str(name): values[row] for name, values in found.items()} for row in range(count)]
    if isinstance(found, list) and all(isinstance(each, dict) for each in found):
        return [{str(name): value for name, value in each.items()} for each in found]
    return []
