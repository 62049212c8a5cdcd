"""What a logged model takes beside its rows: MLflow's params schema, and values held to it as MLflow holds them.

None is taken for any type. A whole number is one of any size, and may stand for a float; a float never stands for a whole
number, nor a text or a boolean for a number. A `datetime` is whatever NumPy reads as a day or a moment down to
microseconds. What is a list, or an object, may also be given as a text of JSON, because there are protocols whose
parameters are single values.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import InvalidInput

_TAKEN: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "string": (str,),
}
_LISTED = (-1,)
_TOLD = 200


class ParamSpec(Struct, frozen=True, omit_defaults=True):
    """One param. `type` is MLflow's word, `shape` is (-1,) for a list, `properties` are those of an `object`.

    A `type` that is empty is one of a package that says no more than the name; its model runs with what it was logged with.
    """

    name: str
    type: str = ""
    default: Any = None
    shape: tuple[int, ...] | None = None
    properties: dict[str, dict[str, Any]] | None = None

    @property
    def compound(self) -> bool:
        """Whether it is more than one value."""
        return self.shape is not None or self.properties is not None

    @property
    def kind(self) -> str:
        """Its type in words."""
        return f"a list of {self.type}" if self.shape is not None else self.type


def read_params(schema: Sequence[Mapping[str, Any]]) -> tuple[ParamSpec, ...]:
    """The specs of a signature's `params`, as `MLmodel` writes them; what has no name is none."""
    return tuple(_spec(each) for each in schema if each.get("name") is not None)


def held(specs: Sequence[ParamSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is given, those that are declared, as JSON values of their types. Raises InvalidInput naming all that are not."""
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for spec in specs:
        if spec.name not in given:
            continue
        try:
            found[spec.name] = _value(spec, given[spec.name])
        except InvalidInput as error:
            wrong.append(f"{spec.name[:100]!r}: {error.message}")
    if wrong:
        raise InvalidInput(f"Invalid parameters found: {'; '.join(wrong)}")
    return found


def resolved(specs: Sequence[ParamSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is run with: the same, and the defaults of those that are not given."""
    return {spec.name: spec.default for spec in specs} | held(specs, given)


def _spec(said: Mapping[str, Any]) -> ParamSpec:
    shape, properties, default = said.get("shape"), said.get("properties"), said.get("default")
    try:
        canonical_json(default)
    except InvalidInput:  # as of a whole number that no package can hold: it is told, and the model knows it itself
        default = json.dumps(default)
    return ParamSpec(
        name=str(said["name"]),
        type=str(said.get("type") or said.get("dtype") or ""),
        default=default,
        shape=None if shape is None else _LISTED,
        properties=properties if isinstance(properties, dict) else None,
    )


def _value(spec: ParamSpec, value: Any) -> Any:
    if not spec.type:
        raise InvalidInput(
            "it cannot be given, because the version was packaged when models were run with what they were logged with.",
            hint="Register it again, and package that.",
        )
    if isinstance(value, str) and spec.compound:
        value = _parsed(value)
    if spec.shape is None:
        return _object(value, spec.properties) if spec.properties is not None else _scalar(value, spec.type)
    if not isinstance(value, list) or any(isinstance(each, list) for each in value):
        raise InvalidInput(f"Value must be a 1D array with shape (-1,), received {_told(value)}.")
    return [_scalar(each, spec.type) for each in value]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _scalar(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "datetime":
        return _moment(value)
    if type(value) not in _TAKEN.get(kind, ()):
        raise InvalidInput(f"Can not safely convert {_told(value)} to {kind}.")
    return float(value) if kind in {"float", "double"} else value


def _moment(value: Any) -> str | None:
    """ISO 8601, without a zone: those that have one are told as UTC. NaT is None."""
    # MLflow's own words, which its clients look for.
    wrong = InvalidInput(
        f"Failed to convert value `{str(value)[:_TOLD]}` from type `{type(value)}` to `DataType.datetime`"
    )
    if not isinstance(value, str):
        raise wrong
    try:
        found = np.datetime64(_without_zone(value)).item()
    except (ValueError, OverflowError):
        raise wrong from None
    if isinstance(found, int):  # nanoseconds, or a year that no calendar has
        raise wrong
    return None if found is None else str(found.isoformat())


def _without_zone(text: str) -> str:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat()


def _object(value: Any, properties: Mapping[str, Mapping[str, Any]]) -> Any:
    """As it is given, if it has what it must have and nothing else, each of its type."""
    if not isinstance(value, dict):
        raise InvalidInput(f"Expected an object, received {_told(value)}.")
    lacking = sorted(name for name, said in properties.items() if said.get("required", True) and name not in value)
    if lacking:
        raise InvalidInput(f"Missing required properties: {', '.join(lacking)[:_TOLD]}.")
    unknown = sorted(value.keys() - properties.keys())
    if unknown:
        raise InvalidInput(f"Invalid properties not defined in the schema found: {', '.join(unknown)[:_TOLD]}.")
    for name, each in value.items():
        try:
            _property(each, properties[name])
        except InvalidInput as error:
            raise InvalidInput(f"property {name[:100]!r}: {error.message}") from error
    return value


def _property(value: Any, said: Mapping[str, Any]) -> None:
    kind, items, properties = str(said.get("type", "")), said.get("items"), said.get("properties")
    if not said.get("required", True) and (value is None or (kind == "object" and value == {})):
        return
    if kind == "array" and isinstance(items, dict):
        if not isinstance(value, list):
            raise InvalidInput(f"Expected an array, received {_told(value)}.")
        for each in value:
            _property(each, items)
    elif kind == "object" and isinstance(properties, dict):
        _object(value, properties)
    elif kind in _TAKEN or kind == "datetime":
        _scalar(value, kind)


def _told(value: Any) -> str:
    return f"{json.dumps(value)[:_TOLD]} ({type(value).__name__})"
