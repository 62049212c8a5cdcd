"""Snowflake's own client at an emulator: `python snowflake_story.py PORT` prints what was told, as JSON."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import pyarrow as pa
from recording import PROFILED, RECORDED, ROWS, recorded, told_of

from bailiwick.adapters.warehouses.snowflake import SnowflakeEngine
from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines.snowflake_dialect import SnowflakeDialect
from bailiwick.testing.engines import conformance_table

TYPES = {pa.float64(): "DOUBLE", pa.float32(): "DOUBLE", pa.int64(): "NUMBER(38,0)", pa.int16(): "NUMBER(38,0)",
         pa.bool_(): "BOOLEAN", pa.string(): "VARCHAR", pa.date32(): "DATE", pa.timestamp("us", "UTC"): "TIMESTAMP_NTZ",
         pa.binary(): "BINARY", pa.decimal128(9, 2): "NUMBER(9,2)"}  # fmt: skip
AT_ONCE, HARD_ROWS = 200, 600
LEFT_OUT = ["list", "words", "nested", "single", "small", "constant", "nothing", "no_number", "tied", "many"]
"""Lists, for the emulator's are JSON, which has no NaN; and what would take it minutes, for it takes long to read long SQL."""


def main(port: str) -> None:
    """Write two tables; statistics and profiles of both, and an error."""
    os.environ["SNOWFLAKE_PASSWORD"] = "snow"
    url = f"snowflake://fake@fakesnow/lake/sales?host=127.0.0.1&port={port}&protocol=http"
    engine = SnowflakeEngine.of_source(url, "lake.sales.hard")
    table = conformance_table().drop_columns(LEFT_OUT).slice(0, HARD_ROWS)
    connection = engine._connection
    with connection.cursor() as cursor:
        _load(cursor, "lake.sales.hard", table)
        _load(cursor, "lake.sales.trips", table.select(RECORDED).slice(0, ROWS))
    told = told_of(engine, table, profile_of=PROFILED)
    try:
        engine.over("lake.sales.gone", "gone").columns()
    except InvalidInput as error:
        told["gone"] = str(error)
    print(json.dumps({**told, "answers": recorded(engine.over("lake.sales.trips", "lake.sales.trips"))}))
    engine.close()


def _load(cursor: Any, name: str, table: pa.Table) -> None:
    quote = SnowflakeDialect().quote
    columns = ", ".join(f"{quote(field.name)} {TYPES[field.type]}" for field in table.schema)
    cursor.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    for start in range(0, len(rows), AT_ONCE):
        selects = ("SELECT " + ", ".join(map(_literal, row)) for row in rows[start : start + AT_ONCE])
        cursor.execute(f"INSERT INTO {name} " + " UNION ALL ".join(selects))


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"'{value!r}'::DOUBLE"
    if isinstance(value, bytes):
        return f"TO_BINARY('{value.hex()}', 'HEX')"
    if isinstance(value, dt.datetime):
        return f"'{value.replace(tzinfo=None).isoformat()}'::TIMESTAMP_NTZ"
    if isinstance(value, dt.date):
        return f"'{value}'::DATE"
    return f"{value}::NUMBER(9,2)" if isinstance(value, Decimal) else SnowflakeDialect().literal(value)


if __name__ == "__main__":
    main(sys.argv[1])
