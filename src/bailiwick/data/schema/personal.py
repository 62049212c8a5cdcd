"""Which columns hold personal data: a tag of the feature's annotation, so that it is reviewed and kept with the schema."""

from __future__ import annotations

import re
from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema.tree import SchemaTree

TAG = "personal_data"
_KIND = re.compile(r"[a-z0-9_]+")


def personal_columns(schema: Any) -> dict[str, tuple[str, ...]]:
    """Columns that are marked, with the kinds of personal data that each holds (none where that is not said)."""
    found: dict[str, tuple[str, ...]] = {}
    for path, feature in SchemaTree(schema).features.items():
        tags = [tag for tag in feature.annotation.tag if tag == TAG or tag.startswith(TAG + ":")]
        if tags:
            found[".".join(path)] = tuple(tag.partition(":")[2] for tag in tags if ":" in tag)
    return found


def mark_personal(schema: Any, column: str, *, kind: str = "", holds: bool = True) -> None:
    """Mark the column as personal data (of a kind, such as `email`), or with `holds=False` as none. Idempotent.

    Raises InvalidInput for a column that the schema has not.
    """
    columns = {".".join(path): feature for path, feature in SchemaTree(schema).features.items()}
    if column not in columns:
        raise InvalidInput.choice("Column of the schema", column, columns)
    if kind and not _KIND.fullmatch(kind):
        raise InvalidInput(f"Kind of personal data {kind!r} may hold only a-z, 0-9 and _, e.g. `email`.")
    annotation = columns[column].annotation
    tag = f"{TAG}:{kind}" if kind else TAG
    if not holds:
        kept = [other for other in annotation.tag if other != TAG and not other.startswith(TAG + ":")]
        del annotation.tag[:]
        annotation.tag.extend(kept)
        if not kept and not annotation.comment:
            columns[column].ClearField("annotation")
    elif tag not in annotation.tag:
        annotation.tag.append(tag)
