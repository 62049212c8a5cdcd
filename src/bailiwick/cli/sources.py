"""How commands are told where data is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.former_names import FormerNames
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.data.sources import Source, SourceOptions

SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A path or glob, an s3://, gs://, az:// or https:// URL, a Delta table, or a database's URL with ?query=SELECT …"
    ),
]

SnapshotArgument = Annotated[
    str, typer.Argument(help="Its id or digest, or part of one; DATASET@NAME, DATASET@latest or DATASET@TIME.")
]


ReadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        metavar="KEY=VALUE",
        help="How files are read, as `data.read` of a project says it: delimiter=';', encoding=latin-1, type.zip=text …; "
        "repeat for more.",
    ),
]


def source_of(source: str, read: Sequence[str] | None = None) -> Source:
    """A source below the current folder. Raises InvalidInput, Unavailable."""
    from bailiwick.data.sources import open_source

    return open_source(source, Path.cwd(), options=reading(read or ()))


def reading(read: Sequence[str]) -> SourceOptions:
    """What `--read` says. Raises InvalidInput naming the key or value, and the choices."""
    import msgspec

    from bailiwick.data.sources import SourceOptions

    keys = [each.name for each in dataclasses.fields(SourceOptions) if each.name != "types"]
    said: dict[str, Any] = {}
    for each in read:
        key, equals, value = each.partition("=")
        column = key.removeprefix("type.") if key.startswith("type.") else ""
        if not equals or (key not in keys and not column):
            raise InvalidInput.choice("--read", key, [*keys, "type.COLUMN"])
        if column:
            said.setdefault("types", {})[column] = value
        else:
            said[key] = value.split(",") if key in {"names", "nulls"} else value
    try:
        return msgspec.convert(said, SourceOptions, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"--read cannot be used: {error}.") from error


class OneSource(FormerNames):
    """A command that reads one source. A glob without quotes arrives as the files that the shell found; that is told."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of any command. Raises InvalidInput where words are left over."""
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if ctx.args:
            raise InvalidInput(
                f"{1 + len(ctx.args)} sources are named, {ctx.args[-1]!r} last, and one is read.",
                hint="Put a glob in quotes, as in 'data/*.parquet': its files are read as one source.",
            )
        return left
