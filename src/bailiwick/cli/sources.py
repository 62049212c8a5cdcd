"""How commands are told where data is."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from bailiwick.core.errors import InvalidInput

SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A path or glob, an s3://, gs://, az:// or https:// URL, a Delta table, or a database's URL with ?query=SELECT …"
    ),
]

SnapshotArgument = Annotated[
    str, typer.Argument(help="Its id or digest, or part of one; DATASET@NAME, DATASET@latest or DATASET@TIME.")
]


class OneSource(TyperCommand):
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
