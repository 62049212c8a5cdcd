"""What a feature is: as declared, and as fitted to data. No I/O, no heavy imports."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import Corrupted

NUMERIC = ("number", "scale", "log", "bucketize")
"""Transforms of a number, in the order of their columns in the feature matrix."""

CATEGORICAL = ("category", "one_hot")
"""Transforms of a text, whole number or boolean; their columns come after the numeric ones."""

TRANSFORMS = NUMERIC + CATEGORICAL

OUTPUT = "probability"
"""The package's output tensor, a name no feature may take."""

OTHER = "(other)"
"""How the column of unseen, rare and missing values is shown in the name of a one-hot feature."""


class FeatureSpec(Struct, frozen=True):
    """One declared feature. `impute` None means the median of the training data; the rest is used by its transform only."""

    column: str
    transform: str
    impute: float | None = None
    buckets: int = 10
    min_count: int = 20


class FittedFeature(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One feature with everything that was learnt from the training data.

    `datatype` is the OIP datatype of the raw input. A number becomes `(x - offset) * factor` after missing values are
    replaced by `fill`; a bucket is the count of `edges` at or below the number; a category's code is its place in
    `categories` from 1, and 0 for everything else.
    """

    column: str
    transform: str
    datatype: str
    fill: float = 0.0
    offset: float = 0.0
    factor: float = 1.0
    edges: tuple[float, ...] = ()
    categories: tuple[str | float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of this feature's columns in the feature matrix: one, or one a category plus the other."""
        if self.transform != "one_hot":
            return (self.column,)
        return (f"{self.column}={OTHER}", *(f"{self.column}={_shown(value)}" for value in self.categories))


class FittedFeatures(Struct, frozen=True, forbid_unknown_fields=True):
    """All features, in the order of their columns in the feature matrix. `format` grows when the meaning changes."""

    features: tuple[FittedFeature, ...]
    format: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Column names of the feature matrix."""
        return tuple(name for feature in self.features for name in feature.names)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal exactly when the same features were learnt."""
        return digest_of(msgspec.to_builtins(self))

    def to_json(self) -> bytes:
        """JSON that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> FittedFeatures:
        """Raises Corrupted when `data` is not what `to_json` wrote."""
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise Corrupted(f"These bytes are not fitted features: {error}.") from error


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
