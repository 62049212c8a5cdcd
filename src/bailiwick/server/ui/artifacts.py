"""Files of runs and logged models as they are shown: listed a folder at a time, previewed within bounds, never run.

What a file holds is shown as text, as a table, or as a raster image that was recognised by its first bytes. HTML and SVG
are text here: a page of ours must not carry somebody's script.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from bailiwick.core.errors import BailiwickError, Conflict, NotFound
from bailiwick.server.ui.page import Visit
from bailiwick.tracking.artifacts.model import Artifact, Entry, Reading

MOST_ENTRIES = 1_000
PREVIEW_BYTES = 256 << 10
MAX_IMAGE_BYTES = 8 << 20
ROWS, COLUMNS, CELL = 100, 40, 200

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_SIGNATURE_BYTES = 16
_BINARY = frozenset(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27}


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder: its entries, how many there are in all, and why they cannot be shown."""

    folder: str
    entries: Sequence[Entry]
    in_all: int
    problem: str = ""

    def path_of(self, entry: Entry) -> str:
        """Path of an entry below the root."""
        return f"{self.folder}/{entry.path}" if self.folder else entry.path


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown of a file: `kind` is text, table, image or none; `cut` where that is not all of it."""

    artifact: Artifact
    kind: str
    text: str = ""
    rows: Sequence[Sequence[str]] = ()
    cut: bool = False
    why: str = ""


def listing_of(visit: Visit, uri: str, folder: str = "") -> Listing:
    """Right below a folder of the artifacts at `uri`; a place that the server cannot reach is said, and no error."""
    artifacts = visit.platform.artifacts
    try:
        found = artifacts.entries(visit.workspace, artifacts.locate(visit.workspace, uri, folder))
    except BailiwickError as error:
        return Listing(folder, (), 0, " ".join(each for each in (error.message, error.hint) if each))
    ordered = sorted(found, key=lambda entry: (not entry.is_folder, entry.path))
    return Listing(folder, ordered[:MOST_ENTRIES], len(ordered))


def preview_of(visit: Visit, uri: str, path: str) -> Preview | None:
    """What can be shown of a file; None for a folder and for what is not there. Reads 256 KiB at most."""
    artifacts = visit.platform.artifacts
    try:
        reading = artifacts.open(visit.workspace, artifacts.locate(visit.workspace, uri, path))
    except (NotFound, Conflict):
        return None
    with closing(reading):
        return _shown(reading, path)


def open_image(visit: Visit, uri: str, path: str) -> tuple[bytes, str]:
    """A whole raster image and its media type. Raises NotFound for anything else, and for one over 8 MiB."""
    artifacts = visit.platform.artifacts
    with closing(artifacts.open(visit.workspace, artifacts.locate(visit.workspace, uri, path))) as reading:
        kind = image_type(_beginning(reading, _SIGNATURE_BYTES))
        if not kind or reading.artifact.size_bytes > MAX_IMAGE_BYTES:
            raise NotFound(f"{path!r} is not an image that can be shown; download it instead.")
        return b"".join(reading.chunks(0, reading.artifact.size_bytes)), kind


def image_type(beginning: bytes) -> str:
    """The media type of a raster image by its first bytes, empty for anything else, whatever its name says."""
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for mark, kind in _IMAGES if beginning.startswith(mark)), "")


def _shown(reading: Reading, path: str) -> Preview:
    artifact = reading.artifact
    beginning = _beginning(reading, PREVIEW_BYTES)
    cut = artifact.size_bytes > len(beginning)
    if image_type(beginning):
        large = artifact.size_bytes > MAX_IMAGE_BYTES
        return Preview(artifact, "none" if large else "image", why="It is too large to be shown." if large else "")
    if _BINARY & set(beginning[:4096]):
        return Preview(artifact, "none", why="It is not text.")
    text = beginning.decode("utf-8", errors="ignore" if cut else "replace")
    ending = path.rpartition(".")[2].lower()
    if ending in {"csv", "tsv"}:
        rows, left = _table(text, "\t" if ending == "tsv" else ",")
        if rows:
            return Preview(artifact, "table", rows=rows, cut=cut or left)
    if ending in {"json", "geojson"} and not cut:
        text = _indented(text)
    return Preview(artifact, "text", text, cut=cut)


def _beginning(reading: Reading, most: int) -> bytes:
    end = min(most, reading.artifact.size_bytes)
    return b"".join(reading.chunks(0, end)) if end else b""


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _table(text: str, separator: str) -> tuple[list[list[str]], bool]:
    """The first rows and columns, and whether there are more."""
    try:
        rows = list(islice(csv.reader(text.splitlines(), delimiter=separator), ROWS + 2))
    except csv.Error:
        return [], False
    more = len(rows) > ROWS + 1 or any(len(row) > COLUMNS for row in rows)
    return [[cell[:CELL] for cell in row[:COLUMNS]] for row in rows[: ROWS + 1]], more
