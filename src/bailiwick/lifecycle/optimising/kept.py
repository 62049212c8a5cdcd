"""Reading the report that is kept with a version: a blob of JSON."""

from __future__ import annotations

import msgspec

from bailiwick.core.errors import Corrupted, NotFound
from bailiwick.lifecycle.optimising.model import Report
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import REPORT_TAG, ModelVersion

_decode = msgspec.json.Decoder(Report)


def report_on(platform: Platform, version: ModelVersion) -> Report:
    """The newest on a version, or that by which it was chosen. Raises NotFound, Corrupted."""
    digest = version.tags.get(REPORT_TAG, "")
    if not digest:
        raise NotFound(
            f"Nothing was measured of other forms of {version.model} version {version.number}.",
            hint=f"bailiwick models optimise {version.model}@{version.number} --data … --label …",
        )
    try:
        return _decode.decode(platform.blobs.get(digest))
    except msgspec.DecodeError as error:
        raise Corrupted(f"The report {digest[:12]} cannot be read: {error}.") from error
