"""`bailiwick data snapshot …`: keep, find, name, compare, export and delete snapshots."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, answer, busy, print_json, print_table, short, when
from bailiwick.cli.session import open_session
from bailiwick.cli.sources import SnapshotArgument, SourceArgument

if TYPE_CHECKING:
    from bailiwick.data.model import Snapshot
    from bailiwick.lifecycle.platform import Platform


# budget: one argument an option
def snapshot(
    source: SourceArgument,
    dataset: Annotated[str, typer.Option(help="Name of the dataset it is a snapshot of.")],
    time: Annotated[str, typer.Option(help="Column of the event time, if there is one.")] = "",
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Leave the rows in their files, and keep digests.")
    ] = False,
    new_only: Annotated[bool, typer.Option("--new-only", help="Add files that the newest snapshot lacks.")] = False,
    watermark: Annotated[str, typer.Option(help="Add rows above the highest value of this column.")] = "",
    column: Annotated[list[str] | None, typer.Option(help="Only this column; repeat for more.")] = None,
    query: Annotated[str, typer.Option(help="SQL of a database.")] = "",
    file_format: Annotated[str, typer.Option("--format", help="csv, jsonl, parquet, arrow or delta.")] = "",
    version: Annotated[int | None, typer.Option(help="Version of a Delta table.")] = None,
    delimiter: Annotated[str, typer.Option(help="What separates cells of CSV.")] = "",
    quote: Annotated[str, typer.Option(help="What encloses cells of CSV.")] = '"',
    decimal: Annotated[str, typer.Option(help="Decimal point of CSV.")] = ".",
    encoding: Annotated[str, typer.Option(help="Encoding of CSV and JSON lines.")] = "utf-8",
    column_type: Annotated[
        list[str] | None, typer.Option("--type", help="COLUMN=integer|number|text|boolean|date|timestamp.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep the rows as they are now. The same rows twice are one snapshot. Exit 1 when an alarm keeps it from training."""
    from bailiwick.core.errors import InvalidInput
    from bailiwick.data.sources import SourceOptions, open_source, without_password

    options = SourceOptions(
        format=file_format,
        query=query,
        version=version,
        delimiter=delimiter,
        quote=quote,
        decimal=decimal,
        encoding=encoding,
        types=_types(column_type or []),
    )
    if in_place and (new_only or watermark):
        raise InvalidInput("--in-place keeps a source as it is; it cannot be joined with --new-only or --watermark.")
    with open_session(create=True) as (platform, actor), busy(f"Reading {without_password(source)}"):
        if new_only or watermark:
            kept = platform.data.ingest_new(
                actor,
                dataset,
                source,
                Path.cwd(),
                options=options,
                columns=column or None,
                watermark=watermark,
                time_column=time,
            )
        else:
            opened = open_source(source, Path.cwd(), columns=column or None, options=options)
            kept = platform.data.ingest_source(actor, dataset, opened, time_column=time, in_place=in_place)
        stands = _inspected(platform, actor.workspace, kept, source)
    answer(f"Snapshot {short(kept.id)} of {dataset}: {kept.rows:,} rows, digest {kept.digest}.", kept, as_json=json)
    if stands:
        sys.exit(1)


def _inspected(platform: Platform, workspace: str, kept: Snapshot, source: str) -> bool:
    """Hold the snapshot against its checks and those before it; whether an alarm keeps it from training."""
    from bailiwick.cli.data_watch import tell_alarms
    from bailiwick.lifecycle.checking import last_written
    from bailiwick.lifecycle.inspection import Taking, inspect

    taking = Taking(platform.records.clock(), written=last_written(source, Path.cwd()))
    inspect(platform, workspace, kept, taking=taking)
    return tell_alarms(platform, workspace, kept.id)


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


def show(snapshot: SnapshotArgument, json: JsonOption = False) -> None:
    """One snapshot: columns, source, parts, names, tags, splits."""
    from bailiwick.data.splits import splits_among

    with open_session() as (platform, actor):
        found = platform.data.find(actor.workspace, snapshot)
        labels = platform.data.labels(actor.workspace, found.id)
    if json:
        print_json({"snapshot": found, "names": labels.names, "tags": labels.tags})
        return
    splits, tags = splits_among(labels.tags)
    sampled = "" if found.statistics_rows == found.rows else f" (a sample of {found.statistics_rows:,})"
    parts = [f"{part.rows:,} in {part.table or 'their files'}" for part in found.parts]
    facts = [
        ("id", found.id),
        ("dataset", found.dataset),
        ("digest", found.digest),
        ("rows", f"{found.rows:,}"),
        ("statistics", f"of {found.statistics_rows:,} rows{sampled}"),
        ("time", f"{when(found.time_from)} to {when(found.time_to)}" if found.time_from is not None else ""),
        ("source", found.source),
        ("parts", "; ".join(parts)),
        ("names", ", ".join(labels.names)),
        ("tags", ", ".join(f"{key}={value}" for key, value in tags.items())),
        *((f"split {name}", split.words) for name, split in splits.items()),
        ("kept (UTC)", when(found.created)),
        ("deleted (UTC)", when(found.deleted) if found.deleted else ""),
    ]
    print_table(f"Snapshot {short(found.id)}", ["what", "is"], [fact for fact in facts if fact[1]], empty="")
    print_table("Columns", ["column", "type"], list(found.columns), empty="It has no columns.")


def read(
    snapshot: SnapshotArgument,
    rows: Annotated[int, typer.Option(help="How many, from the first.")] = 10,
    column: Annotated[list[str] | None, typer.Option(help="Only this column; repeat for more.")] = None,
    json: JsonOption = False,
) -> None:
    """The first rows of a snapshot."""
    first: list[dict[str, object]] = []
    with open_session() as (platform, actor):
        found = platform.data.find(actor.workspace, snapshot)
        names = column or [name for name, _ in found.columns]
        for batch in platform.data.batches(actor.workspace, found.id, names):
            first += batch.slice(0, rows - len(first)).to_pylist()
            if len(first) >= rows:
                break
    if json:
        print_json(first)
        return
    cells = [tuple(_value(value) for value in row.values()) for row in first]
    print_table(f"Snapshot {short(found.id)} of {found.dataset}", names, cells, empty="It has no rows.")


def name(
    snapshot: SnapshotArgument,
    name: Annotated[str, typer.Argument(help="Unique in the dataset.")],
    move: Annotated[bool, typer.Option(help="Move a name that another snapshot has, or refuse it.")] = True,
    json: JsonOption = False,
) -> None:
    """Give a snapshot a name, so that it is DATASET@NAME; says where the name was before."""
    from bailiwick.core.errors import BailiwickError

    with open_session() as (platform, actor):
        wanted = platform.data.find(actor.workspace, snapshot)
        try:
            before = platform.data.find(actor.workspace, f"{wanted.dataset}@{name}").id
        except BailiwickError:  # it is free, or no name: the verb says which
            before = wanted.id
        found = platform.data.name_snapshot(actor, wanted.id, name, move=move)
    moved = f" It was snapshot {short(before)}." if before != found.id else ""
    answer(f"{found.dataset}@{name} is snapshot {short(found.id)}.{moved}", found, as_json=json)


def unname(
    named: Annotated[str, typer.Argument(metavar="DATASET@NAME", help="The name to take away.")],
    json: JsonOption = False,
) -> None:
    """Take a name away. The snapshot stays."""
    from bailiwick.core.errors import InvalidInput

    dataset, _, name = named.partition("@")
    if not (dataset and name):
        raise InvalidInput(f"{named!r} is no name of a snapshot.", hint="Write DATASET@NAME, such as flights@golden.")
    with open_session() as (platform, actor):
        found = platform.data.unname_snapshot(actor, dataset, name)
    answer(f"Snapshot {short(found.id)} is called {named} no more.", found, as_json=json)


def tag(
    snapshot: SnapshotArgument,
    key: Annotated[str, typer.Argument(help="The tag's key.")],
    value: Annotated[str | None, typer.Argument(help="Its value; left out, the tag is removed.")] = None,
    json: JsonOption = False,
) -> None:
    """Set a tag of a snapshot, or remove it."""
    with open_session() as (platform, actor):
        found = platform.data.tag_snapshot(actor, platform.data.find(actor.workspace, snapshot).id, key, value)
    told = f"{key} {'removed' if value is None else f'= {value}'}"
    answer(f"Snapshot {short(found.id)}: {told}.", found, as_json=json)


def diff(one: SnapshotArgument, other: SnapshotArgument, json: JsonOption = False) -> None:
    """Two snapshots side by side: rows, columns, statistics."""
    with open_session() as (platform, actor):
        ids = [platform.data.find(actor.workspace, each).id for each in (one, other)]
        found = platform.data.compare(actor.workspace, *ids)
    if json:
        print_json(found)
        return
    same = "the same rows" if found.equal else f"{found.rows_added:+,} rows"
    rows = [
        (
            each.column,
            each.change,
            *each.types,
            "; ".join(_change(key, *values) for key, values in each.statistics.items()),
        )
        for each in found.columns
    ]
    title = f"{short(found.one.id)} and {short(found.other.id)}: {same}"
    print_table(
        title, ["column", "change", "type", "then", "statistics"], rows, empty="No columns.", below="statistics"
    )


def export(
    snapshot: SnapshotArgument,
    file: Annotated[Path, typer.Argument(help="The file to write: .parquet, .csv or .arrow.")],
    file_format: Annotated[str, typer.Option("--format", help="parquet, csv or arrow.")] = "",
    json: JsonOption = False,
) -> None:
    """Write a snapshot to a file, which appears only when its digest is right."""
    with open_session() as (platform, actor), busy(f"Writing {file}"):
        found = platform.data.export(actor, platform.data.find(actor.workspace, snapshot).id, file, format=file_format)
    told = {"file": str(file), "snapshot": found.id, "rows": found.rows, "digest": found.digest}
    answer(f"Wrote {file}: {found.rows:,} rows, digest {found.digest}.", told, as_json=json)


def delete(
    snapshot: SnapshotArgument,
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "",
    json: JsonOption = False,
) -> None:
    """Hide a snapshot. It stays on record, and `restore` shows it again."""
    with open_session() as (platform, actor):
        found = platform.data.delete_snapshot(actor, platform.data.find(actor.workspace, snapshot).id, reason=reason)
    again = f"`bailiwick data restore {short(found.id)}` shows it again"
    answer(f"Deleted snapshot {short(found.id)} of {found.dataset}; {again}.", found, as_json=json)


def restore(
    snapshot: Annotated[str, typer.Argument(help="The id or digest of a deleted snapshot, or how one ends.")],
    json: JsonOption = False,
) -> None:
    """Show a deleted snapshot again."""
    with open_session() as (platform, actor):
        known = platform.data.find(actor.workspace, snapshot, deleted=True)
        found = platform.data.restore_snapshot(actor, known.id)
    answer(f"Snapshot {short(found.id)} of {found.dataset} is there again.", found, as_json=json)


def split(
    snapshot: SnapshotArgument,
    name: Annotated[str, typer.Argument(help="What to call the split.")],
    by: Annotated[str, typer.Option(help="random, hash, group or time.")] = "random",
    column: Annotated[str, typer.Option(help="The key, the group or the event time.")] = "",
    part: Annotated[list[str] | None, typer.Option(help="NAME=SHARE; repeat for each, oldest first by time.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws another split.")] = 0,
    json: JsonOption = False,
) -> None:
    """Divide a snapshot into parts, and record how."""
    from bailiwick.core.errors import InvalidInput
    from bailiwick.data.splits import Split

    try:
        pairs = [each.rpartition("=") for each in part or ["train=0.8", "test=0.2"]]
        shares = tuple((key, float(share)) for key, _, share in pairs)
    except ValueError as error:
        raise InvalidInput(f"--part is NAME=SHARE: {error}.", hint="E.g. --part train=0.8 --part test=0.2") from error
    made = Split(by, shares, column, seed)  # type: ignore[arg-type]
    with open_session() as (platform, actor):
        found = platform.data.split_snapshot(actor, platform.data.find(actor.workspace, snapshot).id, name, made)
        counts = {
            key: sum(
                len(batch) for batch in platform.data.part_batches(actor.workspace, found.id, name, key, _first(found))
            )
            for key, _ in shares
        }
    shown = ", ".join(f"{count:,} {key}" for key, count in counts.items())
    answer(
        f"Split {name} of snapshot {short(found.id)}: {shown}.", {"split": made.to_json(), "rows": counts}, as_json=json
    )


OF_SNAPSHOTS = (snapshots, show, read, name, unname, tag, diff, export, split, delete, restore)


def _first(snapshot: Snapshot) -> list[str]:
    return [snapshot.columns[0][0]]


def _types(given: list[str]) -> dict[str, str]:
    from bailiwick.core.errors import InvalidInput

    pairs = [each.rpartition("=") for each in given]
    for column, equals, kind in pairs:
        if not (column and equals and kind):
            raise InvalidInput(f"--type is COLUMN=TYPE, not {column}{equals}{kind}.")
    return {column: kind for column, _, kind in pairs}


def _change(key: str, before: float | None, after: float | None) -> str:
    shown = ["–" if value is None else _number(value) for value in (before, after)]
    return f"{key} {shown[0]}" if shown[0] == shown[1] else f"{key} {shown[0]} → {shown[1]}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.5g}"


def _value(value: object) -> object:
    """What a table has room for: numbers as they are, the rest as text."""
    return value if value is None or isinstance(value, float) else str(value)
