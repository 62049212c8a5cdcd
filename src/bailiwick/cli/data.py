"""`bailiwick data`: look at data, infer and check its schema, compare, keep snapshots."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.files import write_text
from bailiwick.cli.output import JsonOption, answer, busy, print_json, print_table, say, short, when
from bailiwick.cli.session import open_session

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(help="Data: statistics, schema, checks, snapshots.", no_args_is_help=True)

SourceArgument = Annotated[str, typer.Argument(help="Files: a path or a glob of CSV, JSON lines or Parquet.")]


@app.command()
def stats(source: SourceArgument, json: JsonOption = False) -> None:
    """Statistics of each column."""
    with busy(f"Reading {source}"):
        found = _statistics(source)
    if json:
        from google.protobuf.json_format import MessageToDict

        print_json(MessageToDict(found, preserving_proto_field_name=True))
        return
    columns = ["column", "type", "missing", "mean", "std", "least … median … most"]
    rows = [_summary(feature) for feature in found.datasets[0].features]
    title = f"{source}: {found.datasets[0].num_examples:,} rows"
    print_table(title, columns, rows, empty="The source has no columns.")


@app.command()
def schema(
    source: SourceArgument,
    output: Annotated[Path | None, typer.Option(help="schema.pbtxt to write; otherwise standard output.")] = None,
) -> None:
    """Infer a schema. A person reviews it; then it is kept in git."""
    from bailiwick.data.schema import infer_schema, schema_text

    with busy(f"Reading {source}"):
        text = schema_text(infer_schema(_statistics(source)))
    if output is None:
        say(text.rstrip("\n"))
    else:
        write_text(output, text)
        say(f"Wrote {output}: review it, then keep it in git.")


@app.command()
def validate(
    source: SourceArgument,
    schema: Annotated[Path, typer.Option(help="The reviewed schema.pbtxt.")],
    environment: Annotated[str, typer.Option(help="Schema environment, e.g. serving.")] = "",
    json: JsonOption = False,
) -> None:
    """Check data against a schema. Exit 1, naming the anomalies, when it does not fit."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.validation import validate as find_anomalies

    reviewed = read_schema(schema)
    with busy(f"Reading {source}"):
        anomalies = find_anomalies(_statistics(source), reviewed, environment=environment)
    if json:
        print_json(anomalies)
    else:
        rows = [(anomaly.severity.lower(), anomaly.feature, anomaly.kind, anomaly.long) for anomaly in anomalies]
        columns = ["severity", "column", "kind", "what"]
        print_table("Anomalies", columns, rows, empty="No anomalies: the data fits the schema.", below="what")
    if any(anomaly.severity == "ERROR" for anomaly in anomalies):
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


@app.command()
def snapshot(
    source: SourceArgument,
    dataset: Annotated[str, typer.Option(help="Name of the dataset it is a snapshot of.")],
    time: Annotated[str, typer.Option(help="Column of the event time, if there is one.")] = "",
    json: JsonOption = False,
) -> None:
    """Keep the rows as they are now. The same rows twice are one snapshot."""
    with open_session(create=True) as (platform, actor), busy(f"Reading {source}"):
        rows = _read(source)
        kept = platform.data.ingest(actor, dataset, rows, source=source, time_column=time)
    answer(f"Snapshot {short(kept.id)} of {dataset}: {kept.rows:,} rows, digest {kept.digest}.", kept, as_json=json)


@app.command()
def snapshots(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    json: JsonOption = False,
) -> None:
    """The snapshots that were kept, newest first."""
    with open_session() as (platform, actor):
        found = platform.data.snapshots(actor.workspace, dataset)
    if json:
        print_json(found)
        return
    rows = [
        (short(s.id), s.dataset, s.rows, when(s.time_from)[:10], when(s.time_to)[:10], s.digest[:12], when(s.created))
        for s in found
    ]
    columns = ["snapshot", "dataset", "rows", "from", "to", "digest", "kept (UTC)"]
    print_table("Snapshots", columns, rows, empty="No snapshots yet: `bailiwick run` makes the first.")


def _read(source: str) -> pa.Table:
    from bailiwick.data.sources import read_source

    return read_source(source, Path.cwd())


def _statistics(source: str) -> Any:
    from bailiwick.data.statistics import compute_statistics

    return compute_statistics(_read(source), name=source)


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
