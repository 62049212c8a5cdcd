"""Any engine by its URL: the one place that knows them all."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bailiwick.adapters.spark.session import is_spark
from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines.engine import Engine, engine_name
from bailiwick.data.reading.secrets import resolved

FORMS = (
    "duckdb", "duckdb:///FILE", "postgresql://…", "spark", "local[*]", "spark://HOST:PORT", "sc://HOST:PORT", "bigquery://PROJECT",
    "databricks://HOST/PATH", "snowflake://USER@ACCOUNT/DATABASE/SCHEMA",
)  # fmt: skip


def open_engine(url: str, source: str, base: Path) -> Engine:
    """The engine at `url` over `source`: a table there, a SELECT, or (DuckDB, Spark) files; relative paths start at `base`.

    A password or key in `url` may be `${NAME}`, a variable of this process's environment.
    Raises InvalidInput for a URL of no engine, MissingExtra naming the install line, Unavailable.
    """
    url = resolved(url)
    scheme = urlsplit(url).scheme if "://" in url else url
    if is_spark(url):
        from bailiwick.adapters.spark.engine import SparkEngine

        return SparkEngine.of_source(url, source)
    if scheme == "duckdb":
        from bailiwick.data.engines.duckdb_engine import DuckEngine

        file = unquote(url.partition("://")[2].removeprefix("/"))
        return DuckEngine.of_source(source, base, database=base / file if file else None)
    if scheme in {"postgresql", "postgres"} and "://" in url:
        from bailiwick.data.engines.postgresql_engine import PostgresEngine

        return PostgresEngine.of_source(url, source)
    if scheme == "bigquery":
        from bailiwick.adapters.warehouses.bigquery import BigQueryEngine

        return BigQueryEngine.of_source(url.partition("://")[2].strip("/"), source)
    if scheme == "databricks":
        from bailiwick.adapters.warehouses.databricks import DatabricksEngine

        return DatabricksEngine.of_source(url, source)
    if scheme == "snowflake":
        from bailiwick.adapters.warehouses.snowflake import SnowflakeEngine

        return SnowflakeEngine.of_source(url, source)
    raise InvalidInput.choice("Engine", engine_name(url), FORMS)
