"""Holding statistics against a schema, feature by feature."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema.tree import SchemaTree
from bailiwick.data.statistics.view import DatasetView, FeatureView, Path, dataset_of
from bailiwick.data.validation.anomalies import SEVERITIES, Anomaly, Finding, Measurement, Report
from bailiwick.data.validation.comparators import Baselines, check_examples
from bailiwick.data.validation.features import check_feature


def validate(
    statistics: Any,
    schema: Any,
    environment: str = "",
    *,
    previous: Any = None,
    serving: Any = None,
    previous_version: Any = None,
    severities: Mapping[str, str] | None = None,
) -> list[Anomaly]:
    """Anomalies of the data, the dataset's first, then in order of path; an empty list means it is as the schema says.

    `environment` (e.g. `SERVING`) leaves out features that the schema does not expect there. `previous`, `serving` and
    `previous_version` are statistics to compare with, as the schema's comparators ask. `severities` changes the ERROR
    that every kind of anomaly is. Raises InvalidInput for an environment that the schema does not know.
    """
    known = SchemaTree(schema).environments()
    if environment and environment not in known:
        raise InvalidInput.choice("Environment", environment, known)
    report = check(
        statistics,
        schema,
        environment,
        previous=previous,
        serving=serving,
        previous_version=previous_version,
        severities=severities,
    )
    if report.data_missing:
        long = "The dataset has no examples, so nothing else was checked."
        empty = Anomaly("", "DATASET_LOW_NUM_EXAMPLES", "ERROR", "No examples", long)
        return [empty]
    return report.anomalies


def check(
    statistics: Any,
    schema: Any,
    environment: str = "",
    *,
    previous: Any = None,
    serving: Any = None,
    previous_version: Any = None,
    severities: Mapping[str, str] | None = None,
    only_new: Collection[Path] | None = None,
) -> Report:
    """The whole report, with distances measured. As TFDV has it, an environment that the schema does not name expects
    no feature, and a dataset without examples has no anomalies but `data_missing`. `only_new`: paths of the features
    that may be reported as new; None is all.
    """
    dataset = dataset_of(statistics)
    if dataset.num_examples == 0:
        return Report([], [], data_missing=True)
    view = DatasetView(dataset)
    against = Baselines(
        previous=_control(previous, view, "The statistics of earlier data"),
        serving=_control(serving, view, "The statistics of serving data"),
        previous_version=_control(previous_version, view, "The statistics of the previous version"),
    )
    return check_view(view, schema, environment, against=against, severities=severities, only_new=only_new)


def check_view(
    view: DatasetView,
    schema: Any,
    environment: str = "",
    *,
    against: Baselines | None = None,
    severities: Mapping[str, str] | None = None,
    only_new: Collection[Path] | None = None,
) -> Report:
    """As `check`, of one dataset, even of one that does not say how many examples it has."""
    graver = _known_severities(severities or {})
    controls = against or Baselines()
    found = _Found(SchemaTree(schema), environment, controls, only_new)
    for feature in view.roots:
        found.descend(feature)
    missing = Finding("SCHEMA_MISSING_COLUMN", "Column missing", "The data has no such column.")
    for path in found.tree.required_paths(environment):
        if path not in view.features:
            found.by_path.setdefault(path, []).append(missing)
    anomalies = [_anomaly((), finding, graver) for finding in _dataset_findings(schema, view, controls)]
    anomalies += [_anomaly(path, finding, graver) for path in sorted(found.by_path) for finding in found.by_path[path]]
    return Report(anomalies, sorted(found.measured, key=lambda measurement: measurement.path))


class _Found:
    """Findings by path, while a dataset's features are gone through."""

    def __init__(
        self, tree: SchemaTree, environment: str, against: Baselines, only_new: Collection[Path] | None
    ) -> None:
        self.tree = tree
        self.by_path: dict[Path, list[Finding]] = {}
        self.measured: list[Measurement] = []
        self._environment = environment
        self._against = against
        self._only_new = only_new

    def descend(self, view: FeatureView) -> None:
        """Check the feature and what is in it. What is in a new, deprecated or wholly wrong one is not looked at."""
        if not self.tree.knows(view.path):
            if self._only_new is None or view.path in self._only_new:
                long = "The data has the column; the schema has not."
                self.by_path.setdefault(view.path, []).append(Finding("SCHEMA_NEW_COLUMN", "New column", long))
            return
        if self.tree.deprecated(view.path):
            return
        excerpt = self.tree.excerpt(view.path)
        for found in check_feature(excerpt, view, self._environment, self._against):
            if isinstance(found, Measurement):
                self.measured.append(found)
            else:
                self.by_path.setdefault(view.path, []).append(found)
        if view.path in self.by_path and excerpt.deprecated(view.path):
            return
        for child in view.children:
            self.descend(child)


def _dataset_findings(schema: Any, view: DatasetView, against: Baselines) -> list[Finding]:
    if not schema.HasField("dataset_constraints"):
        return []
    constraints = type(schema.dataset_constraints)()
    constraints.CopyFrom(schema.dataset_constraints)
    return list(check_examples(constraints, view, against))


def _control(statistics: Any, view: DatasetView, what: str) -> DatasetView | None:
    return None if statistics is None else DatasetView(dataset_of(statistics, what), by_weight=view.by_weight)


def _anomaly(path: Path, finding: Finding, severities: Mapping[str, str]) -> Anomaly:
    severity = severities.get(finding.kind, "ERROR")
    return Anomaly(".".join(path), finding.kind, severity, finding.short, finding.long, path)


def _known_severities(severities: Mapping[str, str]) -> Mapping[str, str]:
    kinds = anomalies_pb2.AnomalyInfo.Type.keys()
    for kind, severity in severities.items():
        if kind not in kinds:
            raise InvalidInput.choice("Kind of anomaly", kind, kinds)
        if severity not in SEVERITIES:
            raise InvalidInput.choice(f"Severity of {kind}", severity, SEVERITIES)
    return severities
