"""Features fitted and made where the rows are: each partition learns for itself, and what was learnt is merged.

Executors need the Python packages that `executors` names; the platform's own code is sent to them. No row comes to the driver:
a partition sends counts of its different values, and the graph that serves also runs over Arrow batches of a partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bailiwick.adapters.spark.executors import Learning, Making, Merging
from bailiwick.adapters.spark.session import told_of
from bailiwick.adapters.spark.shipping import ship
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.features.model import FeatureSpec, FittedFeatures

_MERGERS = 8
"""Tasks that merge what partitions have learnt, so that the driver merges few."""


def fit_on_spark(frame: Any, specs: Sequence[FeatureSpec], *, label: str = "", positive: object = 1) -> FittedFeatures:
    """The features, fitted on all rows of a DataFrame: equal, digest and all, to `fit_features` of the same rows.

    `label`: the column that target encoding needs, in which `positive` (or true) counts as 1. Out-of-fold encodings of
    training rows are not made here, for Spark's rows have no number. Raises InvalidInput as `fit_features`, and for a label
    that is not there; Unavailable where executors lack what they need.
    """
    from bailiwick.features.fitting import Fitting

    if any(spec.transform == "target" for spec in specs):
        if not label:
            raise InvalidInput("A target-encoded feature is fitted with labels; name the label's column.")
    else:
        label = ""
    columns = tuple(dict.fromkeys([column for spec in specs for column in spec.reads] + ([label] if label else [])))
    schema = _arrow_schema(frame, columns)
    total = Fitting(specs, schema)
    learning, merging = Learning(tuple(specs), schema, columns, label, positive), Merging(tuple(specs), schema)
    with told_of("The DataFrame"):
        ship(frame.sparkSession)
        parts = _chosen(frame, columns).mapInArrow(learning, "learnt binary")
        for row in parts.repartition(_MERGERS).mapInArrow(merging, "learnt binary").toLocalIterator():
            total.absorb(bytes(row[0]))
    return total.finish()


def transform_on_spark(frame: Any, graph: bytes, *, keep: Sequence[str] = (), column: str = "features") -> Any:
    """A DataFrame of the `keep` columns and an array of floats, in the order of the graph's names, made by its executors.

    `graph`: the serialised ONNX graph of `compile_features`. Nothing runs until the DataFrame is used. Raises InvalidInput for
    a column that the graph reads and the DataFrame lacks, or whose name is taken.
    """
    from bailiwick.features.graph import FeatureGraph

    with told_of("The DataFrame"):
        there = frame.columns
    inputs = FeatureGraph(graph).inputs
    for name in (*inputs, *keep):
        if name not in there:
            raise InvalidInput.choice("Column", name, there)
    if column in keep:
        raise InvalidInput(f"Column {column!r} is kept and would be made.", hint="Give what is made another name.")
    read = tuple(dict.fromkeys([*inputs, *keep]))
    with told_of("The DataFrame"):
        ship(frame.sparkSession)
        kept = [field for name in keep for field in frame.schema.fields if field.name == name]
        making = Making(graph, read, tuple(keep), column)
        return _chosen(frame, read).mapInArrow(making, _with_array(kept, column))


def _arrow_schema(frame: Any, columns: Sequence[str]) -> Any:
    """Of these columns only: others may be of types that Arrow lacks. Raises InvalidInput for one that is not there."""
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    with told_of("The DataFrame"):
        fields = {field.name: field for field in frame.schema.fields}
        for column in columns:
            if column not in fields:
                raise InvalidInput.choice("Column", column, fields)
        return to_arrow_schema(StructType([fields[column] for column in columns]))


def _chosen(frame: Any, columns: Sequence[str]) -> Any:
    """These columns in this order, under names of their places: Spark's parser is told none of the data's own."""
    places = {name: f"c{place}" for place, name in enumerate(frame.columns)}
    return frame.toDF(*places.values()).select(*[places[name] for name in columns])


def _with_array(kept: Sequence[Any], column: str) -> Any:
    from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

    return StructType([*kept, StructField(column, ArrayType(FloatType(), containsNull=False), nullable=False)])
