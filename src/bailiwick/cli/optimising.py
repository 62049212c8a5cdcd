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
    from bailiwick.lifecycle.optimising.model import Measured, Report, Setting

WIDE, HIGH = 56, 12
BEST, OTHER, CHOSEN = "●", "·", "◆"
SHOWN_METRICS = 2


def print_optimised(report: Report) -> None:
    """Forms, settings, and what keeps the objective."""
    name = f"{report.model} version {report.version}, judged on {report.rows:,} rows"
    metrics = report.metrics[:SHOWN_METRICS]
    columns = ["form", "bytes", "p50 us", "p99 us", "time", "rows/s", *metrics, "offered"]
    rows = [_row(each, metrics) for each in report.forms if each.size_bytes]
    print_table(name, columns, rows, empty="Nothing was measured.")
    for form in report.forms:
        if form.problem:
            say(f"{form.name}: {form.problem}")
    say(
        f"`time` is that of one row over the version's. A form may have a loss behind {report.metric} that is less than"
        f" {report.margin:.4g} above the version's."
    )
    say("")
    say(f"Settings of: {report.swept}. Up: rows a second; across: 99th percentile of a call; both in logarithms.")
    for line in picture(report.settings, report.setting):
        say(line)
    for each in sorted((each for each in report.settings if each.best), key=lambda each: each.p99_ms):
        say(f"  {_words(each)}: p99 {each.p99_ms:.3g} ms, {each.rows_per_second:,.0f} rows/s")
    if report.p99_ms is not None:
        _print_objective(report, report.p99_ms)


def _print_objective(report: Report, p99_ms: float) -> None:
    for each in report.kept:
        say(
            f"{_words(each.setting)}: {each.beyond:,} of {each.calls:,} fresh calls took longer than {p99_ms:g} ms; that fewer"
            f" than 1 in 100 do is {'shown' if each.shown else 'not shown'} (p = {each.p_value:.2g})."
        )
    best = report.setting
    if best is None:
        say(f"No setting is shown to keep 99 of 100 calls within {p99_ms:g} ms here.")
        return
    number = report.registered or report.version
    say(
        f"{report.model} version {number} is served with it from now on: {best.threads} threads a run, runs of at most {best.batch}"
        f" rows. It was best with {best.workers} workers (BAILIWICK_SERVE_WORKERS={best.workers})."
    )


def picture(settings: Sequence[Setting], chosen: Setting | None = None) -> list[str]:
    """Settings as dots on a grid, those that no other beats filled."""
    if not settings:
        return []
    marks = (BEST, OTHER, CHOSEN) if shows(BEST + OTHER + CHOSEN) else ("O", ".", "X")
    across = [math.log(each.p99_ms) for each in settings]
    up = [math.log(each.rows_per_second) for each in settings]
    grid = [[" "] * WIDE for _ in range(HIGH)]
    order = sorted(zip(settings, across, up, strict=True), key=lambda item: (item[0] == chosen, item[0].best))
    for each, x, y in order:
        place = _place(x, across, WIDE), HIGH - 1 - _place(y, up, HIGH)
        grid[place[1]][place[0]] = marks[2] if each == chosen else marks[0] if each.best else marks[1]
    most, least = max(each.rows_per_second for each in settings), min(each.rows_per_second for each in settings)
    sides = [f"{most:>12,.0f} ", *[" " * 13] * (HIGH - 2), f"{least:>12,.0f} "]
    low, high = min(each.p99_ms for each in settings), max(each.p99_ms for each in settings)
    lines = [f"{side}|{''.join(row)}".rstrip() for side, row in zip(sides, grid, strict=True)]
    return [
        f"{'rows/s':>12}",
        *lines,
        " " * 13 + "+" + "-" * WIDE,
        f"{' ' * 14}{low:.3g} ms{f'{high:.3g} ms':>{WIDE - len(f'{low:.3g} ms')}}",
    ]


def write_report(path: Path, report: Report) -> None:
    """One file of HTML that needs nothing else."""
    from bailiwick.server.ui.optimising_report import optimising_report

    write_text(path, optimising_report(report))


def _words(setting: Setting) -> str:
    return f"{setting.workers} workers of {setting.threads} threads, {setting.batch} rows a call"


def _place(value: float, values: Sequence[float], size: int) -> int:
    low, high = min(values), max(values)
    return 0 if high == low else round((value - low) / (high - low) * (size - 1))


def _row(each: Measured, metrics: Sequence[str]) -> tuple[object, ...]:
    fastest = max(each.speed.rows_per_second.values())
    speed = each.speed
    return (
        each.name,
        f"{each.size_bytes:,}",
        f"{speed.p50_us:.0f}",
        f"{speed.p99_us:.0f}",
        f"{speed.ratio:.2f} ({speed.ratio_low:.2f}-{speed.ratio_high:.2f})"
        if speed.ratio_low != speed.ratio_high
        else "1",
        f"{fastest:,.0f}",
        *(each.metrics.get(name) for name in metrics),
        "no" if each.problem else "yes",
    )
