"""What `bailiwick models optimise` prints: the forms as a table, the settings as a picture, and as a file of HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bailiwick.cli.files import write_text
from bailiwick.cli.output import print_table, say
from bailiwick.cli.sparklines import shows

if TYPE_CHECKING:
    from bailiwick.lifecycle.optimising.measuring import Setting
    from bailiwick.lifecycle.optimising.story import Measured, Optimised

WIDE, HIGH = 56, 12
BEST, OTHER, CHOSEN = "●", "·", "◆"


def print_optimised(found: Optimised, p99_ms: float | None) -> None:
    """Forms, settings, and what meets the objective."""
    name = f"{found.version.model} version {found.version.number}, judged on {found.rows:,} rows"
    columns = ["form", "bytes", "p50 us", "p99 us", "rows/s", "log loss", "AUC", "problem"]
    print_table(name, columns, [_row(each) for each in found.forms], empty="Nothing was measured.")
    say("")
    say(f"Settings of: {found.swept}. Up is more rows a second, left is a shorter p99; both scales are logarithmic.")
    for line in picture(found.settings, found.setting):
        say(line)
    for each in sorted((each for each in found.settings if each.best), key=lambda each: each.p99_ms):
        say(
            f"  {each.callers} callers, {each.batch} rows a call: p99 {each.p99_ms:.3g} ms, {each.rows_per_second:,.0f} rows/s"
        )
    if p99_ms is None:
        return
    if found.setting is None:
        say(f"No setting keeps 99 of 100 calls within {p99_ms:g} ms here.")
        return
    best = found.setting
    say(
        f"Within {p99_ms:g} ms most rows a second have {best.callers} workers (BAILIWICK_SERVE_WORKERS={best.callers}) asked for "
        f"{best.batch} rows a call: p99 {best.p99_ms:.3g} ms, {best.rows_per_second:,.0f} rows/s. The version keeps it as a tag."
    )


def picture(settings: Sequence[Setting], chosen: Setting | None = None) -> list[str]:
    """Settings as dots on a grid, those that no other beats filled."""
    if not settings:
        return []
    marks = (BEST, OTHER, CHOSEN) if shows(BEST + OTHER + CHOSEN) else ("O", ".", "X")
    across = [math.log(each.p99_ms) for each in settings]
    up = [math.log(each.rows_per_second) for each in settings]
    grid = [[" "] * WIDE for _ in range(HIGH)]
    for each, x, y in sorted(zip(settings, across, up, strict=True), key=lambda item: item[0].best):
        place = _place(x, across, WIDE), HIGH - 1 - _place(y, up, HIGH)
        mark = marks[0] if each.best else marks[1]
        same = chosen is not None and (each.callers, each.batch) == (chosen.callers, chosen.batch)
        grid[place[1]][place[0]] = marks[2] if same else mark
    most, least = max(each.rows_per_second for each in settings), min(each.rows_per_second for each in settings)
    sides = [f"{most:>12,.0f} ", *[" " * 13] * (HIGH - 2), f"{least:>12,.0f} "]
    low, high = min(each.p99_ms for each in settings), max(each.p99_ms for each in settings)
    lines = [f"{side}|{''.join(row)}".rstrip() for side, row in zip(sides, grid, strict=True)]
    return [
        *lines,
        " " * 13 + "+" + "-" * WIDE,
        f"{' ' * 14}{low:.3g} ms{f'{high:.3g} ms':>{WIDE - len(f'{low:.3g} ms')}}",
    ]


def write_report(path: Path, found: Optimised, p99_ms: float | None) -> None:
    """One file of HTML that needs nothing else."""
    from bailiwick.server.ui.optimising_report import optimising_report

    write_text(path, optimising_report(found, p99_ms))


def _place(value: float, values: Sequence[float], size: int) -> int:
    low, high = min(values), max(values)
    return 0 if high == low else round((value - low) / (high - low) * (size - 1))


def _row(each: Measured) -> tuple[object, ...]:
    if not each.size_bytes:
        return (each.name, "", "", "", "", "", "", each.problem)
    fastest = max(each.speed.rows_per_second.values())
    return (
        each.name,
        f"{each.size_bytes:,}",
        f"{each.speed.p50_us:.0f}",
        f"{each.speed.p99_us:.0f}",
        f"{fastest:,.0f}",
        each.metrics.get("log_loss"),
        each.metrics.get("roc_auc"),
        each.problem,
    )
