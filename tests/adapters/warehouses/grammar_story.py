"""The reviewed SQL of each dialect in sqlglot's grammar of it: `python grammar_story.py` prints what it does not read, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import recording  # noqa: F401, for the packages
import sqlglot

GOLDEN = Path(__file__).parents[2] / "golden" / "engines"
NAMES = {"postgresql": "postgres"}
ODD = "\\`'\\\\ %s é`"
"""How a name with an accent, a quote and a backslash ends in BigQuery's SQL: sqlglot knows no escapes in names."""


def unread(name: str) -> list[str]:
    """Statements that the grammar refuses, with the reason."""
    found = []
    for statement in (GOLDEN / f"{name}.sql").read_text(encoding="utf-8").split(";\n"):
        text = statement.replace(ODD, "' %s é`") if name == "bigquery" else statement
        if not text.strip():
            continue
        try:
            sqlglot.parse_one(text, read=NAMES.get(name, name), error_level=sqlglot.ErrorLevel.RAISE)
        except sqlglot.errors.SqlglotError as error:
            found.append(f"{text.strip()[:60]}: {error}")
    return found


if __name__ == "__main__":
    names = ("duckdb", "postgresql", "spark", "databricks", "bigquery", "snowflake")
    print(json.dumps({name: unread(name) for name in names}))
