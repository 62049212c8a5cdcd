"""`bailiwick data`: look at data, infer and check its schema, compare, keep snapshots."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli import data_checks, data_report, data_schema, data_skew, data_watch, snapshots
from bailiwick.cli.data_schema import statistics_of, types_of
from bailiwick.cli.data_tables import ColumnsOption, SearchOption, SortOption, print_drifts, print_statistics
from bailiwick.cli.engines import EngineOption, checked_on, only_here, profiles_on, statistics_on
from bailiwick.cli.output import JsonOption, busy, print_json, print_table, say
from bailiwick.cli.sources import OneSource, ReadOption, SourceArgument, source_of

if TYPE_CHECKING:
    from bailiwick.data.distributions.listing import Choice
    from bailiwick.data.statistics.describing import Asked

app = typer.Typer(help="Data: statistics, schema, checks, snapshots.", no_args_is_help=True)
app.add_typer(data_schema.app, name="schema")


@app.command(cls=OneSource)
def stats(
    source: SourceArgument,
    out: Annotated[Path | None, typer.Option(help="File for TFDV to read: .pb, .pbtxt or .tfrecord.")] = None,
    by: Annotated[str, typer.Option(help="Column to slice by: statistics of each of its values too.")] = "",
    weight: Annotated[str, typer.Option(help="Column that says how much a row counts.")] = "",
    label: Annotated[str, typer.Option(help="Column whose lift by, and information in, the others is wanted.")] = "",
    correlations: Annotated[bool, typer.Option("--correlations", help="Of every two numeric columns.")] = False,
    schema: Annotated[Path | None, typer.Option(help="Count tokens of the texts that this schema describes.")] = None,
    meanings: Annotated[
        bool,
        typer.Option(
            "--meanings", help="Guess which columns are times or texts, and count values that stand for none."
        ),
    ] = False,
    custom: Annotated[
        list[str] | None, typer.Option("--stat", help="NAME=SQL: an aggregate of your own; repeat for more.")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="Project file whose data.statistics to take too.")] = None,
    engine: EngineOption = "",
    read: ReadOption = None,
    columns: ColumnsOption = None,
    search: SearchOption = "",
    sort: SortOption = "source",
    json: JsonOption = False,
) -> None:
    """Statistics of each column, one a line. Those beyond the table that is printed are in --json and --out."""
    from bailiwick.data.distributions.listing import Choice
    from bailiwick.data.schema import read_schema
    from bailiwick.data.statistics.custom import parse_statistics
    from bailiwick.data.statistics.describing import Asked

    choice = Choice(search, tuple(columns or ()), sort)
    own = {**_declared_statistics(project), **parse_statistics(custom or [])}
    only_here(
        engine,
        read=read,
        weight=weight,
        label=label,
        correlations=correlations,
        schema=schema,
        meanings=meanings,
        stat=own,
    )
    wanted = read_schema(schema) if schema else None
    asked = Asked(weight=weight, label=label, correlations=correlations, meanings=meanings, schema=wanted, custom=own)
    found, types = _described(source, engine, by, asked, read)
    if out is not None:
        from bailiwick.data.statistics.files import write_statistics

        write_statistics(found, out)
    if json:
        _print_as_json(found)
        return
    _print_found(found, types, source, choice)
    if own:
        _print_own(found, own)


def _print_as_json(found: Any) -> None:
    from google.protobuf.json_format import MessageToDict

    print_json(MessageToDict(found, preserving_proto_field_name=True))


def _print_found(found: Any, types: dict[str, str], source: str, choice: Choice) -> None:
    from bailiwick.data.distributions.columns import columns_of

    everything = columns_of(found.datasets[0], types=types)
    title = f"{source}: {found.datasets[0].num_examples:,} rows, {len(everything):,} columns"
    print_statistics(choice.of(everything), title=title, in_all=len(everything))


def _described(source: str, engine: str, by: str, asked: Asked, read: list[str] | None) -> tuple[Any, dict[str, str]]:
    """Statistics, and the Arrow type of each column that was read here."""
    from bailiwick.data.statistics.describing import Asked, describe_rows

    types: dict[str, str] = {}
    with busy(f"Reading {source}"):
        if engine:
            return statistics_on(engine, source, by=by), types
        if not by and asked == Asked():
            return statistics_of(source, types=types, distinct=True, read=read), types
        opened = source_of(source, read)
        return describe_rows(opened, source, by=by, asked=asked, distinct=True), types_of(opened.schema)


def _declared_statistics(project: Path | None) -> dict[str, str]:
    from bailiwick.pipelines.project import load_project

    return dict(load_project(project).data.statistics) if project is not None else {}


def _print_own(found: Any, own: dict[str, str]) -> None:
    told = [
        (stat.name, dataset.name, stat.str or f"{stat.num:.10g}", own[stat.name])
        for dataset in found.datasets
        for feature in dataset.features
        for stat in feature.custom_stats
        if stat.name in own
    ]
    print_table("Statistics of your own", ["name", "of", "is", "sql"], told, empty="None has a value.", below="sql")


@app.command(cls=OneSource)
def validate(
    source: SourceArgument,
    schema: Annotated[Path, typer.Option(help="The reviewed schema.pbtxt.")],
    environment: Annotated[str, typer.Option(help="Schema environment, e.g. serving.")] = "",
    previous: Annotated[str, typer.Option(help="Files of earlier data, for the schema's drift comparators.")] = "",
    serving: Annotated[str, typer.Option(help="Files of serving data, for the schema's skew comparators.")] = "",
    checks: Annotated[list[str] | None, typer.Option("--check", help="SQL that is true of each row; repeat.")] = None,
    engine: EngineOption = "",
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Check data against a schema. Exit 1, naming the anomalies, when it does not fit."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.validation import validate as find_anomalies

    reviewed = read_schema(schema)
    with busy(f"Reading {source}"):
        anomalies = find_anomalies(
            statistics_of(source, engine, schema=reviewed, read=read),
            reviewed,
            environment,
            previous=statistics_of(previous, engine, read=read) if previous else None,
            serving=statistics_of(serving, engine, read=read) if serving else None,
        )
        if checks and engine:
            anomalies += checked_on(engine, source, checks)
        elif checks:
            from bailiwick.data.validation.sql import SqlCheck, check_sql

            anomalies += check_sql(source_of(source, read), [SqlCheck(expression, expression) for expression in checks])
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
    unique: data_checks.UniqueOption = None,
    duplicates: data_checks.DuplicatesOption = None,
    references: data_checks.ReferencesOption = None,
    order: data_checks.OrderOption = None,
    fresh: data_checks.FreshOption = None,
    project: data_checks.ProjectOption = None,
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """List the rows that break a schema, a check in SQL, or a check of the whole. Exit 1 when there are some."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.validation.row_rules import schema_checks
    from bailiwick.data.validation.sql import SqlCheck, offending_rows

    asked = [SqlCheck(expression, expression) for expression in checks or []]
    rows = source_of(source, read) if (checks or schema is not None) and not data_checks.is_snapshot(source) else None
    if schema is not None:
        columns = data_checks.columns_of_snapshot(source) if rows is None else rows.schema
        asked += schema_checks(read_schema(schema), columns)
    whole = data_checks.asked_checks(
        unique=unique, duplicates=duplicates, references=references, order=order, fresh=fresh, project=project
    )
    told = data_checks.of_snapshot(source, asked)
    whole += told
    found: list[dict[str, Any]] = (
        data_checks.list_offending(source, whole, project, limit=limit, read=read) if whole else []
    )
    if asked and rows is not None:
        with busy(f"Reading {source}"):
            blamed = offending_rows(rows, asked, limit=limit)
        found += [
            {"check": one.check.name, "count": one.count, "rows": [
                {"row": place + 1, **values} for place, values in zip(one.places, one.rows.to_pylist(), strict=True)
            ]}
            for one in blamed
        ]  # fmt: skip
    if json:
        print_json(found)
    for each in found if not json else []:
        lines = [tuple(row.values()) for row in each["rows"]]
        print_table(f"{each['check']}: {each['count']:,} rows", list(each["rows"][0]), lines, empty="")
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
    engine: EngineOption = "",
    read: ReadOption = None,
    search: SearchOption = "",
    sort: SortOption = "drift",
    json: JsonOption = False,
) -> None:
    """Compare two sources by column, most moved first. Exit 1 when one drifted by more than the margin."""
    from bailiwick.data.comparison import compare as compare_profiles
    from bailiwick.data.distributions.columns import columns_of_profiles
    from bailiwick.data.distributions.listing import Choice
    from bailiwick.data.profiling import profile_sources

    choice = Choice(search, sort=sort)

    with busy(f"Comparing {baseline} with {current}"):
        only_here(engine, read=read)
        if engine:
            reference, counted = profiles_on(engine, baseline, current, column or [])
        else:
            reference, counted = profile_sources(source_of(baseline, read), source_of(current, read), column)
        drifts = compare_profiles(reference, counted, alpha=alpha, margin=margin)
    if json:
        print_json(drifts)
    else:
        everything = columns_of_profiles(reference, counted, drifts=drifts)
        title = f"Drift of more than {margin:g}: {sum(each.drifted for each in drifts):,} of {len(drifts):,} columns"
        print_drifts(choice.of(everything), title=title, in_all=len(everything))
    if any(drift.drifted for drift in drifts):
        sys.exit(1)


app.command(cls=OneSource)(data_checks.check)
app.command(cls=OneSource)(data_report.report)
app.command(cls=OneSource)(snapshots.snapshot)
for _command in (*snapshots.OF_SNAPSHOTS, data_watch.inspect, data_watch.accept, data_skew.skew):
    app.command()(_command)
