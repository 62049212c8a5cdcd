"""Two snapshots side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.model import ColumnDifference, Snapshot, SnapshotComparison

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


def compare_snapshots(
    one: Snapshot, other: Snapshot, statistics_of_one: bytes, statistics_of_other: bytes
) -> SnapshotComparison:
    """Columns in the order of `one`, then those only `other` has; statistics are those that were kept with each."""
    types = (dict(one.columns), dict(other.columns))
    found = (_numbers(statistics_of_one), _numbers(statistics_of_other))
    names = list(dict.fromkeys([*types[0], *types[1]]))
    columns = tuple(_difference(name, types, found) for name in names)
    return SnapshotComparison(one, other, one.digest == other.digest, other.rows - one.rows, columns)


def _difference(
    name: str, types: tuple[dict[str, str], dict[str, str]], found: tuple[dict[str, Any], dict[str, Any]]
) -> ColumnDifference:
    before, after = types[0].get(name, ""), types[1].get(name, "")
    numbers = [each.get(name, {}) for each in found]
    side_by_side = {key: (numbers[0].get(key), numbers[1].get(key)) for key in {**numbers[0], **numbers[1]}}
    if not before:
        return ColumnDifference(name, "added", (before, after), side_by_side)
    if not after:
        return ColumnDifference(name, "removed", (before, after), side_by_side)
    return ColumnDifference(name, "same" if before == after else "retyped", (before, after), side_by_side)


def _numbers(serialised: bytes) -> dict[str, dict[str, float]]:
    statistics = protos.DatasetFeatureStatisticsList.FromString(serialised)
    return {"/".join(feature.path.step): _of(feature) for feature in statistics.datasets[0].features}


def _of(feature: Any) -> dict[str, float]:
    which = feature.WhichOneof("stats")
    if which is None:
        return {}
    common = getattr(feature, which).common_stats
    numbers = {"missing": float(common.num_missing)}
    if which == "num_stats":
        number = feature.num_stats
        for key in ("mean", "std_dev", "min", "median", "max"):
            numbers[key] = float(getattr(number, key))
    elif which == "string_stats":
        numbers["unique"] = float(feature.string_stats.unique)
        numbers["avg_length"] = float(feature.string_stats.avg_length)
    return numbers
