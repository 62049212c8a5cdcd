"""Which inputs of a version hold personal data: marked in the schema that its training snapshot was held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import NotFound
from bailiwick.data.service import DataService
from bailiwick.registry.service import RegistryService
from bailiwick.store.blobs import BlobStore

if TYPE_CHECKING:
    from bailiwick.data.schema import personal, text
else:
    personal, text = deferred("bailiwick.data.schema.personal"), deferred("bailiwick.data.schema.text")


class MarkedInputs:
    """Satisfies `endpoints.service.PersonalColumns`. The registry is made after the endpoints it asks, so it comes late."""

    def __init__(self, registry: Callable[[], RegistryService], data: DataService, blobs: BlobStore) -> None:
        self._registry = registry
        self._data = data
        self._blobs = blobs

    def of_version(self, workspace: str, model: str, version: int) -> frozenset[str]:
        """Marked columns of the snapshot's schema; none for a version that was registered without a snapshot or schema."""
        try:
            found = self._registry().version(workspace, model, version, deleted=True)
            schema = self._data.snapshot(workspace, found.snapshot).schema if found.snapshot else ""
        except NotFound:
            return frozenset()
        if not schema:
            return frozenset()
        return frozenset(personal.personal_columns(text.parse_schema(self._blobs.get(schema).decode())))
