"""Two versions side by side: what each was made with and measured at, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bailiwick.registry.model import ModelVersion, Stage

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing in both versions; None is what a version does not have. `change` is right less left, of two numbers."""

    name: str
    left: Value
    right: Value
    change: float | None
    same: bool


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What is compared of a version; `data` are facts about its snapshot, flat."""

    version: ModelVersion
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Every line that either version has, by name. `same_content` is whether both are known to be the same bytes."""

    model: str
    left: int
    right: int
    same_content: bool
    origin: tuple[Line, ...]
    parameters: tuple[Line, ...]
    metrics: tuple[Line, ...]
    signature: tuple[Line, ...]
    data: tuple[Line, ...]
    slices: tuple[Line, ...]


def compare(left: VersionFacts, right: VersionFacts) -> VersionComparison:
    """Set two versions of one model beside one another."""
    before, after = left.version, right.version
    return VersionComparison(
        model=before.model,
        left=before.number,
        right=after.number,
        same_content=bool(before.digest) and before.digest == after.digest,
        origin=_lines(_origin(before), _origin(after)),
        parameters=_lines(left.parameters, right.parameters),
        metrics=_lines(left.metrics, right.metrics),
        signature=_lines(_columns(before.signature), _columns(after.signature)),
        data=_lines(left.data, right.data),
        slices=_lines(before.slices, after.slices),
    )


def _origin(version: ModelVersion) -> dict[str, Any]:
    told = {
        "digest": version.digest,
        "size (bytes)": version.size_bytes or None,
        "source": version.source,
        "run": version.run_id,
        "logged model": version.model_id,
        "snapshot": version.snapshot,
        "code": version.code_version,
        "flavours": ", ".join(version.flavors),
        **{f"version of {name}": known for name, known in version.flavors.items() if known},
        "MLflow": version.content.get("mlflow_version", ""),
        "Python": version.environment.get("python", ""),
        "requirements": version.content.get("requirements_digest", ""),
        "files": version.content.get("files"),
        "input example": version.content.get("input_example"),
        "stage": "" if version.stage == Stage.NONE else version.stage,
        "created by": version.created_by,
    }
    return {name: value for name, value in told.items() if value is not None and value != ""}


def _columns(signature: Mapping[str, Any]) -> dict[str, Any]:
    """`input hour` → `FP32 [-1, 1]`; what is no list of columns is compared as it is."""
    flat: dict[str, Any] = {}
    for direction, columns in signature.items():
        if isinstance(columns, list) and all(isinstance(each, Mapping) and "name" in each for each in columns):
            for each in columns:
                rest = [str(value) for key, value in each.items() if key != "name"]
                flat[f"{direction.removesuffix('s')} {each['name']}".strip()] = " ".join(rest)
        else:
            flat[direction] = columns
    return flat


def _lines(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[Line, ...]:
    before, after = dict(_leaves(left)), dict(_leaves(right))
    return tuple(_line(name, before.get(name), after.get(name)) for name in dict.fromkeys((*before, *after)))


def _line(name: str, left: Value, right: Value) -> Line:
    both = _is_number(left) and _is_number(right)
    change = float(right) - float(left) if both else None  # type: ignore[arg-type]
    undefined = _is_nan(left) and _is_nan(right)
    return Line(name, left, right, change, undefined or left == right)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_nan(value: Value) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Nested mappings, and lists of mappings (slices: named by their column and value), as one level of plain values."""
    for key, value in tree.items():
        path = f"{prefix} / {key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            yield from _leaves(dict(map(_named, enumerate(value))), prefix)
        else:
            yield path, value if isinstance(value, str | int | float | bool | None) else str(value)


def _named(item: tuple[int, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    place, each = item
    if not {"column", "value"} <= each.keys():
        return str(place), each
    return f"{each['column']} / {each['value']}", {key: each[key] for key in each if key not in {"column", "value"}}
