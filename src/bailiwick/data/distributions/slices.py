"""All rows and each slice of a dataset, alone or against a baseline: columns with verdicts and anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable, type_name
from bailiwick.data.comparison import FeatureDrift, compare
from bailiwick.data.distributions.columns import columns_of
from bailiwick.data.distributions.kept import kept_drifts
from bailiwick.data.distributions.model import Slice
from bailiwick.data.profile import Profile, count, kind_of
from bailiwick.data.profiling import profile_of_part, tally_part
from bailiwick.data.statistics.merging import Part
from bailiwick.data.statistics.slicing import count_slices, split_rows
from bailiwick.data.statistics.streaming import Rows, TableRows, grouped
from bailiwick.data.statistics.view import ALL_EXAMPLES, dataset_of
from bailiwick.data.validation.anomalies import Anomaly
from bailiwick.data.validation.checking import check

if TYPE_CHECKING:
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    pa = deferred("pyarrow")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")

MOST_SLICES = 24


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data to be looked at: its rows, or only their statistics where `rows` is None. `statistics` is TFDV's list.

    Rows that can be read again may be more than memory holds: they are read once, and once more where a column has so many
    different values that not each was counted for itself.
    """

    name: str
    rows: pa.Table | Rows | None = None
    statistics: Any = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the data is held against: a schema in an environment, and a baseline at a false-alarm rate and a margin."""

    schema: Any = None
    environment: str = ""
    alpha: float = 0.01
    margin: float = 0.05


def slices_of(
    current: Dataset, baseline: Dataset | None = None, *, by: str = "", judgement: Judgement | None = None
) -> list[Slice]:
    """All rows first, then the slices of `current` with the most rows, at most `MOST_SLICES` of them.

    `by` names a column to slice rows by; statistics that came in slices keep theirs. A slice is compared with the
    baseline's slice of that name, and `alpha` is shared out evenly among the slices beside all rows. Raises InvalidInput
    for a column to slice by where there are no rows, and as `check` and `compare` do.
    """
    judged = judgement or Judgement()
    now, then = _parts(current, by), _parts(baseline, by) if baseline is not None else None
    inner = sorted((name for name in now if name), key=lambda name: (-now[name].statistics.num_examples, name))
    chosen = ["", *inner[:MOST_SLICES]]
    pairs = {name: (then.get(name) if then is not None else None, now[name]) for name in chosen}
    profiles = _profiles(baseline, current, by, pairs)
    found = []
    for name in chosen:
        share = judged.alpha / (len(chosen) - 1 if name else 1)
        found.append(_slice(name, pairs[name], profiles.get(name), judged, alpha=share))
    return found


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of all rows or of a slice: its statistics, and where there were rows what was counted and their types."""

    statistics: Any
    counted: Part | None = None
    schema: pa.Schema | None = None


_Pairs = Mapping[str, tuple["_Known | None", _Known]]


def _parts(dataset: Dataset, by: str) -> dict[str, _Known]:
    """Statistics and counts of all ("") and of each slice."""
    if dataset.rows is None:
        if by:
            raise InvalidInput(
                f"{dataset.name} holds statistics and no rows, so it cannot be sliced by {by!r}.",
                hint="Slice when the statistics are made: `bailiwick data stats SOURCE --by COLUMN --out FILE`.",
            )
        whole = dataset_of(dataset.statistics, dataset.name)
        rest = [each for each in dataset.statistics.datasets if each is not whole and each.name != ALL_EXAMPLES]
        return {"": _Known(whole), **{each.name: _Known(each) for each in rest}}
    rows = _rows(dataset.rows)
    counted = count_slices(rows, by)
    kept = sorted(counted, key=lambda name: (name != "", -counted[name].rows))[: MOST_SLICES * 4]
    order = rows.schema.names
    return {
        name: _Known(counted[name].finish(name, order=order).datasets[0], counted[name], rows.schema) for name in kept
    }


def _rows(rows: pa.Table | Rows) -> Rows:
    return TableRows(rows) if isinstance(rows, pa.Table) else rows


def _profiles(baseline: Dataset | None, current: Dataset, by: str, pairs: _Pairs) -> dict[str, tuple[Profile, Profile]]:
    """Both sides of each slice in the bins of its baseline, where there are rows on both sides."""
    found: dict[str, tuple[Profile, Profile]] = {}
    again: tuple[dict[str, Profile], dict[str, Profile]] = ({}, {})
    for name, (before, now) in pairs.items():
        if before is None or before.counted is None or now.counted is None:
            continue
        kinds = _shared(before.schema, now.schema)
        reference = profile_of_part(before.counted, {column: kind for column, (kind, _) in kinds.items()})
        counted = tally_part(reference, now.counted, {column: kind for column, (_, kind) in kinds.items()})
        for place, part in enumerate((before.counted, now.counted)):
            if not all(part.columns[column].exact for column in kinds):
                again[place][name] = reference
        found[name] = (reference, counted)
    for place, dataset in enumerate((baseline, current)):
        if again[place] and dataset is not None and dataset.rows is not None:
            for name, profile in _recounted(_rows(dataset.rows), by, again[place]).items():
                found[name] = (profile, found[name][1]) if place == 0 else (found[name][0], profile)
    return {name: both for name, both in found.items() if both[0].features}


def _shared(before: pa.Schema, now: pa.Schema) -> dict[str, tuple[pa.DataType, pa.DataType]]:
    """The columns with a profile that both have, of one kind: their types."""
    both = {field.name: (field.type, now.field(field.name).type) for field in before if field.name in now.names}
    return {
        name: (one, other)
        for name, (one, other) in both.items()
        if kind_of(one) and (kind_of(one) == kind_of(other) or pa.types.is_null(other))
    }


def _recounted(rows: Rows, by: str, profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """The rows counted into the profiles of all ("") and of slices, in one more pass."""
    columns = {feature.name for profile in profiles.values() for feature in profile.features}
    counted = {name: profile.empty() for name, profile in profiles.items()}
    for table in grouped(rows, sorted({*columns, *([by] if by else [])})):
        settled = storable(table)
        slices = split_rows(settled, by) if by else ()
        for name, some in [("", settled), *slices]:
            if name in counted:
                counted[name] = counted[name].merge(count(profiles[name], some))
    return counted


def _slice(
    name: str,
    pair: tuple[_Known | None, _Known],
    profiles: tuple[Profile, Profile] | None,
    judged: Judgement,
    *,
    alpha: float,
    types: Mapping[str, str] | None = None,
) -> Slice:
    before, now = pair
    anomalies = _anomalies(now.statistics, before, judged) if judged.schema is not None else []
    types = {field.name: type_name(field.type) for field in now.schema} if now.schema is not None else types
    drifts: list[FeatureDrift] = []
    if profiles is not None:
        drifts = compare(*profiles, alpha=alpha, margin=judged.margin)
    elif before is not None and (before.counted is None or now.counted is None):
        drifts = kept_drifts(before.statistics, now.statistics, alpha=alpha, margin=judged.margin)
    datasets = [each.statistics for each in pair if each is not None]
    columns = columns_of(*datasets, types=types, profiles=profiles or (), drifts=drifts, anomalies=anomalies)
    counts = tuple(float(each.num_examples) for each in datasets)
    return Slice(name, counts, tuple(columns), tuple(each for each in anomalies if not each.path))


def _anomalies(statistics: Any, before: _Known | None, judged: Judgement) -> list[Anomaly]:
    previous = _listed(before.statistics) if before is not None else None
    return check(_listed(statistics), judged.schema, judged.environment, previous=previous).anomalies


def _listed(dataset: Any) -> Any:
    return protos.DatasetFeatureStatisticsList(datasets=[dataset])


def kept_slice(
    current: bytes,
    baseline: bytes | None,
    *,
    types: Mapping[str, str] | None = None,
    judgement: Judgement | None = None,
) -> Slice:
    """All rows, from serialised statistics as they are kept with snapshots."""
    judged = judgement or Judgement()
    parse = protos.DatasetFeatureStatisticsList.FromString
    now = dataset_of(parse(current))
    before = dataset_of(parse(baseline)) if baseline is not None else None
    pair = (_Known(before) if before is not None else None, _Known(now))
    return _slice("", pair, None, judged, alpha=judged.alpha, types=types)
