"""`bailiwick data schema`: infer, look at what changed, propose what data needs, mark personal data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.engines import EngineOption, only_here, statistics_on
from bailiwick.cli.files import write_text
from bailiwick.cli.output import JsonOption, busy, print_json, print_table, say
from bailiwick.cli.sources import OneSource, ReadOption, SourceArgument, source_of

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(help="The schema: infer, update, compare, mark personal data.", no_args_is_help=True)

SchemaArgument = Annotated[Path, typer.Argument(help="A schema.pbtxt.")]


@app.command(cls=OneSource)
def infer(
    source: SourceArgument,
    out: Annotated[Path | None, typer.Option(help="schema.pbtxt to write; otherwise standard output.")] = None,
    ranges: Annotated[bool, typer.Option(help="Allow numbers only from the least to the largest seen.")] = False,
    engine: EngineOption = "",
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Infer a schema. A person reviews it; then it is kept in git. With --json it is printed in protobuf's JSON form."""
    from google.protobuf.json_format import MessageToDict

    from bailiwick.data.schema import infer_schema, schema_text
    from bailiwick.data.schema.inference import Inference

    with busy(f"Reading {source}"):
        inferred = infer_schema(statistics_of(source, engine, read=read), Inference(ranges=ranges))
    if out is not None:
        write_text(out, schema_text(inferred))
    if json:
        print_json(MessageToDict(inferred, preserving_proto_field_name=True))
    elif out is not None:
        say(f"Wrote {out}: review it, then keep it in git.")
    else:
        say(schema_text(inferred).rstrip("\n"))


@app.command(cls=OneSource)
def update(
    source: SourceArgument,
    schema: Annotated[Path, typer.Option(help="The reviewed schema.pbtxt.")],
    environment: Annotated[str, typer.Option(help="Schema environment of the data, e.g. serving.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write the proposal; may be the schema itself.")] = None,
    engine: EngineOption = "",
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Propose the smallest change of the schema that the data satisfies. Writes nothing without --out."""
    from bailiwick.data.schema import read_schema, schema_text
    from bailiwick.data.schema.difference import differences
    from bailiwick.data.validation import relax

    reviewed = read_schema(schema)
    with busy(f"Reading {source}"):
        proposed = relax(reviewed, statistics_of(source, engine, schema=reviewed, read=read), environment)
    changes = differences(reviewed, proposed)
    if out is not None:
        write_text(out, schema_text(proposed))
    _show(changes, "Proposed changes", "The data fits the schema as it is.", as_json=json)
    if out is not None and not json:
        say(f"Wrote {out}: review it, then keep it in git.")


@app.command()
def diff(before: SchemaArgument, after: SchemaArgument, json: JsonOption = False) -> None:
    """What is different between two schemas. Exit 1 when something is."""
    from bailiwick.data.schema import read_schema
    from bailiwick.data.schema.difference import differences

    changes = differences(read_schema(before), read_schema(after))
    _show(changes, "Changes", "The schemas say the same.", as_json=json)
    if changes:
        sys.exit(1)


@app.command()
def personal(
    schema: SchemaArgument,
    column: Annotated[list[str] | None, typer.Argument(help="Columns to mark; without any, list those marked.")] = None,
    kind: Annotated[str, typer.Option(help="What it tells of a person, e.g. email.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take the mark away.")] = False,
    json: JsonOption = False,
) -> None:
    """List the columns with personal data, or mark some. Marks are kept in the schema, as tags of its annotations."""
    from bailiwick.data.schema import read_schema, schema_text
    from bailiwick.data.schema.personal import mark_personal, personal_columns

    reviewed = read_schema(schema)
    for name in column or []:
        mark_personal(reviewed, name, kind=kind, holds=not remove)
    if column:
        write_text(schema, schema_text(reviewed))
    found = personal_columns(reviewed)
    if json:
        print_json(found)
    else:
        rows = [(name, ", ".join(kinds)) for name, kinds in found.items()]
        print_table("Personal data", ["column", "kind"], rows, empty="No column is marked as personal data.")


def _show(changes: list[Any], title: str, empty: str, *, as_json: bool) -> None:
    if as_json:
        print_json(changes)
        return
    rows = [(change.where, change.field, change.before, change.after) for change in changes]
    print_table(title, ["where", "field", "before", "after"], rows, empty=empty)


def statistics_of(
    source: str,
    engine: str = "",
    *,
    schema: Any = None,
    types: dict[str, str] | None = None,
    distinct: bool = False,
    read: list[str] | None = None,
) -> Any:
    """Statistics of a source, or those in the file where it is one of statistics (`.pb`, `.pbtxt`, `.tfrecord`).

    `engine`: the URL of one that computes them where the source is. With those of the sparse and weighted features of
    `schema`, for which the rows are read once more. `types` is given the Arrow type of each column that was read here.
    `distinct`: with how many numbers are different.
    """
    from bailiwick.data.statistics.files import is_statistics, read_statistics
    from bailiwick.data.statistics.streaming import source_statistics

    if is_statistics(Path(source)):
        return read_statistics(Path(source))
    only_here(engine, read=read)
    if engine:
        return statistics_on(engine, source)
    opened = source_of(source, read)
    if types is not None:
        types |= types_of(opened.schema)
    found = source_statistics(opened, source, distinct=distinct)
    if schema is not None and (schema.sparse_feature or schema.weighted_feature):
        from bailiwick.data.arrow_types import storable
        from bailiwick.data.statistics.composites import Composites
        from bailiwick.data.statistics.streaming import grouped

        composites = Composites(schema)
        for rows in grouped(opened):
            composites.add(storable(rows))
        composites.tell(found.datasets[0])
    return found


def types_of(schema: pa.Schema) -> dict[str, str]:
    """Arrow's type of each column."""
    from bailiwick.data.arrow_types import type_name

    return {field.name: type_name(field.type) for field in schema}
