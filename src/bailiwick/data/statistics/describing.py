"""All that can be told of a table, at one call: TFDV's generators, chosen by keyword."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.statistics.composites import add_composites
from bailiwick.data.statistics.compute import compute_statistics
from bailiwick.data.statistics.crossing import add_correlations, add_lift
from bailiwick.data.statistics.empties import add_empties
from bailiwick.data.statistics.information import add_information
from bailiwick.data.statistics.language import add_language
from bailiwick.data.statistics.meaning import add_meanings
from bailiwick.data.statistics.view import ALL_EXAMPLES
from bailiwick.data.statistics.weighting import add_weights

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")


def describe(
    table: pa.Table,
    name: str = "",
    *,
    slices: Mapping[str, pa.Table] | None = None,
    weight: str = "",
    label: str = "",
    correlations: bool = False,
    meanings: bool = False,
    schema: Any = None,
    vocabularies: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """A `DatasetFeatureStatisticsList` of the table, and of each slice that has rows (then the first is `All Examples`).

    `weight`: a column that says how much a row counts. `label`: a column whose lift by the values of others is wanted, and
    what the others tell of it. `schema`: texts of features to which it gives a natural-language domain are counted by token,
    in the `vocabularies` by name, and its sparse and weighted features are looked at. Raises InvalidInput as those that add these do.
    """
    statistics = compute_statistics(table, ALL_EXAMPLES if slices else name)
    parts = [table]
    for slice_name, rows in (slices or {}).items():
        if rows.num_rows:
            statistics.datasets.extend(compute_statistics(rows, slice_name).datasets)
            parts.append(rows)
    for dataset, rows in zip(statistics.datasets, parts, strict=True):
        if weight:
            add_weights(dataset, rows, weight)
        if correlations:
            add_correlations(dataset, rows)
        if label:
            add_lift(dataset, rows, label)
            add_information(dataset, rows, label)
        if schema is not None:
            add_language(dataset, rows, schema, vocabularies)
        if meanings:
            add_meanings(dataset, rows)
            add_empties(dataset, rows)
        if schema is not None:
            add_composites(dataset, rows, schema)
    return statistics
