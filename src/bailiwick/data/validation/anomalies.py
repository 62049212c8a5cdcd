"""What is found where data does not fit its schema, and the same in TFDV's `Anomalies` message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from bailiwick.data.statistics.view import Path, serialise_path

SEVERITIES = ("WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason of an anomaly: `kind` is a name of TFDV's `AnomalyInfo.Type`."""

    kind: str
    short: str
    long: str


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing the data does that the schema forbids. `feature` is "" for the whole dataset; `kind` is a name of TFDV's
    `AnomalyInfo.Type`; `severity` is ERROR, as TFDV has it for every type unless overridden.
    """

    feature: str
    kind: str
    severity: str
    short: str
    long: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """How far a feature is from what it was compared with, anomaly or not.

    `against` is `drift` (earlier data) or `skew` (serving data); `kind` a name of TFDV's
    `DriftSkewInfo.Measurement.Type`.
    """

    path: Path
    against: str
    kind: str
    value: float
    threshold: float

    @property
    def feature(self) -> str:
        """The feature's name: its steps joined by dots."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Report:
    """All that a check found. `data_missing`: there were no examples, and so nothing was checked."""

    anomalies: list[Anomaly]
    measurements: list[Measurement]
    data_missing: bool = False

    def to_proto(self, schema: Any) -> Any:
        """TFDV's `Anomalies`, which its own tools display; `schema` is what the data was held against."""
        message = anomalies_pb2.Anomalies(
            baseline=schema,
            anomaly_name_format=anomalies_pb2.Anomalies.SERIALIZED_PATH,
            data_missing=self.data_missing,
        )
        for path, found in groupby(self.anomalies, key=lambda anomaly: anomaly.path):
            info = message.anomaly_info[serialise_path(path)] if path else message.dataset_anomaly_info
            if path:
                info.path.step.extend(path)
            _describe(info, list(found))
        for path, measured in groupby(self.measurements, key=lambda measurement: measurement.path):
            drift = message.drift_skew_info.add(path={"step": path})
            for one in measured:
                numbers = drift.drift_measurements if one.against == "drift" else drift.skew_measurements
                kind = anomalies_pb2.DriftSkewInfo.Measurement.Type.Value(one.kind)
                numbers.add(type=kind, value=one.value, threshold=one.threshold)
        return message


def _describe(info: Any, found: list[Anomaly]) -> None:
    for anomaly in found:
        info.reason.add(
            type=anomalies_pb2.AnomalyInfo.Type.Value(anomaly.kind),
            short_description=anomaly.short,
            description=anomaly.long,
        )
    info.short_description = found[0].short if len(found) == 1 else "Multiple errors"
    info.description = " ".join(anomaly.long for anomaly in found)
    info.severity = anomalies_pb2.AnomalyInfo.Severity.Value(worst(anomaly.severity for anomaly in found))


def worst(severities: Iterable[str]) -> str:
    """The graver of the severities."""
    return max(severities, key=SEVERITIES.index)
