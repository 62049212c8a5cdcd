"""BigQuery's own client at an emulator: `python bigquery_story.py PORT` prints what was told, as JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import pyarrow as pa
import pyarrow.parquet as pq
from recording import RECORDED, ROWS, recorded, told_of

from bailiwick.adapters.warehouses.bigquery import BigQueryEngine
from bailiwick.core.errors import InvalidInput
from bailiwick.testing.engines import conformance_table

TYPES = {pa.float64(): "FLOAT", pa.float32(): "FLOAT", pa.int64(): "INTEGER", pa.int16(): "INTEGER", pa.bool_(): "BOOLEAN",
         pa.string(): "STRING", pa.date32(): "DATE", pa.timestamp("us", "UTC"): "TIMESTAMP", pa.binary(): "BYTES",
         pa.decimal128(9, 2): "NUMERIC"}  # fmt: skip


def main(port: str) -> None:
    """Load two tables; statistics and profiles of both, and an error."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    client = bigquery.Client(project="lake", credentials=AnonymousCredentials(),
                             client_options={"api_endpoint": f"http://127.0.0.1:{port}"})  # fmt: skip
    client.create_dataset("sales")
    table = conformance_table().drop_columns(["nested"])  # arrays hold no arrays there
    odd = next(name for name in table.column_names if "DROP" in name)
    table = table.rename_columns(["it's; -- é" if name == odd else name for name in table.column_names])
    # arrays are never null there, nor do they hold null where they are stored
    for place, name in enumerate(table.column_names):
        if pa.types.is_list(table.schema.field(name).type):
            lists = [[value for value in each or [] if value is not None] for each in table.column(name).to_pylist()]
            table = table.set_column(place, name, pa.array(lists, table.schema.field(name).type))
    _load(client, "lake.sales.hard", table)
    _load(client, "lake.sales.trips", table.select(RECORDED).slice(0, ROWS))
    told = told_of(_engine(client, "lake.sales.hard"), table)
    try:
        _engine(client, "lake.sales.gone").columns()
    except InvalidInput as error:
        told["gone"] = str(error)
    print(json.dumps({**told, "answers": recorded(_engine(client, "lake.sales.trips"))}))


def _engine(client: Any, source: str) -> BigQueryEngine:
    return BigQueryEngine(client, BigQueryEngine.dialect.relation(source), source)


def _load(client: Any, name: str, table: pa.Table) -> None:
    from google.cloud import bigquery

    fields = []
    for field in table.schema:
        listed = pa.types.is_list(field.type)
        kind = TYPES[field.type.value_type if listed else field.type]
        fields.append(bigquery.SchemaField(field.name, kind, mode="REPEATED" if listed else "NULLABLE"))
    client.create_table(bigquery.Table(name, schema=fields))
    file = io.BytesIO()
    pq.write_table(table, file)
    file.seek(0)
    settings = bigquery.LoadJobConfig(source_format="PARQUET")
    client.load_table_from_file(file, name, job_config=settings).result()


if __name__ == "__main__":
    main(sys.argv[1])
