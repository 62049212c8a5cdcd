"""BigQuery as an engine, by `google-cloud-bigquery` with the credentials of its environment."""

from __future__ import annotations

from typing import Any

from bailiwick.core.errors import InvalidInput, MissingExtra, Unavailable
from bailiwick.data.engines.bigquery_dialect import BigQueryDialect, bigquery_column
from bailiwick.data.engines.engine import Row
from bailiwick.data.engines.model import Column


class BigQueryEngine:
    """One client; every statement is a job of its own, so a table that is written meanwhile is told as it changes."""

    dialect = BigQueryDialect()

    def __init__(self, client: Any, relation: str, name: str, *, shared: bool = False) -> None:
        self.name = name
        self.relation = relation
        self._shared = shared
        self._client = client

    @classmethod
    def of_source(cls, project: str, source: str) -> BigQueryEngine:
        """Over a table or a query, billed to `project` (empty: the environment's). Raises MissingExtra, Unavailable."""
        try:
            from google.auth.exceptions import GoogleAuthError
            from google.cloud import bigquery
        except ImportError:
            raise MissingExtra.of("bigquery", "google-cloud-bigquery") from None
        try:
            client = bigquery.Client(project=project or None)
        except (GoogleAuthError, OSError) as error:
            raise Unavailable(f"BigQuery cannot be reached: {_first_line(error)}.",
                              hint="Name credentials, e.g. in GOOGLE_APPLICATION_CREDENTIALS.") from error  # fmt: skip
        return cls(client, cls.dialect.relation(source), source)

    def over(self, relation: str, name: str) -> BigQueryEngine:
        """The same client, of another relation."""
        return BigQueryEngine(self._client, relation, name, shared=True)

    def columns(self) -> tuple[Column, ...]:
        """As the schema of an empty result has them."""
        _, schema = self._run(f"SELECT * FROM {self.relation} LIMIT 0")
        return tuple(bigquery_column(field.name, field.field_type, field.mode or "") for field in schema)

    def ask(self, sql: str) -> list[Row]:
        """Raises InvalidInput with BigQuery's reason, Unavailable where it does not answer."""
        return self._run(sql)[0]

    def _run(self, sql: str) -> tuple[list[Row], Any]:
        try:
            found = self._client.query(sql).result()
            return [row.values() for row in found], found.schema
        except Exception as error:  # of google.api_core, which may not be imported here; others go on
            status = getattr(error, "code", None)
            if status is None:
                raise
            told = f"{self.name} on bigquery: {_first_line(error)}."
            raise (InvalidInput if 400 <= int(status) < 500 else Unavailable)(told) from error

    def close(self) -> None:
        """Close the client's connections, unless they are another engine's."""
        if not self._shared:
            self._client.close()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
