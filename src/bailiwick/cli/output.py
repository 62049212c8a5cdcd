"""Printing: tables and details for people, JSON for machines; one function each, so that all commands look alike."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, TextIO

import typer

from bailiwick.cli import layout

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
SHORT = 8
_ID = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{64})\b")


def say(text: str, *, err: bool = False) -> None:
    """One line, or several, to standard output or error. A reader that has gone away (`| head`) is not an error.

    What the stream's encoding lacks is spelt out, as in Python.
    """
    stream = sys.stderr if err else sys.stdout
    try:
        try:
            stream.write(text + "\n")
        except UnicodeEncodeError:
            known = stream.encoding or "ascii"
            stream.write(text.encode(known, "backslashreplace").decode(known) + "\n")
        stream.flush()
    except BrokenPipeError:
        close_quietly(stream)


def close_quietly(stream: TextIO) -> None:
    """Let whatever is still written to the stream, at the latest on the way out, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_json(value: object) -> None:
    """Any record (dataclass, msgspec Struct, mapping, list of them) as indented JSON; NaN and infinities become null."""
    from msgspec import json as codec  # imported here: an eighth of the time that --help takes

    plain = codec.decode(codec.encode(value, enc_hook=str))
    say(json.dumps(plain, indent=2, ensure_ascii=False))


def answer(sentence: str, record: object, *, as_json: bool) -> None:
    """What a verb did: a sentence for people, or the record as it is now."""
    if as_json:
        print_json(record)
    else:
        say(layout.plain(sentence))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str, below: str = ""
) -> None:
    """A table, or the sentence `empty` (which says what to do next) when there are no rows."""
    if not rows:
        say(layout.plain(empty))
        return
    head, *lines = layout.table(columns, rows, room=layout.width(), below=below)
    say("\n".join([_styled(layout.plain(title), bold=True), _styled(head, underline=True), *lines]))


def print_fields(title: str, fields: Mapping[str, object]) -> None:
    """A record as aligned `name  value` lines; what is empty is left out."""
    shown = {name: layout.cell(value) for name, value in fields.items() if value not in (None, "")}
    size = max(map(len, shown), default=0)
    lines = [f"  {name:<{size}}  {value}" for name, value in shown.items()]
    say("\n".join([_styled(layout.plain(title), bold=True), *lines]))


def when(milliseconds: int | None, *, seconds: bool = False) -> str:
    """A UTC time for people, to the minute or the second; empty for none."""
    if milliseconds is None:
        return ""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def short(identifier: str) -> str:
    """The end of an id or digest, which is enough for a command to find it by."""
    return identifier[-SHORT:]


def shortened(text: str) -> str:
    """The text with each id and digest in it cut to its end."""
    return _ID.sub(lambda found: short(found[0]), text)


def words(status: str) -> str:
    """`ROLLED_BACK` as `rolled back`."""
    return status.lower().replace("_", " ")


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Say on a terminal that something takes a while."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …"):
        yield


def _styled(text: str, *, bold: bool = False, underline: bool = False) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return typer.style(text, bold=bold, underline=underline)
