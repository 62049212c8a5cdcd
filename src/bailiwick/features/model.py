"""What a feature is: as declared, and as fitted to data. No I/O, no heavy imports."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import Corrupted
from bailiwick.features.derived import Derived, shown

NUMERIC = ("number", "scale", "log", "bucketize")
"""Transforms of a number, in the order of their columns in the feature matrix."""

CATEGORICAL = ("category", "one_hot")
"""Transforms of a text, whole number or boolean; their columns come after the numeric ones."""

TRANSFORMS = NUMERIC + CATEGORICAL

OUTPUT = "probability"
"""The package's output tensor, a name no feature may take."""

OTHER = "(other)"
"""How the column of unseen, rare and missing values is shown in the name of a one-hot feature."""


LIMIT = 1e15
"""Largest magnitude of a number in the graph; beyond it, infinities included, values count as the limit."""


class FeatureSpec(Struct, frozen=True):
    """One declared feature. Options that its transform does not know keep their defaults.

    `column` is the feature's name, and the column it reads unless `sources` names others. `impute` is a number, `mean`,
    `most_frequent`, or None for the median. `max_size` 0 means no limit.
    """

    column: str
    transform: str
    impute: float | str | None = None
    buckets: int = 10
    min_count: int = 20
    sources: tuple[str, ...] = ()
    method: str = ""
    clip: tuple[float, float] | None = None
    quantiles: tuple[float, float] | None = None
    edges: tuple[float, ...] = ()
    max_size: int = 0
    values: tuple[str | float, ...] = ()
    indicator: bool = False
    one_hot: bool = False
    smoothing: float = 20.0
    folds: int = 5
    parts: tuple[str, ...] = ()
    longest: int = 1
    expression: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the data that the feature is made of."""
        return self.sources or (self.column,)


class FittedFeature(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One feature with everything that was learnt from the training data.

    `datatype` is the OIP datatype of the raw input. A number becomes `(x - offset) * factor` after missing values are
    replaced by `fill` and all are bounded to [`least`, `most`]; a bucket is the count of `edges` at or below the number;
    a category's code is its place in `categories` from 1, and 0 for everything else. `source` is the column where it is
    not the feature's name.
    """

    column: str
    transform: str
    datatype: str
    fill: float = 0.0
    offset: float = 0.0
    factor: float = 1.0
    edges: tuple[float, ...] = ()
    categories: tuple[str | float, ...] = ()
    source: str = ""
    least: float = -LIMIT
    most: float = LIMIT

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The column that is read, with its OIP datatype."""
        return ((self.source or self.column, self.datatype),)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of this feature's columns in the feature matrix: one, or one a category plus the other."""
        if self.transform != "one_hot":
            return (self.column,)
        return (f"{self.column}={OTHER}", *(f"{self.column}={shown(value)}" for value in self.categories))


class FittedFeatures(Struct, frozen=True, forbid_unknown_fields=True):
    """All features, in the order of their columns in the feature matrix. `format` grows when the meaning changes."""

    features: tuple[FittedFeature, ...]
    format: int = 1
    derived: tuple[Derived, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Column names of the feature matrix."""
        return tuple(name for feature in (*self.features, *self.derived) for name in feature.names)

    @property
    def inputs(self) -> dict[str, str]:
        """OIP datatype by column that is read, in the order in which features need them; moments (FP64) win over FP32."""
        found: dict[str, str] = {}
        for feature in (*self.features, *self.derived):
            for column, datatype in feature.inputs:
                found[column] = datatype if found.get(column) != "FP64" else "FP64"
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal exactly when the same features were learnt."""
        return digest_of(self._document())

    def to_json(self) -> bytes:
        """JSON that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self._document())

    def _document(self) -> dict[str, Any]:
        """Without an empty `derived`, so that what was fitted before there were any keeps its digest."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        if not self.derived:
            del document["derived"]
        return document

    @classmethod
    def from_json(cls, data: bytes) -> FittedFeatures:
        """Raises Corrupted when `data` is not what `to_json` wrote."""
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise Corrupted(f"These bytes are not fitted features: {error}.") from error
