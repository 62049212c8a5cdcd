"""The parts of a card that have a shape: metrics with their uncertainty, data, inputs and outputs, packages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.evaluation.uncertainty import interval
from bailiwick.governance.cards.model import Dataset, Metric, Package, Provenance, Source, Tensor
from bailiwick.lifecycle.cards.origins import Origins
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion

ROWS = "rows"
HEADLINE = ("roc_auc", "log_loss", "accuracy", "brier", "calibration_error", "base_rate")
"""Metrics that come first, in this order; the others follow by name."""


def metrics_of(version: ModelVersion, origins: Origins) -> tuple[Metric, ...]:
    """Metrics of all rows and of each slice; where the version has none, those that its run logged."""
    if not version.metrics and origins.run is not None and origins.run_source is not None:
        source = origins.run_source
        points = sorted(origins.run.latest, key=lambda point: rank(point.key))
        return tuple(Metric(each.key, _finite(each.value), replace(source, time=each.time)) for each in points)
    overall = _measured(version.metrics, origins.of_metric)
    source = origins.of_step("evaluate", "slices", dict(version.slices))
    found = [*overall]
    for column, name, numbers in slices_of(version.slices):
        of_slice = _measured(numbers, lambda _name, _value: source)
        found += [replace(each, column=column, slice=name) for each in of_slice]
    return tuple(found)


def _measured(numbers: Mapping[str, Any], source: Any) -> Iterator[Metric]:
    known = {name: float(value) for name, value in numbers.items() if _is_number(value)}
    rows = known.get(ROWS, math.nan)
    for name in sorted((each for each in numbers if each != ROWS), key=rank):
        value = known.get(name, math.nan)
        bounds = interval(name, known)
        yield Metric(
            name,
            _finite(value),
            source(name, value),
            rows=round(rows) if math.isfinite(rows) else None,
            low=bounds.low if bounds else None,
            high=bounds.high if bounds else None,
            method=bounds.method if bounds else "",
        )


def slices_of(slices: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(column, value, numbers) of each slice, its rows among the numbers.

    Understands `{column: {value: {metric: number}}}` and `{"slices": [{column, value, rows, metrics}]}`; whatever else was
    kept there has no slices.
    """
    listed = slices.get("slices")
    if isinstance(listed, list):
        for each in listed:
            if isinstance(each, Mapping) and isinstance(each.get("metrics"), Mapping):
                rows = {ROWS: each[ROWS]} if ROWS in each else {}
                yield str(each.get("column", "")), str(each.get("value", "")), {**each["metrics"], **rows}
        return
    for column, values in slices.items():
        if isinstance(values, Mapping):
            for name, numbers in values.items():
                if isinstance(numbers, Mapping):
                    yield str(column), str(name), numbers


def datasets_of(platform: Platform, version: ModelVersion, origins: Origins) -> tuple[Dataset, ...]:
    """The version's snapshot and whatever else its run read; a snapshot that is gone keeps its id."""
    roles = {version.snapshot: "training"} if version.snapshot else {}
    for read in origins.run.inputs if origins.run else ():
        roles.setdefault(read.snapshot, read.role)
    return tuple(_dataset(platform, version, snapshot, role, origins) for snapshot, role in roles.items())


def _dataset(platform: Platform, version: ModelVersion, snapshot_id: str, role: str, origins: Origins) -> Dataset:
    try:
        found = platform.data.snapshot(version.workspace, snapshot_id)
    except NotFound:
        return Dataset(snapshot_id, "", role, origins.run_source or origins.registered)
    return Dataset(
        snapshot=found.id,
        name=found.dataset,
        role=role,
        source=Source(Provenance.MEASURED, f"snapshot/{found.id}", time=found.created),
        digest=found.digest,
        rows=found.rows,
        columns=len(found.columns),
        time_from=found.time_from,
        time_to=found.time_to,
        origin=found.source,
    )


def tensors_of(version: ModelVersion, origins: Origins) -> tuple[Tensor, ...]:
    """Inputs and outputs as the package declares them."""
    source = origins.registered if version.package else origins.stated
    found = []
    for direction in ("input", "output"):
        for each in _dicts(version.signature.get(f"{direction}s")):
            shape = each.get("shape")
            told = " × ".join("any" if size == -1 else str(size) for size in shape) if isinstance(shape, list) else ""
            datatype = str(each.get("datatype") or each.get("type") or "")
            found.append(Tensor(str(each.get("name", "")), direction, datatype, told, source))
    return tuple(found)


def packages_of(version: ModelVersion, origins: Origins) -> tuple[Package, ...]:
    """Distributions of the environment, by name, with the licences that were found beside them."""
    packages, licences = version.environment.get("packages"), version.environment.get("licences")
    if not isinstance(packages, Mapping):
        return ()
    known = licences if isinstance(licences, Mapping) else {}
    source = origins.of_registration()
    return tuple(
        Package(str(name), str(packages[name]), str(known.get(name, "")), source) for name in sorted(packages, key=str)
    )


def rank(name: str) -> tuple[int, str]:
    """Where a metric stands among others."""
    return (HEADLINE.index(name) if name in HEADLINE else len(HEADLINE), name)


def _dicts(value: object) -> Iterable[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
