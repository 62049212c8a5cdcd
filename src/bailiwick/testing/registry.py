"""Fakes of what the registry asks of others: runs and logged models, files, dependents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import NotFound
from bailiwick.registry.ports import LoggedModel, Reach, StoredFile


@dataclass(slots=True)
class FakeOrigins:
    """Satisfies `Origins` from two mappings by (workspace, id); `told` is what it heard of registrations."""

    runs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    models: Mapping[tuple[str, str], LoggedModel] = field(default_factory=dict)
    told: list[tuple[str, str, int]] = field(default_factory=list)

    def run_artifacts(self, workspace: str, run_id: str) -> str | None:
        """As given."""
        return self.runs.get((workspace, run_id))

    def logged_model(self, workspace: str, model_id: str) -> LoggedModel | None:
        """As given."""
        return self.models.get((workspace, model_id))

    def registered(self, actor: Actor, model_id: str, model: str, number: int) -> None:  # noqa: ARG002 - the port's
        """Remembered."""
        self.told.append((model_id, model, number))


class FakeArtifacts:
    """Satisfies `ArtifactCatalog` from bytes in memory; with `reading` as if their digests were not known."""

    def __init__(self, *, reading: bool = False) -> None:
        self._kept: dict[tuple[str, str], dict[str, bytes]] = {}
        self.reading = reading

    def reach(self, workspace: str, uri: str) -> Reach:  # noqa: ARG002 - the port's
        """Everything but a store of others is near."""
        if uri.partition(":")[0] not in {"mlflow-artifacts", "file"}:
            return Reach.NONE
        return Reach.READ if self.reading else Reach.LISTED

    def remove(self, actor: Actor, uri: str) -> int:
        """All below it."""
        return len(self._kept.pop((actor.workspace, uri), {}))

    def put(self, workspace: str, uri: str, files: Mapping[str, bytes]) -> None:
        """Keep files below a URI."""
        self._kept[workspace, uri] = dict(files)

    def files(self, workspace: str, uri: str) -> Sequence[StoredFile] | None:
        """By path."""
        kept = self._kept.get((workspace, uri))
        if kept is None:
            return None
        return [StoredFile(path, sha256_hex(data), len(data)) for path, data in sorted(kept.items())]

    def read(self, workspace: str, uri: str, path: str) -> Iterator[bytes]:
        """In one piece."""
        kept = self._kept.get((workspace, uri), {})
        if path not in kept:
            raise NotFound.of("File", path, kept)
        yield kept[path]


@dataclass(slots=True)
class FakeReferences:
    """Satisfies `ModelReferences` from two mappings."""

    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    versions: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)

    def of_model(self, workspace: str, model: str) -> Sequence[str]:  # noqa: ARG002 - the port's
        """As given."""
        return self.models.get(model, ())

    def of_name(self, workspace: str, name: str) -> Sequence[str]:  # noqa: ARG002 - the port's
        """As given."""
        return self.models.get(name, ())

    def of_version(self, workspace: str, model: str, number: int) -> Sequence[str]:  # noqa: ARG002 - the port's
        """As given."""
        return self.versions.get((model, number), ())
