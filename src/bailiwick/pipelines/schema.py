"""Publishing the project file's JSON Schema: `python -m bailiwick.pipelines.schema` in the root of a checkout."""

from __future__ import annotations

import json
from pathlib import Path

from bailiwick.pipelines.project import json_schema

PUBLISHED = Path("docs/reference/bailiwick.schema.json")


def schema_text() -> str:
    """The schema as it is published: two spaces, sorted as declared, one newline at the end."""
    return json.dumps(json_schema(), indent=2) + "\n"


def publish_schema(root: Path) -> Path:
    """Write the schema to its place under the root of a checkout, and return that place."""
    place = root / PUBLISHED
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(schema_text())
    return place


if __name__ == "__main__":
    publish_schema(Path())
