"""The smallest change of a schema that data satisfies: what `bailiwick data schema update` proposes."""

from __future__ import annotations

from typing import Any

from bailiwick.data.schema.inference import Inference, add_feature
from bailiwick.data.schema.tree import SchemaTree, deprecate
from bailiwick.data.statistics.view import DatasetView, FeatureView, dataset_of
from bailiwick.data.validation.comparators import Baselines, check_examples
from bailiwick.data.validation.features import check_feature


def relax(schema: Any, statistics: Any, environment: str = "", *, how: Inference | None = None) -> Any:
    """A copy of the schema in which each anomaly of the data is relaxed as little as will do.

    Limits move to what was seen, unknown values join their domain, new columns are added, and what is missing or of
    another type is deprecated, not removed: a person decides. Checking the same data against the result finds nothing.
    """
    return relax_view(schema, DatasetView(dataset_of(statistics)), environment, how=how)


def relax_view(schema: Any, view: DatasetView, environment: str = "", *, how: Inference | None = None) -> Any:
    """As `relax`, to one dataset."""
    relaxed = type(schema)()
    relaxed.CopyFrom(schema)
    tree = SchemaTree(relaxed)
    for feature in view.roots:
        _relax_feature(tree, feature, environment, how or Inference(shape=False))
    for path in [path for path in tree.required_paths(environment) if path not in view.features]:
        deprecate(tree.features[path])
    if relaxed.HasField("dataset_constraints"):
        list(check_examples(relaxed.dataset_constraints, view, Baselines()))
    return relaxed


def _relax_feature(tree: SchemaTree, view: FeatureView, environment: str, how: Inference) -> None:
    if not tree.knows(view.path):
        add_feature(tree, view, how)
        return
    if tree.deprecated(view.path):
        return  # it is held against nothing, so it is left as it was written
    list(check_feature(tree, view, environment, Baselines()))  # relaxes as it goes
    if not tree.deprecated(view.path):
        for child in view.children:
            _relax_feature(tree, child, environment, how)
