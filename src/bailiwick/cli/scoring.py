"""`bailiwick score`: answers for every row of a source, from all cores, into files or a table."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bailiwick.cli.engines import only_here
from bailiwick.cli.output import JsonOption, print_fields, print_json
from bailiwick.cli.progress import CountProgress
from bailiwick.cli.session import open_session
from bailiwick.cli.sources import OneSource, ReadOption, SourceArgument, source_of
from bailiwick.core.errors import InvalidInput

SPARK = "spark"
_PARTS_MOST = 10_000_000


def add_to(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command(cls=OneSource)(score)


def score(
    data: SourceArgument,
    model: Annotated[str, typer.Option(help="MODEL, MODEL@ALIAS or MODEL@VERSION.")],
    out: Annotated[str, typer.Option(help="Folder, or s3://, gs:// or az:// URL, of files or of a Delta table.")],
    format_: Annotated[str, typer.Option("--format", help="parquet, csv, jsonl or delta.")] = "parquet",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column of the data to keep, such as an id; again for more. All by default."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Threads; 0 is one a core.")] = 0,
    part_rows: Annotated[int, typer.Option(help="Rows a part, which is what a stopped run repeats at most.")] = 131_072,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew what an earlier run left there.")] = False,
    params: Annotated[str, typer.Option(help="What a logged model is given beside the rows, as a JSON object.")] = "",
    engine: Annotated[str, typer.Option(help="spark, or a Spark address: score on its executors.")] = "",
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Answer every row of files or a table. Run again after any end, it finishes without double or missing rows."""
    from bailiwick.lifecycle.batch.story import check_may_score, find_version, score_source

    if not 1 <= part_rows <= _PARTS_MOST:
        raise InvalidInput(f"--part-rows is {part_rows}; it may be 1 to {_PARTS_MOST:,}.")
    if workers < 0:
        raise InvalidInput(f"--workers is {workers}; it may be 0 or more.")
    given = _object(params, engine)
    only_here(engine, read=read)
    with open_session() as (platform, actor):
        check_may_score(actor)
        version = find_version(platform, actor.workspace, model)
        if engine:
            scored: Any = _on_spark(platform, actor, data, version, out, engine, format_, keep)
        else:
            source = source_of(data, read)
            with CountProgress(quiet=json) as progress:
                scored = score_source(
                    platform,
                    actor,
                    source,
                    version,
                    out,
                    format=format_,
                    keep=keep or None,
                    workers=workers,
                    overwrite=overwrite,
                    rows_a_part=part_rows,
                    params=given,
                    told=lambda rows, before: progress.update("rows", rows, 0, f"{before:,} before" if before else ""),
                )
    if json:
        print_json(scored)
        return
    title = f"{scored.rows:,} rows scored by {scored.model} version {scored.version}"
    told = {"into": scored.out, "format": scored.format, "parts": scored.parts, "run": scored.run}
    told["of them before"] = f"{scored.before:,}" if scored.before else ""
    rate = (
        f", {scored.rows_per_second:,.0f} rows a second" if scored.rows > scored.before else ": all was there already"
    )
    told["took"] = f"{scored.seconds:.1f} s{rate}"
    print_fields(title, told)


def _object(params: str, engine: str) -> dict[str, Any] | None:
    from msgspec import DecodeError, json

    if not params:
        return None
    if engine:
        raise InvalidInput("--params are for models that stay Python, which executors do not run.")
    try:
        return json.decode(params, type=dict[str, Any])
    except DecodeError as error:
        raise InvalidInput(f"--params {params[:100]!r} is no JSON object: {error}.") from error


def _on_spark(
    platform: Any, actor: Any, data: str, version: Any, out: str, engine: str, format_: str, keep: list[str] | None
) -> Any:
    from bailiwick.adapters.spark.scoring import score_on_spark

    address = "local[*]" if engine == SPARK else engine
    return score_on_spark(platform, actor, data, version, out, address=address, format=format_, keep=keep or None)
