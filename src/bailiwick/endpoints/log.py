"""The prediction log: what every endpoint answered, and what turned out to be true. Delta tables that anything can read.

`predictions/<endpoint>` has the columns of `prediction_schema` and one `in_<input>` and `out_<output>` column for each
tensor of the models behind it (see `WITHHELD` for those that a policy leaves out); `outcomes/<endpoint>` has those of
`outcome_schema`, `refusals/<endpoint>` those of `refusal_schema`. `shadows/<endpoint>` has, in the columns of predictions,
what versions said that were only run on copies: apart, so that nothing that judges answers ever sees them. Tables of workspaces other than
`default` are under `workspaces/<workspace>/`. Rows arrive in rough order of time and of id, so reading a window opens only
the files whose statistics meet it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.store.delta import DeltaTables

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable
else:
    duckdb, pa, pc = deferred("duckdb"), deferred("pyarrow"), deferred("pyarrow.compute")

# Delta without column mapping forbids these in names.
_FORBIDDEN = re.compile(r"[ ,;{}()\n\t=]")


@cache
def prediction_schema() -> pa.Schema:
    """Columns that every table of predictions has."""
    return pa.schema(
        [
            ("prediction_id", pa.string()),  # "<request id>:<row>"
            ("request_id", pa.string()),
            ("row", pa.int32()),
            ("endpoint", pa.string()),
            ("epoch", pa.int32()),
            ("variant", pa.string()),
            ("model", pa.string()),
            ("version", pa.int32()),
            ("unit", pa.string()),
            ("time", pa.int64()),  # event time, ms
            ("received", pa.int64()),  # arrival, ms
            ("latency_us", pa.int32()),
            ("status", pa.int16()),  # HTTP
            ("error", pa.string()),  # why it failed, or, of one that did not, why another answered
        ]
    )


@cache
def outcome_schema() -> pa.Schema:
    """Columns of a table of outcomes."""
    return pa.schema(
        [
            ("prediction_id", pa.string()),
            ("outcome", pa.float64()),
            ("time", pa.int64()),  # when it became known, ms
            ("received", pa.int64()),
        ]
    )


@cache
def refusal_schema() -> pa.Schema:
    """Columns of a table of refused requests; those of endpoints whose policy records them."""
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("endpoint", pa.string()),
            ("received", pa.int64()),
            ("status", pa.int16()),
            ("body_bytes", pa.int64()),
            ("error", pa.string()),
        ]
    )


WITHHELD = "withheld"
"""A column that a table has once a policy kept less than everything: names of the inputs that a row lacks as they were
sent, a line each; `EVERYTHING` for all of them; null for none."""


PARAMS = "params"
"""A column of models that take params: what the version was run with beside the rows, as a JSON object, without those that the
policy hides; null where no inputs were kept."""


def hashed_column(name: str) -> str:
    """Column that holds keyed hashes of the input `name`."""
    return "hashed_" + _FORBIDDEN.sub("_", name)


def input_column(name: str) -> str:
    """Column that holds the input tensor `name`."""
    return "in_" + _FORBIDDEN.sub("_", name)


def output_column(name: str) -> str:
    """Column that holds the output tensor `name`."""
    return "out_" + _FORBIDDEN.sub("_", name)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a version answered at an endpoint: how many predictions, how many of them failed, first and last event time."""

    model: str
    version: int
    count: int
    failed: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """A shadow beside what was answered for the same rows. Losses are mean squared errors of the rows whose outcome is
    known; differences and losses are None where there are no such rows.
    """

    version: int
    rows: int
    failed: int
    mean_difference: float | None
    largest_difference: float | None
    outcomes: int
    loss: float | None
    shadow_loss: float | None


class PredictionLogs:
    """The logs of every workspace: endpoints of one name in two workspaces have nothing to do with each other."""

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables
        self._logs: dict[str, PredictionLog] = {}

    def of(self, workspace: str) -> PredictionLog:
        """The log of one workspace; the same object each time, for it remembers what it has read."""
        return self._logs.setdefault(workspace, PredictionLog(self._tables, workspace))


class PredictionLog:
    """Appends are exactly once when given a transaction; reads give empty tables before the first append."""

    def __init__(self, tables: DeltaTables, workspace: str) -> None:
        self._tables = tables
        # The default workspace's tables have always been where they are; a workspace's name is a safe folder name.
        self._folder = "" if workspace == "default" else f"workspaces/{workspace}/"
        self._watermarks: dict[str, tuple[int, int | None]] = {}
        self._answered: dict[str, tuple[int, list[Answered]]] = {}

    def predictions_table(self, endpoint: str) -> str:
        """Name of the endpoint's table of predictions."""
        return f"{self._folder}predictions/{endpoint}"

    def outcomes_table(self, endpoint: str) -> str:
        """Name of the endpoint's table of outcomes."""
        return f"{self._folder}outcomes/{endpoint}"

    def refusals_table(self, endpoint: str) -> str:
        """Name of the endpoint's table of refused requests."""
        return f"{self._folder}refusals/{endpoint}"

    def append_refusals(self, endpoint: str, rows: pa.Table, *, transaction: tuple[str, int] | None = None) -> None:
        """Append rows with the columns of `refusal_schema`."""
        self._tables.append(self.refusals_table(endpoint), rows.cast(refusal_schema()), transaction=transaction)

    def shadows_table(self, endpoint: str) -> str:
        """Name of the endpoint's table of what shadows said."""
        return f"{self._folder}shadows/{endpoint}"

    def append_predictions(self, endpoint: str, rows: pa.Table, *, transaction: tuple[str, int] | None = None) -> None:
        """Append rows that have at least the columns of `prediction_schema`.

        A tensor column whose type differs from the table's goes to `<column>_<type>`, so that no version of a model can
        stop the log.
        """
        self._append(self.predictions_table(endpoint), rows, transaction)

    def append_shadows(self, endpoint: str, rows: pa.Table, *, transaction: tuple[str, int] | None = None) -> None:
        """The same for what shadows said."""
        self._append(self.shadows_table(endpoint), rows, transaction)

    def _append(self, name: str, rows: pa.Table, transaction: tuple[str, int] | None) -> None:
        fitted = _fit(rows, self._tables.open(name)) if self._tables.exists(name) else rows
        self._tables.append(name, fitted, transaction=transaction)

    def append_outcomes(self, endpoint: str, rows: pa.Table, *, transaction: tuple[str, int] | None = None) -> None:
        """Append rows with the columns of `outcome_schema`."""
        self._tables.append(self.outcomes_table(endpoint), rows.cast(outcome_schema()), transaction=transaction)

    def shipped(self, table: str, application: str) -> int | None:
        """The transaction version that `application` last committed to `table` (see `predictions_table`), or None."""
        return self._tables.transaction_version(table, application)

    def predictions(
        self,
        endpoint: str,
        *,
        start: int | None = None,
        end: int | None = None,
        since_epoch: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Predictions, failed ones too, with event time in [start, end) milliseconds; None leaves a side open.

        `since_epoch` leaves out what was answered under earlier splits of the endpoint's traffic.
        """
        conditions = [*_window(start, end), *_since(since_epoch)]
        return self._scan(self.predictions_table(endpoint), prediction_schema(), conditions, columns)

    def shadows(
        self, endpoint: str, *, start: int | None = None, end: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """What shadows said, or failed to, with event time in [start, end)."""
        return self._scan(self.shadows_table(endpoint), prediction_schema(), _window(start, end), columns)

    def shadowed(
        self, endpoint: str, *, start: int | None = None, end: int | None = None, output: str = "out_probability"
    ) -> pa.Table:
        """Each prediction that was answered beside what each shadow said of the same rows: `prediction_id`, `time`, `unit`,
        `version`, `output`, `shadow_version`, `shadow_status`, `shadow_output`, and the `outcome` where it is known.
        """
        kept = ["prediction_id", "time", "unit", "version", "status", "received", output]
        rows = self._scan(
            self.predictions_table(endpoint), prediction_schema(), [*_window(start, end), "status = 200"], kept
        )
        outcomes = self._scan(self.outcomes_table(endpoint), outcome_schema(), [], None)
        return _beside(rows, self.shadows(endpoint, start=start, end=end, columns=kept), outcomes, output)

    def compared(self, endpoint: str, *, start: int | None = None, end: int | None = None) -> list[ShadowComparison]:
        """Each shadow's probabilities beside those that were answered, by version."""
        pairs = self.shadowed(endpoint, start=start, end=end)
        with duckdb.connect() as connection:
            connection.register("pairs", pairs)
            return [ShadowComparison(*row) for row in connection.sql(_COMPARED).fetchall()]

    def outcomes(self, endpoint: str, *, start: int | None = None, end: int | None = None) -> pa.Table:
        """Outcomes that became known in [start, end), repeated ones too."""
        return self._scan(self.outcomes_table(endpoint), outcome_schema(), _window(start, end), None)

    def matured(
        self,
        endpoint: str,
        *,
        start: int | None = None,
        end: int | None = None,
        since_epoch: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Answered predictions whose outcome is known, with `outcome` and `outcome_time`, by event time in [start, end).

        The first outcome received wins, and so does the first of predictions that share an id. `columns` chooses among
        those of the predictions.
        """
        conditions = [*_window(start, end), "status = 200", *_since(since_epoch)]
        needed = None if columns is None else [*dict.fromkeys(["prediction_id", "received", *columns])]
        predictions = self._scan(self.predictions_table(endpoint), prediction_schema(), conditions, needed)
        if predictions.num_rows == 0:
            outcomes = outcome_schema().empty_table()
        else:
            bounds = pc.min_max(predictions["prediction_id"]).as_py()
            between = [f"prediction_id >= {_quoted(bounds['min'])}", f"prediction_id <= {_quoted(bounds['max'])}"]
            outcomes = self._scan(self.outcomes_table(endpoint), outcome_schema(), between, None)
        return _join(predictions, outcomes, columns)

    def watermark(self, endpoint: str) -> int | None:
        """The newest event time logged, in milliseconds; None before the first prediction. Reads file statistics only."""
        name = self.predictions_table(endpoint)
        if not self._tables.exists(name):
            return None
        table = self._tables.open(name)
        known = self._watermarks.get(endpoint)
        if known is None or known[0] != table.version():
            known = self._watermarks[endpoint] = (table.version(), self._newest_time(endpoint, table))
        return known[1]

    def answered(self, endpoint: str) -> list[Answered]:
        """What each version answered, by model and version, counted in one stream and remembered until more is logged."""
        name = self.predictions_table(endpoint)
        if not self._tables.exists(name):
            return []
        table = self._tables.open(name)
        known = self._answered.get(endpoint)
        if known is None or known[0] != table.version():
            rows = pa.RecordBatchReader.from_stream(table.scan(columns=["model", "version", "status", "time"]))
            known = self._answered[endpoint] = (table.version(), _counted(rows))
        return known[1]

    def _newest_time(self, endpoint: str, table: DeltaTable) -> int | None:
        files = pa.table(table.get_add_actions(flatten=True))
        if "max.time" in files.column_names and files["max.time"].null_count == 0:
            return pc.max(files["max.time"]).as_py()  # type: ignore[no-any-return]
        return pc.max(self.predictions(endpoint, columns=["time"])["time"]).as_py()  # type: ignore[no-any-return]

    def _scan(self, name: str, schema: pa.Schema, conditions: Sequence[str], columns: Sequence[str] | None) -> pa.Table:
        if not self._tables.exists(name):
            return _empty(schema, columns)
        table = self._tables.open(name)
        known = set(_column_names(table))
        wanted = None if columns is None else [column for column in columns if column in known]
        read = pa.table(table.scan(columns=wanted, predicate=" AND ".join(conditions) or None))
        return _with_missing(_plain(read), columns)


_COMPARED = """
    SELECT shadow_version, count(*), count(*) FILTER (NOT answered),
           avg(difference) FILTER (answered), max(abs(difference)) FILTER (answered),
           count(outcome) FILTER (answered), avg((output - outcome) ** 2) FILTER (answered),
           avg((shadow_output - outcome) ** 2) FILTER (answered)
    FROM (SELECT shadow_version, outcome::DOUBLE AS outcome, output::DOUBLE AS output,
                 shadow_output::DOUBLE AS shadow_output, shadow_status = 200 AS answered,
                 shadow_output::DOUBLE - output::DOUBLE AS difference
          FROM pairs)
    GROUP BY shadow_version ORDER BY shadow_version
"""


def _counted(rows: pa.RecordBatchReader) -> list[Answered]:
    query = """
        SELECT model, version, count(*), count(*) FILTER (status <> 200), min(time), max(time)
        FROM rows WHERE model IS NOT NULL AND version IS NOT NULL GROUP BY ALL ORDER BY ALL
    """
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        return [Answered(*row) for row in connection.sql(query).fetchall()]


def _window(start: int | None, end: int | None) -> list[str]:
    since = [] if start is None else [f"time >= {int(start)}"]
    return since if end is None else [*since, f"time < {int(end)}"]


def _since(epoch: int | None) -> list[str]:
    return [] if epoch is None else [f"epoch >= {int(epoch)}"]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _column_names(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


def _empty(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
    empty = schema.empty_table()
    if columns is None:
        return empty
    return _with_missing(empty.select([name for name in columns if name in schema.names]), columns)


def _with_missing(rows: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """Columns that no prediction has had yet are all null, in the order asked for."""
    if columns is None:
        return rows
    for name in columns:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows))
    return rows.select(list(columns))


def _plain(rows: pa.Table) -> pa.Table:
    """Arrow's view types, which delta-rs gives, are not taken by Arrow's own joins nor by pandas."""
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return rows.cast(pa.schema([(field.name, plain.get(field.type, field.type)) for field in rows.schema]))


def _fit(rows: pa.Table, table: DeltaTable) -> pa.Table:
    held = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    names = []
    for field in rows.schema:
        present = held.get(field.name, field.type)
        same = plain.get(present, present) == plain.get(field.type, field.type)
        names.append(field.name if same else f"{field.name}_{field.type}")
    return rows.rename_columns(names)


def _join(predictions: pa.Table, outcomes: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    chosen = predictions.column_names if columns is None else list(columns)
    listed = "".join(f'p."{name}", ' for name in chosen)
    query = f"""
        SELECT {listed} o.outcome, o.outcome_time
        FROM predictions p
        JOIN (
            SELECT prediction_id, arg_min(outcome, received) AS outcome, arg_min(time, received) AS outcome_time
            FROM outcomes GROUP BY prediction_id
        ) o USING (prediction_id)
    """
    if pc.count_distinct(predictions["prediction_id"]).as_py() < predictions.num_rows:
        query += " QUALIFY row_number() OVER (PARTITION BY p.prediction_id ORDER BY p.received) = 1"
    with duckdb.connect() as connection:
        connection.register("predictions", predictions)
        connection.register("outcomes", outcomes)
        return _plain(connection.sql(query).to_arrow_table())


def _beside(predictions: pa.Table, shadows: pa.Table, outcomes: pa.Table, output: str) -> pa.Table:
    query = f"""
        SELECT p.prediction_id, p.time, p.unit, p.version, p."{output}" AS output, s.version AS shadow_version,
               s.status AS shadow_status, s."{output}" AS shadow_output, o.outcome
        FROM (SELECT * FROM predictions
              QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY received) = 1) p
        JOIN (SELECT * FROM shadows
              QUALIFY row_number() OVER (PARTITION BY prediction_id, version ORDER BY received) = 1) s USING (prediction_id)
        LEFT JOIN (SELECT prediction_id, arg_min(outcome, received) AS outcome FROM outcomes GROUP BY prediction_id) o
             USING (prediction_id)
        ORDER BY p.time, p.prediction_id, s.version
    """
    with duckdb.connect() as connection:
        connection.register("predictions", predictions)
        connection.register("shadows", shadows)
        connection.register("outcomes", outcomes)
        return _plain(connection.sql(query).to_arrow_table())
