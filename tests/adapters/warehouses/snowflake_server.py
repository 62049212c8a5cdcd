"""fakesnow, answering Snowflake's clients over HTTP: `python snowflake_server.py PORT`, in the Python of `.warehouses/snowflake`.

It translates to DuckDB. Two words of Snowflake's that it does not know are put otherwise there: the collation `utf8`, which is how
DuckDB orders texts anyway, and OCTET_LENGTH of a text.
"""

import sys
from typing import Any

import sqlglot
import uvicorn
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.server import app
from sqlglot import exp

OCTETS = "CASE WHEN TYPEOF(v) = 'BLOB' THEN OCTET_LENGTH(CAST(v AS BLOB)) ELSE STRLEN(CAST(v AS VARCHAR)) END"
transform = FakeSnowflakeCursor._transform


def without_collation(node: Any) -> Any:
    return node.this if isinstance(node, exp.Collate) and node.expression.name == "utf8" else node


def with_octets(node: Any) -> Any:
    if not isinstance(node, exp.ByteLength):
        return node
    measured = sqlglot.parse_one(OCTETS, read="duckdb")
    return measured.transform(lambda each: node.this.copy() if isinstance(each, exp.Column) else each)


def transformed(self: Any, expression: Any, params: Any) -> Any:
    return transform(self, expression.transform(without_collation, copy=False), params).transform(with_octets)


FakeSnowflakeCursor._transform = transformed
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
