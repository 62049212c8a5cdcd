"""Reads the `features` mapping of the project file.

hour: number                     a transform with its defaults
distance: {bucketize: 10}        a transform with its main option
carrier: {category: {min_count: 50}}
temp: {scale: {method: standard, impute: 0}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bailiwick.core.errors import InvalidInput
from bailiwick.features.model import OUTPUT, TRANSFORMS, FeatureSpec

_RESERVED = ("features/", "model/")
_MAIN_OPTION = {
    "number": "impute",
    "scale": "method",
    "log": "impute",
    "bucketize": "buckets",
    "category": "min_count",
    "one_hot": "min_count",
}
_OPTIONS = {
    "number": ("impute",),
    "scale": ("method", "impute"),
    "log": ("impute",),
    "bucketize": ("buckets", "impute"),
    "category": ("min_count",),
    "one_hot": ("min_count",),
}


def parse_features(features: Mapping[str, object]) -> tuple[FeatureSpec, ...]:
    """The declared features, in file order. Raises InvalidInput naming the feature, the value and the choices."""
    if not features:
        raise InvalidInput(
            "No features are declared.", hint="Name at least one column, for example `distance: number`."
        )
    return tuple(_parse_feature(column, declared) for column, declared in features.items())


def _parse_feature(column: str, declared: object) -> FeatureSpec:
    if column == OUTPUT or column.startswith(_RESERVED):
        raise InvalidInput(
            f"Feature {column!r} has a name that the model package needs for itself.", hint="Rename the column."
        )
    transform, given = _transform_of(column, declared)
    if transform not in TRANSFORMS:
        raise InvalidInput.choice(f"Feature {column!r}: transform", transform, TRANSFORMS)
    options = _options_of(column, transform, given)
    parsed = {name: _PARSERS[name](f"Feature {column!r}: {name}", value) for name, value in options.items()}
    parsed.pop("method", None)
    return FeatureSpec(column=column, transform=transform, **parsed)  # type: ignore[arg-type]


def _transform_of(column: str, declared: object) -> tuple[str, object]:
    if isinstance(declared, str):
        return declared, {}
    if isinstance(declared, Mapping) and len(declared) == 1:
        ((transform, given),) = declared.items()
        return str(transform), given
    raise InvalidInput(
        f"Feature {column!r} is {declared!r}; give one transform: {', '.join(TRANSFORMS)}.",
        hint=f"For example `{column}: number` or `{column}: {{category: {{min_count: 50}}}}`.",
    )


def _options_of(column: str, transform: str, given: object) -> Mapping[str, object]:
    options = given if isinstance(given, Mapping) else {_MAIN_OPTION[transform]: given}
    for name in options:
        if name not in _OPTIONS[transform]:
            raise InvalidInput.choice(f"Feature {column!r}: option of {transform}", name, _OPTIONS[transform])
    return options


def _method(where: str, value: object) -> str:
    if value != "standard":
        raise InvalidInput.choice(where, value, ["standard"])
    return "standard"


def _impute(where: str, value: object) -> float | None:
    if value == "median":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15:
        return float(value)
    raise InvalidInput(f"{where} {value!r} must be `median` or a number between -1e15 and 1e15.")


def _whole(least: int, most: int) -> Callable[[str, object], int]:
    def parse(where: str, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise InvalidInput(f"{where} {value!r} must be a whole number from {least} to {most}.")

    return parse


_PARSERS: Mapping[str, Callable[[str, object], object]] = {
    "method": _method,
    "impute": _impute,
    "buckets": _whole(2, 1000),
    "min_count": _whole(1, 1_000_000_000),
}
