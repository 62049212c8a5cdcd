"""Rules of sparse and weighted features: columns that belong together are there together and are as long as each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bailiwick.data.schema.tree import SchemaTree, deprecate, is_deprecated
from bailiwick.data.statistics.view import FeatureView
from bailiwick.data.validation.anomalies import Finding


def check_composite(tree: SchemaTree, view: FeatureView) -> list[Finding] | None:
    """Findings of the weighted or sparse feature of that name; None where the schema has no such one to check.

    Whatever is found, the feature is deprecated: no smaller relaxation is known.
    """
    feature, sparse = tree.features.get(view.path), tree.sparse.get(view.path)
    weighted = tree.weighted.get(view.path)
    if weighted is not None:
        if (feature is not None or sparse is not None) and not is_deprecated(weighted):
            found = [_collision("WEIGHTED_FEATURE_NAME_COLLISION", "weighted feature")]
            _deprecate(found, weighted, feature, sparse)
        else:
            found = list(_check_weighted(view))
            _deprecate(found, weighted)
        return found
    if sparse is None or is_deprecated(sparse):
        return None
    if feature is not None and not is_deprecated(feature):
        found = [_collision("SPARSE_FEATURE_NAME_COLLISION", "sparse feature")]
        _deprecate(found, sparse, feature)
    else:
        found = list(_check_sparse(view))
        _deprecate(found, sparse)
    return found


def _deprecate(found: list[Finding], *features: Any) -> None:
    for feature in features if found else ():
        if feature is not None:
            deprecate(feature)


def _collision(kind: str, what: str) -> Finding:
    return Finding(kind, "One name for two features", f"The name of the {what} is that of another feature too.")


def _check_sparse(view: FeatureView) -> Iterator[Finding]:
    for stat in view.stats.custom_stats:
        buckets = [(bucket.label, int(bucket.sample_count)) for bucket in stat.rank_histogram.buckets]
        if stat.name == "missing_value" and stat.num:
            yield Finding("SPARSE_FEATURE_MISSING_VALUE", "No values", f"{stat.num:g} examples lack the values.")
        elif stat.name == "missing_index":
            for name, count in buckets:
                if count:
                    long = f"{count} examples lack the index {name!r}."
                    yield Finding("SPARSE_FEATURE_MISSING_INDEX", "No index", long)
        elif stat.name in {"max_length_diff", "min_length_diff"}:
            for name, difference in buckets:
                if difference:
                    most = "at most" if stat.name == "max_length_diff" else "at least"
                    long = f"Index {name!r} is {most} {difference} longer than the values."
                    yield Finding("SPARSE_FEATURE_LENGTH_MISMATCH", "Index and values differ in length", long)


def _check_weighted(view: FeatureView) -> Iterator[Finding]:
    least = most = 0.0
    for stat in view.stats.custom_stats:
        if stat.name == "missing_value" and stat.num:
            long = f"{stat.num:g} examples lack the values."
            yield Finding("WEIGHTED_FEATURE_MISSING_VALUE", "No values", long)
        elif stat.name == "missing_weight" and stat.num:
            long = f"{stat.num:g} examples lack the weights."
            yield Finding("WEIGHTED_FEATURE_MISSING_WEIGHT", "No weights", long)
        elif stat.name == "min_weight_length_diff":
            least = stat.num
        elif stat.name == "max_weight_length_diff":
            most = stat.num
    if least or most:
        long = f"There are {least:g} to {most:g} weights more than values."
        yield Finding("WEIGHTED_FEATURE_LENGTH_MISMATCH", "Weights and values differ in length", long)
