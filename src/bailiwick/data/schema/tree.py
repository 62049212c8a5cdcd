"""A schema with its features by path: what is expected where, and the places to change it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from bailiwick.data.statistics.view import Path

NOT_VALIDATED = frozenset(
    {schema_pb2.PLANNED, schema_pb2.ALPHA, schema_pb2.DEPRECATED, schema_pb2.DEBUG_ONLY, schema_pb2.DISABLED}
)
"""Stages of life in which a feature is not held against anything."""


def is_deprecated(feature: Any) -> bool:
    """Whether a feature, sparse feature or weighted feature is in the schema but not to be checked."""
    return bool(getattr(feature, "deprecated", False)) or feature.lifecycle_stage in NOT_VALIDATED


def deprecate(feature: Any) -> None:
    """Leave the feature in the schema, unchecked from now on."""
    feature.lifecycle_stage = schema_pb2.DEPRECATED


class SchemaTree:
    """Wraps a `Schema`, which it changes in place. Of two features with one name the first counts."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.features: dict[Path, Any] = {}
        self.sparse: dict[Path, Any] = {}
        self.weighted = _first_of(((feature.name,), feature) for feature in schema.weighted_feature)
        self.domains = _first_of((domain.name, domain) for domain in schema.string_domain)
        self._index((), schema)

    def knows(self, path: Path) -> bool:
        """Whether the schema has anything of that path."""
        return path in self.features or path in self.sparse or path in self.weighted

    def deprecated(self, path: Path) -> bool:
        """Whether what has that path is not to be checked."""
        found = self.features.get(path) or self.sparse.get(path)
        return found is not None and is_deprecated(found)

    def add(self, path: Path) -> Any:
        """A new feature, under its struct where it has one."""
        holder = self.features[path[:-1]].struct_domain if len(path) > 1 else self.schema
        feature = holder.feature.add(name=path[-1])
        self.features[path] = feature
        return feature

    def add_domain(self, wanted: str) -> Any:
        """A new string domain with that name, or that name and the first number from 2 that is free."""
        name, number = wanted, 1
        while name in self.domains:
            number += 1
            name = f"{wanted}{number}"
        domain = self.schema.string_domain.add(name=name)
        self.domains[name] = domain
        return domain

    def drop_domain(self, name: str) -> None:
        """Remove a string domain and every reference to it."""
        for feature in self.features.values():
            if feature.domain == name:
                feature.ClearField("domain")
        kept = [domain for domain in self.schema.string_domain if domain.name != name]
        del self.schema.string_domain[:]
        self.schema.string_domain.extend(kept)
        self.domains = _first_of((domain.name, domain) for domain in self.schema.string_domain)

    def expected_in(self, feature: Any, environment: str) -> bool:
        """Whether the feature belongs to the environment; "" is every environment."""
        if not environment or environment in feature.in_environment:
            return True
        return environment not in feature.not_in_environment and environment in self.schema.default_environment

    def required(self, feature: Any, environment: str) -> bool:
        """Whether data of the environment must hold the feature."""
        presence = feature.presence
        if is_deprecated(feature) or (presence.min_count <= 0 and presence.min_fraction <= 0):
            return False
        return self.expected_in(feature, environment)

    def required_paths(self, environment: str) -> Iterator[Path]:
        """Paths of all features that data must hold; nothing in a deprecated struct is required."""
        for path, feature in self.features.items():
            parents = (self.features[path[:depth]] for depth in range(1, len(path)))
            if self.required(feature, environment) and not any(is_deprecated(parent) for parent in parents):
                yield path

    def environments(self) -> set[str]:
        """Every environment that the schema names."""
        named = set(self.schema.default_environment)
        for feature in self.features.values():
            named.update(feature.in_environment, feature.not_in_environment)
        return named

    def excerpt(self, path: Path) -> SchemaTree:
        """A copy of only what has that path, with its parents and its domain: small, however large the schema is."""
        schema = schema_pb2.Schema(default_environment=self.schema.default_environment)
        holder = schema
        for depth in range(1, len(path) + 1):
            found = self.features.get(path[:depth])
            if found is None:
                break
            feature = holder.feature.add()
            if depth == len(path):
                feature.CopyFrom(found)
            else:
                feature.name = found.name
                feature.type, feature.lifecycle_stage = found.type, found.lifecycle_stage
            if found.domain in self.domains:
                schema.string_domain.add().CopyFrom(self.domains[found.domain])
            holder = feature.struct_domain if found.HasField("struct_domain") else holder
        if path in self.weighted:
            schema.weighted_feature.add().CopyFrom(self.weighted[path])
        if path in self.sparse:
            holder.sparse_feature.add().CopyFrom(self.sparse[path])
        return SchemaTree(schema)

    def _index(self, above: Path, holder: Any) -> None:
        for sparse in holder.sparse_feature:
            self.sparse.setdefault((*above, sparse.name), sparse)
        for feature in holder.feature:
            path = (*above, feature.name)
            if path not in self.features:
                self.features[path] = feature
                if feature.HasField("struct_domain"):
                    self._index(path, feature.struct_domain)


def _first_of(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found
