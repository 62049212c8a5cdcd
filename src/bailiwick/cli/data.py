"""`bailiwick data`: look at data, infer and check its schema, compare, keep snapshots."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli import data_schema, snapshots
from bailiwick.cli.data_schema import statistics_of
from bailiwick.cli.output import JsonOption, busy, print_json, print_table, say
from bailiwick.cli.sources import OneSource, SourceArgument

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(help="Data: statistics, schema, checks, snapshots.", no_args_is_help=True)
app.add_typer(data_schema.app, name="schema")


@app.command(cls=OneSource)
def stats(
    source: SourceArgument,
    output: Annotated[Path | None, typer.Option(help="File for TFDV to read: .pb, .pbtxt or .tfrecord.")] = None,
    by: Annotated[str, typer.Option(help="Column to slice by: statistics of each of its values too.")] = "",
    weight: Annotated[str, typer.Option(help="Column that says how much a row counts.")] = "",
    label: Annotated[str, typer.Option(help="Column whose lift by the values of others is wanted.")] = "",
    correlations: Annotated[bool, typer.Option("--correlations", help="Of every two numeric columns.")] = False,
    schema: Annotated[Path | None, typer.Option(help="Count tokens of the texts that this schema describes.")] = None,
    meanings: Annotated[bool, typer.Option("--meanings", help="Guess which columns are times or texts.")] = False,
    json: JsonOption = False,
) -> None:
    """Statistics of each column. Those beyond the table that is printed are in --json and --output."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.statistics.describing import describe
    from bailiwick.data.statistics.slicing import slices_by

    with busy(f"Reading {source}"):
        if by or weight or label or correlations or meanings or schema:
            rows_read = _read(source)
            found = describe(
                rows_read,
                source,
                slices=slices_by(rows_read, by) if by else None,
                weight=weight,
                label=label,
                correlations=correlations,
                meanings=meanings,
                schema=read_schema(schema) if schema else None,
            )
        else:
            found = statistics_of(source)
    if output is not None:
        from bailiwick.data.statistics.files import write_statistics

        write_statistics(found, output)
    if json:
        from google.protobuf.json_format import MessageToDict

        print_json(MessageToDict(found, preserving_proto_field_name=True))
        return
    columns = ["column", "type", "missing", "mean", "std", "least … median … most"]
    rows = [_summary(feature) for feature in found.datasets[0].features]
    title = f"{source}: {found.datasets[0].num_examples:,} rows"
    print_table(title, columns, rows, empty="The source has no columns.")


@app.command(cls=OneSource)
def validate(
    source: SourceArgument,
    schema: Annotated[Path, typer.Option(help="The reviewed schema.pbtxt.")],
    environment: Annotated[str, typer.Option(help="Schema environment, e.g. serving.")] = "",
    previous: Annotated[str, typer.Option(help="Files of earlier data, for the schema's drift comparators.")] = "",
    serving: Annotated[str, typer.Option(help="Files of serving data, for the schema's skew comparators.")] = "",
    checks: Annotated[list[str] | None, typer.Option("--check", help="SQL that is true of each row; repeat.")] = None,
    json: JsonOption = False,
) -> None:
    """Check data against a schema. Exit 1, naming the anomalies, when it does not fit."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.validation import validate as find_anomalies

    reviewed = read_schema(schema)
    with busy(f"Reading {source}"):
        anomalies = find_anomalies(
            statistics_of(source),
            reviewed,
            environment,
            previous=statistics_of(previous) if previous else None,
            serving=statistics_of(serving) if serving else None,
        )
        if checks:
            from bailiwick.data.validation.sql import SqlCheck, check_sql

            anomalies += check_sql(_read(source), [SqlCheck(expression, expression) for expression in checks])
    if json:
        print_json(anomalies)
    else:
        rows = [(anomaly.severity.lower(), anomaly.feature, anomaly.kind, anomaly.long) for anomaly in anomalies]
        columns = ["severity", "column", "kind", "what"]
        print_table("Anomalies", columns, rows, empty="No anomalies: the data fits the schema.", below="what")
    if any(anomaly.severity == "ERROR" for anomaly in anomalies):
        sys.exit(1)


@app.command(cls=OneSource)
def offending(
    source: SourceArgument,
    schema: Annotated[Path | None, typer.Option(help="A schema.pbtxt that the rows should fit.")] = None,
    checks: Annotated[list[str] | None, typer.Option("--check", help="SQL that is true of each row; repeat.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to list of each check.")] = 10,
    json: JsonOption = False,
) -> None:
    """List the rows that break a schema or a check in SQL. Exit 1 when there are some."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.validation.sql import SqlCheck, offending_rows, schema_checks

    asked = [SqlCheck(expression, expression) for expression in checks or []]
    asked += schema_checks(read_schema(schema)) if schema is not None else []
    with busy(f"Reading {source}"):
        found = offending_rows(_read(source), asked, limit=limit)
    if json:
        print_json([
            {"check": one.check.name, "count": one.count, "rows": [
                {"row": place + 1, **values} for place, values in zip(one.places, one.rows.to_pylist(), strict=True)
            ]}
            for one in found
        ])  # fmt: skip
    for one in found if not json else []:
        rows = [(place + 1, *values.values()) for place, values in zip(one.places, one.rows.to_pylist(), strict=True)]
        print_table(f"{one.check.name}: {one.count:,} rows", ["row", *one.rows.column_names], rows, empty="")
    if not found and not json:
        say("No row breaks a check.")
    if found:
        sys.exit(1)


@app.command()
def compare(
    baseline: SourceArgument,
    current: SourceArgument,
    column: Annotated[list[str] | None, typer.Option(help="Only this column; repeat for more.")] = None,
    alpha: Annotated[float, typer.Option(help="Largest false-alarm rate of the whole comparison.")] = 0.01,
    margin: Annotated[float, typer.Option(help="Smallest shift that matters, as a distance from 0 to 1.")] = 0.05,
    json: JsonOption = False,
) -> None:
    """Compare two sources by column. Exit 1 when one drifted by more than the margin."""
    from bailiwick.core.errors import InvalidInput
    from bailiwick.data.comparison import compare as compare_profiles
    from bailiwick.data.profile import build_profile, count

    with busy(f"Comparing {baseline} with {current}"):
        before, after = _read(baseline), _read(current)
        shared = [name for name in before.column_names if name in after.column_names]
        for name in column or []:
            if name not in shared:
                raise InvalidInput.choice("Column of both sources", name, shared)
        reference = build_profile(before, column or shared)
        drifts = compare_profiles(reference, count(reference, after), alpha=alpha, margin=margin)
    if json:
        print_json(drifts)
    else:
        rows = [
            (drift.feature, f"{drift.distance:.3f}", f"{drift.bound:.3f}", "drifted" if drift.drifted else "")
            for drift in drifts
        ]
        columns = ["column", "rows that moved", "surely more than", "verdict"]
        print_table(f"Drift of more than {margin:g}", columns, rows, empty="No columns in common.")
    if any(drift.drifted for drift in drifts):
        sys.exit(1)


app.command(cls=OneSource)(snapshots.snapshot)
for _command in snapshots.OF_SNAPSHOTS:
    app.command()(_command)


def _read(source: str) -> pa.Table:
    from bailiwick.data.sources import read_source

    return read_source(source, Path.cwd())


def _summary(feature: Any) -> tuple[object, ...]:
    """One row of `stats`, from TFDV's message."""
    kind = feature.Type.Name(feature.type).lower()
    name = "/".join(feature.path.step)
    which = feature.WhichOneof("stats")
    missing = getattr(feature, which).common_stats.num_missing
    if which == "num_stats":
        number = feature.num_stats
        spread = " … ".join(f"{value:.5g}" for value in (number.min, number.median, number.max))
        return name, kind, missing, number.mean, number.std_dev, spread
    if which == "string_stats":
        text = feature.string_stats
        most = ", ".join(textwrap.shorten(value.value, 12, placeholder="…") for value in text.top_values[:3])
        return name, kind, missing, None, None, f"{text.unique:,} different: {most}" if text.unique else ""
    return name, kind, missing, None, None, ""
