"""Reads the `features` mapping of the project file.

hour: number                     a transform with its defaults
distance: {bucketize: 10}        a transform with its main option
carrier: {category: {min_count: 50}}
temp: {scale: {method: robust, impute: mean, clip_quantiles: [0.01, 0.99], indicator: true}}
route: {cross: {columns: [origin, dest], min_count: 50}}

The key is the feature's name, and the column it reads unless `column` (or `columns`, `of`, an expression) names others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.features.derived import CYCLES, DATE_PARTS
from bailiwick.features.expression import read_expression
from bailiwick.features.model import LIMIT, OUTPUT, FeatureSpec
from bailiwick.features.options import OPTIONS, TEXT_PARTS, Declared

_ENTRYPOINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_RESERVED = ("features/", "model/")
_ALIASES = {"impute": "number", "clip": "number", "ordinal": "category"}


def parse_features(features: Mapping[str, object]) -> tuple[FeatureSpec, ...]:
    """The declared features, in file order. Raises InvalidInput naming the feature, the value and the choices."""
    if not features:
        raise InvalidInput(
            "No features are declared.", hint="Name at least one column, for example `distance: number`."
        )
    return tuple(_parse_feature(column, declared) for column, declared in features.items())


def _parse_feature(column: str, declared: object) -> FeatureSpec:
    _refuse_reserved(column, column)
    transform, given = _transform_of(column, declared)
    if transform not in OPTIONS:
        raise InvalidInput.choice(f"Feature {column!r}: transform", transform, OPTIONS)
    known = OPTIONS[transform]
    options = _options_of(column, transform, known, given)
    found: dict[str, Any] = dict(known.defaults)
    for name, value in options.items():
        found.update(_PARSERS[name](f"Feature {column!r}: {name}", value))
    _require(column, transform, known, options)
    spec = FeatureSpec(column=column, transform=_ALIASES.get(transform, transform), **found)
    for source in spec.reads:
        _refuse_reserved(column, source)
    _check_together(spec)
    return spec


def _refuse_reserved(feature: str, column: str) -> None:
    if column == OUTPUT or column.startswith(_RESERVED):
        raise InvalidInput(
            f"Feature {feature!r}: {column!r} is a name that the model package needs for itself.",
            hint="Rename the column.",
        )


def _transform_of(column: str, declared: object) -> tuple[str, object]:
    if isinstance(declared, str):
        return declared, {}
    if isinstance(declared, Mapping) and len(declared) == 1:
        ((transform, given),) = declared.items()
        return str(transform), given
    raise InvalidInput(
        f"Feature {column!r} is {declared!r}; give one transform: {', '.join(OPTIONS)}.",
        hint=f"For example `{column}: number` or `{column}: {{category: {{min_count: 50}}}}`.",
    )


def _options_of(column: str, transform: str, known: Declared, given: object) -> Mapping[str, object]:
    options = given if isinstance(given, Mapping) else {known.main: given}
    for name in options:
        if name not in known.options:
            raise InvalidInput.choice(f"Feature {column!r}: option of {transform}", name, known.options)
    return options


def _require(column: str, transform: str, known: Declared, options: Mapping[str, object]) -> None:
    for name in known.required:
        if name not in options:
            raise InvalidInput(
                f"Feature {column!r}: {transform} needs {name!r}.", hint=f"For example `{column}: {known.example}`."
            )


def _check_together(spec: FeatureSpec) -> None:
    where = f"Feature {spec.column!r}"
    if spec.clip is not None and spec.quantiles is not None:
        raise InvalidInput(f"{where}: give fixed bounds or quantiles to clip at, not both.")
    if spec.transform == "bucketize" and spec.buckets > 1000:
        raise InvalidInput(f"{where}: buckets {spec.buckets} must be a whole number from 2 to 1000.")
    if spec.one_hot and spec.transform == "hash" and spec.buckets > 1000:
        raise InvalidInput(f"{where}: one_hot of {spec.buckets} buckets is too wide; at most 1000 are allowed.")
    if spec.transform == "ngrams" and spec.method == "hash" and spec.longest > 1:
        raise InvalidInput(
            f"{where}: n-grams of several tokens cannot be hashed in the graph.",
            hint="Leave `hash_buckets` out, so that a vocabulary is learnt, or let `longest` be 1.",
        )


@dataclass(frozen=True, slots=True)
class _Whole:
    field: str
    least: int
    most: int

    def __call__(self, where: str, value: object) -> dict[str, object]:
        if isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most:
            return {self.field: value}
        raise InvalidInput(f"{where} {value!r} must be a whole number from {self.least} to {self.most}.")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LIMIT


def _method(*choices: str) -> Callable[[str, object], dict[str, object]]:
    def parse(where: str, value: object) -> dict[str, object]:
        if value not in choices:
            raise InvalidInput.choice(where, str(value), choices)
        return {"method": value}

    return parse


def _any_method(where: str, value: object) -> dict[str, object]:
    return _method("standard", "min_max", "robust")(where, value)


def _binning(where: str, value: object) -> dict[str, object]:
    return _method("quantile", "width")(where, value)


def _impute(where: str, value: object) -> dict[str, object]:
    if isinstance(value, str) and value in {"mean", "most_frequent"}:
        return {"impute": value}
    if value == "median":
        return {"impute": None}
    if _number(value):
        return {"impute": float(value)}  # type: ignore[arg-type]
    raise InvalidInput(
        f"{where} {value!r} must be `median`, `mean`, `most_frequent` or a number between -1e15 and 1e15."
    )


def _numbers(where: str, value: object, *, least: int, most: int) -> tuple[float, ...]:
    found = tuple(value) if isinstance(value, list | tuple) else ()
    rising = all(_number(each) for each in found) and list(found) == sorted(set(found))
    if not least <= len(found) <= most or not rising:
        raise InvalidInput(f"{where} {value!r} must be a list of {least} to {most} rising numbers, such as [0, 10].")
    return tuple(float(each) for each in found)


def _clip(where: str, value: object) -> dict[str, object]:
    return {"clip": _numbers(where, value, least=2, most=2)}


def _quantiles(where: str, value: object) -> dict[str, object]:
    found = _numbers(where, value, least=2, most=2)
    if found[0] < 0 or found[1] > 1:
        raise InvalidInput(f"{where} {value!r} must be shares from 0 to 1, such as [0.01, 0.99].")
    return {"quantiles": found}


def _edges(where: str, value: object) -> dict[str, object]:
    return {"edges": _numbers(where, value, least=1, most=1000)}


def _truth(field: str) -> Callable[[str, object], dict[str, object]]:
    def parse(where: str, value: object) -> dict[str, object]:
        if not isinstance(value, bool):
            raise InvalidInput(f"{where} {value!r} must be true or false.")
        return {field: value}

    return parse


def _name(where: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise InvalidInput(f"{where} {value!r} must be the name of a column.")


def _column(where: str, value: object) -> dict[str, object]:
    return {"sources": (_name(where, value),)}


def _columns(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, list | tuple) or len(value) != 2 or value[0] == value[1]:
        raise InvalidInput(f"{where} {value!r} must be a list of two columns, such as [origin, dest].")
    return {"sources": tuple(_name(where, each) for each in value)}


def _inputs(where: str, value: object) -> dict[str, object]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or len(set(map(str, found))) != len(found):
        raise InvalidInput(f"{where} {value!r} must be a list of different columns, such as [air_time, carrier].")
    return {"sources": tuple(_name(where, each) for each in found)}


def _pipeline(where: str, value: object) -> dict[str, object]:
    if isinstance(value, str) and _ENTRYPOINT.fullmatch(value):
        return {"expression": value}
    raise InvalidInput(
        f"{where} {value!r} must be `module:function`, found beside the project file.",
        hint="The function takes nothing and returns a scikit-learn transformer that is not fitted yet.",
    )


def _among(choices: tuple[str, ...]) -> Callable[[str, object], dict[str, object]]:
    def parse(where: str, value: object) -> dict[str, object]:
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list | tuple) or not found or len(set(map(str, found))) != len(found):
            raise InvalidInput(f"{where} {value!r} must be a list of different parts, such as [{choices[0]}].")
        for each in found:
            if each not in choices:
                raise InvalidInput.choice(where, str(each), choices)
        return {"parts": tuple(found)}

    return parse


_date_parts = _among((*DATE_PARTS, *(f"{part}_cyclic" for part in CYCLES)))
_text_parts = _among(TEXT_PARTS)


def _parts(where: str, value: object) -> dict[str, object]:
    return _date_parts(where, value)


def _measures(where: str, value: object) -> dict[str, object]:
    return _text_parts(where, value)


def _order(where: str, value: object) -> dict[str, object]:
    if value == "sorted":
        return {"method": "sorted"}
    found = tuple(value) if isinstance(value, list | tuple) else ()
    kinds = {str if isinstance(each, str) else float if _number(each) else None for each in found}
    if not found or len(kinds) > 1 or None in kinds or len(set(found)) != len(found):
        raise InvalidInput(f"{where} {value!r} must be `sorted` or a list of different values, such as [low, high].")
    return {"values": tuple(each if isinstance(each, str) else float(each) for each in found)}


def _smoothing(where: str, value: object) -> dict[str, object]:
    if _number(value) and 0 <= value <= 1e9:  # type: ignore[operator]
        return {"smoothing": float(value)}  # type: ignore[arg-type]
    raise InvalidInput(
        f"{where} {value!r} must be a number from 0 to 1e9: so many rows does the share of all count for."
    )


def _expression(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f'{where} {value!r} must be text, such as "distance / air_time".')
    try:
        read = read_expression(value)
    except InvalidInput as error:
        raise InvalidInput(f"{where.partition(':')[0]}: {error.message}", hint=error.hint) from error
    return {"expression": value.strip(), "sources": tuple(read.columns)}


def _hash_buckets(where: str, value: object) -> dict[str, object]:
    return {**_Whole("buckets", 2, 4096)(where, value), "method": "hash", "max_size": 0}


_PARSERS: Mapping[str, Callable[[str, object], dict[str, object]]] = {
    "method": _any_method,
    "by": _binning,
    "impute": _impute,
    "with": _impute,
    "buckets": _Whole("buckets", 2, 1_000_000),
    "edges": _edges,
    "min_count": _Whole("min_count", 1, 1_000_000_000),
    "max_size": _Whole("max_size", 1, 100_000),
    "clip": _clip,
    "to": _clip,
    "clip_quantiles": _quantiles,
    "quantiles": _quantiles,
    "indicator": _truth("indicator"),
    "one_hot": _truth("one_hot"),
    "column": _column,
    "columns": _columns,
    "order": _order,
    "smoothing": _smoothing,
    "folds": _Whole("folds", 2, 20),
    "parts": _parts,
    "measures": _measures,
    "longest": _Whole("longest", 1, 3),
    "hash_buckets": _hash_buckets,
    "expression": _expression,
    "pipeline": _pipeline,
    "inputs": _inputs,
}
