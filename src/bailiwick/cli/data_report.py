"""`bailiwick data report`: what data looks like, as one file that can be sent to anybody."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.files import is_output, write_text
from bailiwick.cli.output import JsonOption, answer, busy, short
from bailiwick.cli.session import open_session
from bailiwick.cli.sources import ReadOption, source_of

if TYPE_CHECKING:
    from bailiwick.data.distributions.slices import Dataset

_SNAPSHOT = re.compile(r"[a-z0-9][\w.\-]*@[^/?]+|[0-9a-f]{8,64}")
"""How snapshots are named where a path may stand as well; a file of that name comes first."""


def report(
    source: Annotated[
        str, typer.Argument(help="A source, a file of statistics, or a snapshot: DATASET@latest, or its id.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file of HTML to write.")],
    against: Annotated[str, typer.Option(help="What to compare with: likewise.")] = "",
    schema: Annotated[Path | None, typer.Option(help="A schema.pbtxt: anomalies stand beside their columns.")] = None,
    environment: Annotated[str, typer.Option(help="Schema environment, e.g. serving.")] = "",
    by: Annotated[str, typer.Option(help="Column to slice by: each of its values has a part of its own.")] = "",
    alpha: Annotated[float, typer.Option(help="Largest false-alarm rate of the whole comparison.")] = 0.01,
    margin: Annotated[float, typer.Option(help="Smallest shift that matters, as a distance from 0 to 1.")] = 0.05,
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Draw each column, beside another dataset where one is given, in one file that needs no network."""
    from bailiwick.data.distributions.listing import count_moved
    from bailiwick.data.distributions.slices import Judgement, slices_of
    from bailiwick.data.schema import read_schema
    from bailiwick.server.ui.data_report import Looked, data_report

    judgement = Judgement(read_schema(schema) if schema else None, environment, alpha, margin)
    with busy(f"Reading {source}"), ExitStack() as stack:
        current, baseline = _dataset(source, stack, read), _dataset(against, stack, read) if against else None
        slices = slices_of(current, baseline, by=by, judgement=judgement)
        sources = (baseline.name, current.name) if baseline else (current.name,)
        judged = _judged(current, baseline, alpha, margin) if baseline else ""
        write_text(out, data_report(Looked(_names(sources), sources, slices, judged, str(schema or ""))))
    whole = slices[0]
    moved = f", {count_moved(whole.columns):,} moved" if baseline else ""
    told = {
        "file": str(out),
        "rows": whole.rows,
        "columns": len(whole.columns),
        "moved": [column.name for column in whole.columns if column.moved] if baseline else [],
        "anomalies": [anomaly for column in whole.columns for anomaly in column.anomalies],
        "slices": [each.name for each in slices[1:]],
    }
    if not is_output(out):
        answer(f"Wrote {out}: {len(whole.columns):,} columns{moved}.", told, as_json=json)


def _dataset(source: str, stack: ExitStack, read: list[str] | None) -> Dataset:
    """The rows of a source or a snapshot; or statistics alone, where those are what the file holds."""
    from bailiwick.data.distributions.slices import Dataset
    from bailiwick.data.sources import without_password
    from bailiwick.data.statistics.files import is_statistics, read_statistics

    if is_statistics(Path(source)):
        return Dataset(source, statistics=read_statistics(Path(source)))
    if _SNAPSHOT.fullmatch(source) and not Path(source).exists():
        platform, actor = stack.enter_context(open_session())
        found = platform.data.find(actor.workspace, source)
        return Dataset(f"{found.dataset} {short(found.id)}", rows=platform.data.rows(actor.workspace, found.id))
    return Dataset(without_password(source), rows=source_of(source, read))


def _names(sources: tuple[str, ...]) -> tuple[str, ...]:
    """What tells the sources apart: the ends of their paths."""
    steps = [source.rstrip("/").split("/") for source in sources]
    longest = max(map(len, steps))
    kept = next(
        (size for size in range(1, longest) if len({*("/".join(each[-size:]) for each in steps)}) == len(steps)),
        longest,
    )
    return tuple("/".join(each[-kept:]) for each in steps)


def _judged(current: Dataset, baseline: Dataset, alpha: float, margin: float) -> str:
    by = "the rows of both"
    if current.rows is None or baseline.rows is None:
        by = "statistics, which tell less than rows do: what drifted a little may go unseen"
    return (
        f"Drifted is what surely moved by more than {margin:g} of the rows; where nothing did, the chance that any column is"
        f" called so is at most {alpha:g}. Judged by {by}."
    )
