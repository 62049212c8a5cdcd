"""Between snapshots and their rows in SQL."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from bailiwick.data.model import Part, Snapshot


def to_row(snapshot: Snapshot) -> dict[str, Any]:
    """Columns of the table of snapshots."""
    row = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
    parts = json.dumps([_told(part) for part in snapshot.parts])
    return row | {"columns": json.dumps(snapshot.columns), "parts": parts}


def _told(part: Part) -> dict[str, Any]:
    """As before there were engines, where there is none: an older version reads those still."""
    told = asdict(part)
    return told if part.engine else {name: value for name, value in told.items() if name != "engine"}


def from_row(row: Any) -> Snapshot:
    """A snapshot; one of an older database is its one table, and its statistics are of all rows."""
    values = dict(row)
    columns = tuple((name, kind) for name, kind in json.loads(values["columns"]))
    if values["parts"]:
        parts = tuple(Part(**part) for part in json.loads(values["parts"]))
    else:
        parts = (Part(values["rows"], values["table"], values["table_version"]),)
        values["statistics_rows"] = values["rows"]
    return Snapshot(**{**values, "columns": columns, "parts": parts})
