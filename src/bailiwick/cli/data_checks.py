"""`bailiwick data check`: what a dataset must be as a whole, and the rows to blame where it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, busy, print_json, print_table
from bailiwick.cli.session import open_session
from bailiwick.cli.sources import ReadOption, reading

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.data.checks import Check, CheckResult
    from bailiwick.data.checks.model import Held, Others
    from bailiwick.data.model import Snapshot
    from bailiwick.data.service import DataService
    from bailiwick.data.validation.sql import SqlCheck

RowsArgument = Annotated[
    str, typer.Argument(help="A source (path, glob, URL), or a snapshot: its id, DATASET@NAME or DATASET@latest.")
]
UniqueOption = Annotated[
    list[str] | None, typer.Option("--unique", help="COLUMN[,COLUMN] that name a row; repeat for more keys.")
]
DuplicatesOption = Annotated[
    list[str] | None, typer.Option("--duplicates", help="No row repeats another: in COLUMN[,COLUMN], or in '*', all.")
]
ReferencesOption = Annotated[
    list[str] | None, typer.Option("--references", help="COLUMN=SOURCE:COLUMN: its values must be there; repeat.")
]
OrderOption = Annotated[
    list[str] | None, typer.Option("--order", help="COLUMN[/WITHIN] that never falls from row to row; repeat.")
]
FreshOption = Annotated[
    list[str] | None, typer.Option("--fresh", help="COLUMN=AGE: its newest time is at most so old, e.g. time=2d.")
]
ConditionOption = Annotated[
    list[str] | None, typer.Option("--check", help="SQL that is true of each row; repeat for more.")
]
ProjectOption = Annotated[Path | None, typer.Option("--project", help="Project file whose data.checks to take too.")]


def check(
    rows: RowsArgument,
    unique: UniqueOption = None,
    duplicates: DuplicatesOption = None,
    references: ReferencesOption = None,
    order: OrderOption = None,
    fresh: FreshOption = None,
    conditions: ConditionOption = None,
    volume: Annotated[str, typer.Option("--rows", help="LEAST..MOST rows; either may be left out.")] = "",
    source_age: Annotated[str, typer.Option(help="The newest file was written at most so long ago, e.g. 1d.")] = "",
    project: ProjectOption = None,
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Check volume, freshness, duplicates, keys, references, order. Exit 1 when a check of severity error fails."""
    asked = asked_checks(
        unique=unique,
        duplicates=duplicates,
        references=references,
        order=order,
        fresh=fresh,
        conditions=conditions,
        volume=volume,
        source_age=source_age,
        project=project,
    )
    found = run(rows, asked, project, limit=0, read=read)
    if json:
        print_json([_told(one) for one in found])
    else:
        lines = [
            (
                "passed" if one.passed else one.check.severity.lower(),
                one.check.name,
                " ".join(filter(None, (one.message, one.fix))),
            )
            for one in found
        ]
        print_table(f"Checks of {rows}", ["verdict", "check", "what"], lines, empty=NOTHING, below="what")
    if any(not one.passed and one.check.severity == "ERROR" for one in found):
        sys.exit(1)


NOTHING = "Nothing was asked: name a check, or a project file with data.checks."


def asked_checks(
    *,
    unique: list[str] | None,
    duplicates: list[str] | None,
    references: list[str] | None,
    order: list[str] | None,
    fresh: list[str] | None = None,
    conditions: list[str] | None = None,
    volume: str = "",
    source_age: str = "",
    project: Path | None = None,
) -> list[Check]:
    """Those of the options, then those of the project file. Raises InvalidInput."""
    from bailiwick.lifecycle.checking import declared_checks, parse_checks
    from bailiwick.pipelines.notation import parse_duration
    from bailiwick.pipelines.project import load_project

    found = parse_checks(
        unique=unique or [],
        duplicates=duplicates or [],
        references=references or [],
        fresh=fresh or [],
        rows=volume,
        source_age=source_age,
        order=order or [],
        conditions=conditions or [],
        duration=parse_duration,
    )
    return found + (declared_checks(load_project(project)) if project is not None else [])


def run(
    rows: str, checks: list[Check], project: Path | None, *, limit: int, read: list[str] | None = None
) -> list[CheckResult]:
    """Run checks over a source or a snapshot; `limit` offending rows of each are wanted, whole."""
    from bailiwick.data.checks import run_checks
    from bailiwick.pipelines.project import load_project

    base = Path.cwd() if project is None else load_project(project).folder
    with opened(rows, base, read) as (held, others), busy(f"Reading {rows}"):
        return run_checks(held, checks, others=others, limit=limit, whole_rows=limit > 0)


@contextmanager
def opened(word: str, base: Path, read: list[str] | None = None) -> Iterator[tuple[Held, Others]]:
    """What a word names, and how references are followed. A home is opened only where a snapshot is meant."""
    from bailiwick.core.clock import system_clock
    from bailiwick.lifecycle.checking import held_snapshot, held_source, names_snapshot, other_sources

    with ExitStack() as stack:

        def find(name: str) -> tuple[DataService, Snapshot]:
            platform, actor = stack.enter_context(open_session())
            return platform.data, platform.data.find(actor.workspace, name)

        if names_snapshot(word, Path.cwd()):
            data, snapshot = find(word)
            held = held_snapshot(data, snapshot)
        else:
            held = held_source(word, Path.cwd(), now=system_clock(), options=reading(read or []))
        yield held, other_sources(base, find)


def is_snapshot(word: str) -> bool:
    """Whether a word is meant as a snapshot, not as a source."""
    from bailiwick.lifecycle.checking import names_snapshot

    return names_snapshot(word, Path.cwd())


def columns_of_snapshot(word: str) -> pa.Schema:
    """The columns of a snapshot with their types."""
    with opened(word, Path.cwd()) as (held, _):
        return held.read(list(held.columns)).schema


def of_snapshot(word: str, checks: list[SqlCheck]) -> list[Check]:
    """Checks in SQL as checks of the whole, where a word is meant as a snapshot; none where it is a source."""
    from bailiwick.data.checks import Condition

    if not is_snapshot(word):
        return []
    return [Condition(expression=each.expression, title=each.name, severity=each.severity) for each in checks]


def list_offending(
    rows: str, checks: list[Check], project: Path | None, *, limit: int, read: list[str] | None = None
) -> list[dict[str, object]]:
    """The rows that each failed check blames, in the form that `data offending` prints."""
    return [
        {
            "check": one.check.name,
            "count": one.count,
            "rows": [{"row": place + 1, **values} for place, values in zip(one.places, one.rows, strict=True)],
        }
        for one in run(rows, checks, project, limit=limit, read=read)
        if not one.passed and one.count
    ]


def _told(one: CheckResult) -> dict[str, object]:
    return {
        "check": one.check.name,
        "kind": one.check.kind,
        "severity": one.check.severity,
        "passed": one.passed,
        "message": one.message,
        "fix": one.fix,
        "count": one.count,
        "measured": dict(one.measured),
    }
