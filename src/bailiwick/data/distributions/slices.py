"""All rows and each slice of a dataset, alone or against a baseline: columns with verdicts and anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import type_name
from bailiwick.data.comparison import FeatureDrift, compare
from bailiwick.data.distributions.columns import columns_of
from bailiwick.data.distributions.kept import kept_drifts
from bailiwick.data.distributions.model import Slice
from bailiwick.data.profile import FeatureProfile, Profile, build_profile, count
from bailiwick.data.statistics.compute import compute_statistics
from bailiwick.data.statistics.slicing import slices_by
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
    """Data to be looked at: its rows, or only their statistics where `rows` is None. `statistics` is TFDV's list."""

    name: str
    rows: pa.Table | None = None
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
    inner = sorted((name for name in now if name), key=lambda name: (-now[name][0].num_examples, name))[:MOST_SLICES]
    found = []
    for name in ["", *inner]:
        before = then.get(name) if then is not None else None
        share = judged.alpha / (len(inner) if name else 1)
        found.append(_slice(name, now[name], before, judged, alpha=share))
    return found


_Part = tuple[Any, "pa.Table | None"]


def _parts(dataset: Dataset, by: str) -> dict[str, _Part]:
    """Statistics and rows of all ("") and of each slice."""
    if dataset.rows is None:
        if by:
            raise InvalidInput(
                f"{dataset.name} holds statistics and no rows, so it cannot be sliced by {by!r}.",
                hint="Slice when the statistics are made: `bailiwick data stats SOURCE --by COLUMN --output FILE`.",
            )
        whole = dataset_of(dataset.statistics, dataset.name)
        rest = [each for each in dataset.statistics.datasets if each is not whole and each.name != ALL_EXAMPLES]
        return {"": (whole, None), **{each.name: (each, None) for each in rest}}
    tables = {"": dataset.rows, **(slices_by(dataset.rows, by) if by else {})}
    kept = sorted(tables, key=lambda name: (name != "", -tables[name].num_rows))[: MOST_SLICES * 4]
    return {name: (compute_statistics(tables[name], name).datasets[0], tables[name]) for name in kept}


def _slice(
    name: str,
    now: _Part,
    before: _Part | None,
    judged: Judgement,
    *,
    alpha: float,
    types: Mapping[str, str] | None = None,
) -> Slice:
    statistics, rows = now
    anomalies = _anomalies(statistics, before, judged) if judged.schema is not None else []
    types = {field.name: type_name(field.type) for field in rows.schema} if rows is not None else types
    datasets, profiles, drifts = [statistics], (), []  # type: tuple[list[Any], tuple[Profile, ...], list[FeatureDrift]]
    if before is not None:
        datasets.insert(0, before[0])
        if before[1] is not None and rows is not None:
            profiles, drifts = _by_rows(before[1], rows, alpha=alpha, margin=judged.margin)
        else:
            drifts = kept_drifts(before[0], statistics, alpha=alpha, margin=judged.margin)
    columns = columns_of(*datasets, types=types, profiles=profiles, drifts=drifts, anomalies=anomalies)
    counts = tuple(float(each.num_examples) for each in datasets)
    return Slice(name, counts, tuple(columns), tuple(each for each in anomalies if not each.path))


def _anomalies(statistics: Any, before: _Part | None, judged: Judgement) -> list[Anomaly]:
    previous = _listed(before[0]) if before is not None else None
    return check(_listed(statistics), judged.schema, judged.environment, previous=previous).anomalies


def _listed(dataset: Any) -> Any:
    return protos.DatasetFeatureStatisticsList(datasets=[dataset])


def _by_rows(
    before: pa.Table, now: pa.Table, *, alpha: float, margin: float
) -> tuple[tuple[Profile, ...], list[FeatureDrift]]:
    """Both tables in the bins of the first, and the verdicts on the columns that are of one kind in both."""
    shared = [name for name in before.column_names if name in now.column_names]
    reference, counted = paired(build_profile(before.select(shared)), now)
    if not reference.features:
        return (), []
    return (reference, counted), compare(reference, counted, alpha=alpha, margin=margin)


def paired(reference: Profile, now: pa.Table) -> tuple[Profile, Profile]:
    """The reference and the table counted into it, without the columns that have become another kind of thing."""
    kept: list[FeatureProfile] = []
    counted: list[FeatureProfile] = []
    for feature in reference.features:
        try:
            counted += count(Profile(rows=0, features=(feature,)), now).features
        except InvalidInput:
            continue
        kept.append(feature)
    return Profile(reference.rows, tuple(kept)), Profile(now.num_rows, tuple(counted))


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
    return _slice(
        "", (now, None), (before, None) if before is not None else None, judged, alpha=judged.alpha, types=types
    )
