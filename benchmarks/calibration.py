"""False alarms of data comparison where nothing moved, and how soon a move is found: ours beside Evidently's defaults.

    python benchmarks/calibration.py [--no-peer] [--repeats 200] [--write]

A call compares every column of two tables. The promise is of a call: where no column moved by more than the margin, the
chance that any of them is called drifted is at most alpha. Evidently promises nothing and is counted by column. Both see
tables of the same distributions, which are seeded. Evidently lives in `.bench/evidently`, which the first run makes, for
it needs pandas before 3; where that fails its columns are left out. `--write` writes the page and its pictures. Exit 1
when a rate of ours is above its promise by more than chance.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench" / "evidently"
PAGE = ROOT / "docs" / "reference" / "calibration.md"
IMAGES = ROOT / "docs" / "images"
PEER = ("evidently==0.7.23", "pandas<3")
ALPHA, MARGIN, SEED = 0.05, 0.05, 20_261_125
SIZES = ((5000, 100), (5000, 200), (5000, 500), (5000, 1000), (5000, 5000), (1000, 1000))
WINDOWS = (50, 200, 1000, 5000)
COUNTS = (1, 20, 200)
POWER_WINDOWS = (200, 1000, 5000)
SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
MOVES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
PEER_COLUMNS = 20
AT_MARGIN = 0.125413  # the shift, in standard deviations, at which the Kolmogorov-Smirnov distance of normals is 0.05

Draw = Callable[[Any, int], Any]
Columns = dict[str, Any]


# -- what is drawn ------------------------------------------------------------------------------------------------------

VALUES = np.array([f"value {number}" for number in range(5000)])
ZIPF = 1 / np.arange(1, 51)
ZIPF /= ZIPF.sum()


def zipf(rng: Any, n: int, moved: float = 0.0) -> Any:
    """Fifty values whose shares fall as 1/rank; `moved` of all rows have the second value instead of the first."""
    shares = ZIPF.copy()
    shares[:2] += (-moved, moved)
    return VALUES[rng.choice(50, n, p=shares)]


SHAPES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails (Cauchy)": lambda rng, n: rng.standard_cauchy(n),
    "counts with ties (Poisson 2)": lambda rng, n: rng.poisson(2, n),
    "nine tenths zero": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.exponential(size=n)),
    "a third missing": lambda rng, n: np.where(rng.random(n) < 1 / 3, np.nan, rng.normal(size=n)),
    "constant": lambda _, n: np.full(n, 7.0),
    "50 values (Zipf)": zipf,
    "rare values (1 in 500 each)": lambda rng, n: VALUES[np.where(rng.random(n) < 0.9, 0, rng.integers(1, 51, n))],
    "5,000 values": lambda rng, n: VALUES[rng.integers(0, 5000, n)],
    "a flag": lambda rng, n: rng.random(n) < 0.3,
}


def named(draw: Draw, rng: Any, n: int, columns: int, prefix: str = "c") -> Columns:
    return {f"{prefix}{index}": draw(rng, n) for index in range(columns)}


def mixed(rng: Any, n: int) -> Columns:
    return {**named(SHAPES["normal"], rng, n, 20, "n"), **named(zipf, rng, n, 10)}


def of_shape(name: str) -> Callable[[Any, int], Columns]:
    return lambda rng, n: named(SHAPES[name], rng, n, PEER_COLUMNS)


def shifted(shift: float) -> Draw:
    return lambda rng, n: rng.normal(shift, 1, n)


def moved(share: float) -> Draw:
    return lambda rng, n: zipf(rng, n, share)


# -- ours ---------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rate:
    """Of so many calls (or columns), in how many there was an alarm."""

    alarms: int = 0
    of: int = 0

    def add(self, alarm: Any, of: int = 1) -> None:
        """Count one more."""
        self.alarms, self.of = self.alarms + int(alarm), self.of + of

    @property
    def share(self) -> float:
        """The rate that was seen."""
        return self.alarms / self.of if self.of else 0.0

    @property
    def limit(self) -> float:
        """Clopper and Pearson's upper limit, one-sided at 95 %."""
        from scipy.stats import beta

        return 1.0 if self.alarms == self.of else float(beta.ppf(0.95, self.alarms + 1, self.of - self.alarms))

    @property
    def broken(self) -> bool:
        """Whether so many alarms would come of a rate of alpha once in a thousand times at most."""
        from scipy.stats import binom

        return bool(binom.sf(self.alarms - 1, self.of, ALPHA) < 0.001)

    def __str__(self) -> str:
        return f"{self.share:.1%} (≤ {self.limit:.1%})"


def verdicts(reference: Columns, current: Columns, *margins: float) -> Iterator[list[bool]]:
    """Which columns are called drifted, at each margin."""
    import pyarrow as pa

    from bailiwick.data.comparison import compare
    from bailiwick.data.profile import build_profile, count

    bins = build_profile(pa.table(reference))
    counted = count(bins, pa.table(current))
    for margin in margins or (MARGIN,):
        yield [drift.drifted for drift in compare(bins, counted, alpha=ALPHA, margin=margin)]


@dataclass(slots=True)
class Ours:
    """Rates of false alarms by call: of the mixed table, by shape, by number of columns, at the margin; and power."""

    mixed: dict[str, tuple[Rate, Rate]] = field(default_factory=dict)
    shapes: dict[str, list[tuple[Rate, Rate]]] = field(default_factory=dict)
    counts: dict[int, list[tuple[Rate, Rate]]] = field(default_factory=dict)
    edge: dict[str, list[Rate]] = field(default_factory=dict)
    numeric: dict[int, list[Rate]] = field(default_factory=dict)
    categorical: dict[int, list[Rate]] = field(default_factory=dict)

    @property
    def rates(self) -> Iterator[tuple[str, Rate]]:
        """Every rate that is promised to be at most alpha."""
        for name, pair in self.mixed.items():
            yield from ((f"mixed table, {name}", rate) for rate in pair)
        for name, pairs in [
            *self.shapes.items(),
            *((f"{columns} columns", two) for columns, two in self.counts.items()),
        ]:
            for window, pair in zip(WINDOWS, pairs, strict=True):
                yield from ((f"{name}, {window} rows", rate) for rate in pair)
        for name, rates in self.edge.items():
            yield from ((f"{name}, {window} rows", rate) for window, rate in zip(WINDOWS, rates, strict=True))


def no_drift(draw: Callable[[Any, int], Columns], sizes: Sequence[int], window: int, repeats: int) -> tuple[Rate, Rate]:
    """Alarms of calls at the margin, and at a margin of nothing, over fresh references and windows."""
    rng = np.random.default_rng([SEED, window, *sizes])
    rates = Rate(), Rate()
    for repeat in range(repeats):
        reference, current = draw(rng, sizes[repeat % len(sizes)]), draw(rng, window)
        for rate, drifted in zip(rates, verdicts(reference, current, MARGIN, 0.0), strict=True):
            rate.add(any(drifted))
    return rates


def measure_ours(repeats: int) -> Ours:
    found = Ours()
    for reference, window in SIZES:
        found.mixed[f"{reference}/{window}"] = no_drift(mixed, (reference,), window, repeats)
    few = repeats // 2
    for name in SHAPES:
        found.shapes[name] = [no_drift(of_shape(name), (500, 5000), window, few) for window in WINDOWS]
    for columns in COUNTS:
        both = half_numbers(columns)
        found.counts[columns] = [
            no_drift(both, (2000,), window, few if columns > 20 else repeats) for window in WINDOWS
        ]
    found.edge["20 numbers, each moved by just the margin"] = [
        at_margin(SHAPES["normal"], shifted(AT_MARGIN), window, few) for window in WINDOWS
    ]
    found.edge["20 columns of words, each moved by just the margin"] = [
        at_margin(zipf, moved(MARGIN), window, few) for window in WINDOWS
    ]
    for window in POWER_WINDOWS:
        found.numeric[window] = [power(SHAPES["normal"], shifted(shift), window, few // 2) for shift in SHIFTS]
        found.categorical[window] = [power(zipf, moved(share), window, few // 2) for share in MOVES]
    return found


def half_numbers(columns: int) -> Callable[[Any, int], Columns]:
    numbers = (columns + 1) // 2
    return lambda rng, n: {
        **named(SHAPES["normal"], rng, n, numbers, "n"),
        **named(zipf, rng, n, columns - numbers),
    }


def at_margin(before: Draw, after: Draw, window: int, repeats: int) -> Rate:
    rng, rate = np.random.default_rng([SEED, window, 1]), Rate()
    for _ in range(repeats):
        rate.add(any(next(verdicts(named(before, rng, 20_000, 20), named(after, rng, window, 20)))))
    return rate


def power(before: Draw, after: Draw, window: int, repeats: int) -> Rate:
    """How often the one column that moved, of twenty, is found."""
    rng, rate = np.random.default_rng([SEED, window, 2]), Rate()
    for _ in range(repeats):
        current = {"c0": after(rng, window), **{f"c{index}": before(rng, window) for index in range(1, 20)}}
        rate.add(next(verdicts(named(before, rng, 5000, 20), current))[0])
    return rate


# -- Evidently ----------------------------------------------------------------------------------------------------------


def peer_main() -> None:
    """Runs in Evidently's own environment; prints what `measure_peer` reads."""
    import warnings

    warnings.simplefilter("ignore")
    import evidently

    told: dict[str, Any] = {
        "version": evidently.__version__,
        "mixed": {},
        "shapes": {},
        "numeric": {},
        "categorical": {},
    }
    for reference, window in SIZES:
        rng = np.random.default_rng([SEED, window, reference])
        drifted = [_evidently(mixed(rng, reference), mixed(rng, window)) for _ in range(6)]
        told["mixed"][f"{reference}/{window}"] = [
            [sum(sum(one[name] for name in one if name[0] == kind) for one in drifted), 6 * columns]
            for kind, columns in (("n", 20), ("c", 10))
        ]
    for name, draw in SHAPES.items():
        told["shapes"][name] = [_peer_rate(draw, draw, window) for window in WINDOWS]
    for window in POWER_WINDOWS:
        normal = SHAPES["normal"]
        told["numeric"][window] = [_peer_rate(normal, shifted(shift), window) for shift in SHIFTS]
        told["categorical"][window] = [_peer_rate(zipf, moved(share), window) for share in MOVES]
    print(json.dumps(told))


def _peer_rate(before: Draw, after: Draw, window: int) -> list[int]:
    rng = np.random.default_rng([SEED, window, 3])
    try:
        drifted = _evidently(named(before, rng, 5000, PEER_COLUMNS), named(after, rng, window, PEER_COLUMNS))
    except Exception as error:  # noqa: BLE001 - what it cannot compare is a result too
        print(f"Evidently: {type(error).__name__}: {error}", file=sys.stderr)
        return [0, 0]
    return [sum(drifted.values()), len(drifted)]


def _evidently(reference: Columns, current: Columns) -> dict[str, bool]:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    report = Report([DataDriftPreset()]).run(pd.DataFrame(current), pd.DataFrame(reference)).dict()
    drifted = {}
    for metric in report["metrics"]:
        config, value = metric["config"], metric["value"]
        if "column" in config:
            by_p = "p_value" in config["method"]
            drifted[config["column"]] = bool(value < config["threshold"] if by_p else value >= config["threshold"])
    return drifted


def measure_peer() -> dict[str, Any] | None:
    """What Evidently does, or None where it cannot be installed."""
    python = BENCH / "bin" / "python"
    if not python.exists():
        print(f"Installing {PEER[0]} into {BENCH} …", flush=True)
        venv.create(BENCH, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEER]
        if subprocess.run(install, check=False).returncode:
            shutil.rmtree(BENCH)
            print("SKIPPED: Evidently could not be installed; its columns are left out.")
            return None
    command = [str(python), str(Path(__file__).resolve()), "--as-peer"]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


# -- the report ---------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _peer_cell(peer: dict[str, Any] | None, path: Sequence[Any]) -> str:
    place: Any = peer
    for step in path:
        place = None if place is None else place[str(step) if isinstance(place, dict) else step]
    if place is None:
        return "not measured"
    return f"{place[0] / place[1]:.0%}" if place[1] else "fails"


def tables(ours: Ours, peer: dict[str, Any] | None) -> Iterator[str]:
    rows = []
    for reference, window in SIZES:
        key = f"{reference}/{window}"
        cells = [_peer_cell(peer, ["mixed", key, kind]) for kind in (0, 1)]
        rows.append([f"{reference:,}", f"{window:,}", *cells, *map(str, ours.mixed[key])])
    head = [
        "reference rows",
        "rows compared",
        "Evidently, numbers",
        "Evidently, words",
        "ours, any column",
        "ours, no margin",
    ]
    yield table(head, rows)
    rows = []
    for name, rates in ours.shapes.items():
        for place, pair in enumerate(rates):
            rows.append([name, f"{WINDOWS[place]:,}", _peer_cell(peer, ["shapes", name, place]), *map(str, pair)])
    yield table(
        ["distribution", "rows compared", "Evidently, of its columns", "ours, any of 20", "ours, no margin"], rows
    )
    rows = [
        [f"{columns}", f"{window:,}", *map(str, pair)]
        for columns, pairs in ours.counts.items()
        for window, pair in zip(WINDOWS, pairs, strict=True)
    ]
    yield table(["columns", "rows compared", "ours, any column", "ours, no margin"], rows)
    rows = [[name, *map(str, rates)] for name, rates in ours.edge.items()]
    yield table(["", *(f"{window:,} rows" for window in WINDOWS)], rows)
    for name, kinds, places in (
        ("shift, in sd", ours.numeric, SHIFTS),
        ("share of rows moved", ours.categorical, MOVES),
    ):
        theirs = "numeric" if kinds is ours.numeric else "categorical"
        rows = [
            [
                f"{place:g}",
                *(f"{kinds[window][index].share:.0%}" for window in POWER_WINDOWS),
                *(_peer_cell(peer, [theirs, window, index]) for window in POWER_WINDOWS),
            ]
            for index, place in enumerate(places)
        ]
        head = [f"{who}, {window:,} rows" for who in ("ours", "Evidently") for window in POWER_WINDOWS]
        yield table([name, *head], rows)


def picture(title: str, places: Sequence[float], ours: dict[int, list[Rate]], peer: Any) -> str:
    """An SVG that stands alone, of the pages' own line chart."""
    import re

    from bailiwick.server.ui.charts import Series, Threshold, line_chart, stylesheet

    lines = [
        Series(
            f"ours, {window:,} rows", [(x, rate.share) for x, rate in zip(places, rates, strict=True)], tone=f"s{tone}"
        )
        for tone, (window, rates) in enumerate(ours.items(), start=1)
    ]
    for tone, (window, rates) in enumerate((peer or {}).items(), start=1):
        points = [(x, found[0] / found[1] if found[1] else None) for x, found in zip(places, rates, strict=True)]
        lines.append(Series(f"Evidently, {int(window):,} rows", points, dashed=True, tone=f"s{tone}"))
    drawn = line_chart(
        lines, title=title, time=False, y_from=0, y_to=1, form=lambda y: f"{y:.0%}", axis=lambda y: f"{y:.0%}",
        thresholds=[Threshold(ALPHA, f"promised at most {ALPHA:.0%} where nothing moved", "muted")],
    )  # fmt: skip
    found = re.search(r"<svg.*</svg>", str(drawn), re.DOTALL)
    assert found is not None
    inner = re.sub(r'<g class="hit">.*?</g>', "", found.group(0), flags=re.DOTALL)
    inner = inner.replace("<svg", '<svg x="52" y="72" width="686"', 1)
    key = "".join(
        f'<g class="s{index % len(ours) + 1}"><line x1="{24 + 240 * (index % len(ours))}" x2="{44 + 240 * (index % len(ours))}"'
        f' y1="{36 + 18 * (index // len(ours))}" y2="{36 + 18 * (index // len(ours))}" stroke="currentColor" stroke-width="2"'
        f"{' stroke-dasharray=' + chr(34) + '5 5' + chr(34) if line.dashed else ''}/></g>"
        f'<text class="key" x="{50 + 240 * (index % len(ours))}" y="{40 + 18 * (index // len(ours))}">{line.name}</text>'
        for index, line in enumerate(lines)
    )
    style = stylesheet().replace("padding: 20px 12px 28px 48px;", "")
    extra = "text.key, text.name { font: 12px sans-serif; fill: var(--chart-muted); } text.name { font-weight: 600; fill: var(--chart-text); }"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" style="color-scheme: light dark">'
        f"<style>{style}{extra}</style>"
        '<rect width="760" height="330" fill="var(--chart-surface)"/>'
        f'<text class="name" x="24" y="18">{title}</text>{key}<g class="chart">{inner}</g></svg>\n'
    )


def write(ours: Ours, peer: dict[str, Any] | None, processor: float, repeats: int) -> None:
    peer = peer or {}
    for name, title, places, rates in (
        ("numbers", "How often a shifted column is found, by the shift in standard deviations", SHIFTS, ours.numeric),
        ("words", "How often a moved column is found, by the share of rows that moved", MOVES, ours.categorical),
    ):
        drawn = picture(title, places, rates, peer.get("numeric" if name == "numbers" else "categorical"))
        (IMAGES / f"calibration-{name}.svg").write_text(drawn, encoding="utf-8")
    mixed_, shapes, counts, edge, numeric, categorical = tables(ours, peer or None)
    version = peer.get("version", "not measured")
    page = PAGE_TEXT.format(
        mixed=mixed_, shapes=shapes, counts=counts, edge=edge, numeric=numeric, categorical=categorical, version=version,
        processor=processor, repeats=repeats, few=repeats // 2, power=repeats // 4, alpha=ALPHA, margin=MARGIN, python=platform.python_version(),
    )  # fmt: skip
    PAGE.write_text(page, encoding="utf-8")


PAGE_TEXT = """\
# How often a comparison is wrong

<!-- written by benchmarks/calibration.py --write -->

`bailiwick data compare` and the monitors call a column drifted only where a confidence bound says that more rows moved
than the margin. The promise is of the whole call, however many columns it has: **where no column moved by more than the
margin, the chance of any alarm is at most alpha.** What follows is that promise measured, beside the defaults of
Evidently {version}, which promise nothing and are counted by column.

```console
$ .venv/bin/python benchmarks/calibration.py --write
```

Alpha {alpha:.0%}, margin {margin:g}; seeds are fixed. In brackets is the upper limit of a rate at 95 % confidence. Calls a
cell: {repeats} in the first table and for up to 20 columns, {few} elsewhere, {power} for moves to be found; of Evidently 120 and 60
columns a row in the first table and 20 a cell elsewhere.
The run took {processor:.0f} s of processor time, half of it Evidently's, Python {python}. It ends with exit code 1 when a rate of
ours is above its promise by more than chance; `tests/data/test_data_calibration.py` is a faster one.

## Nothing moved

20 numbers (normal) and 10 columns of words (50 values, Zipf) from the same distributions on both sides. Evidently
changes its method at 1,000 rows of reference. "No margin" is the same rule asked whether anything moved at all, which
leaves nothing to spare.

{mixed}

Evidently's last row is a defect, not chance: its chi-square test takes the reference sample for the true distribution.

## By distribution

References of 500 and of 5,000 rows in turn (Evidently: 5,000), 20 columns of one kind a call.

{shapes}

## By number of columns

Half numbers, half words, against 2,000 rows.

{counts}

## Moved by just the margin

The hardest case that the promise covers: each of 20 columns moved by {margin:g} exactly, against 20,000 rows.

{edge}

## Moves are found

One column of 20 moved, against 5,000 rows. A move below the margin is meant to be passed over: a shift of 0.125 standard
deviations moves {margin:.0%} of rows. Evidently's curves start where its false alarms are: at few rows they say "drifted"
whatever the data.

![Shift of a normal column and how often it is found](../images/calibration-numbers.svg)

{numeric}

![Share of rows that moved from the first to the second of 50 values, and how often it is found](../images/calibration-words.svg)

{categorical}

The price of the promise: to be found in most windows of 200 rows a shift has to be about half a standard deviation.
Choose longer windows to see less, or a larger `alpha` to be told sooner and be wrong more often.
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--no-peer", action="store_true", help="leave Evidently out")
    options.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--repeats", type=int, default=200)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)} and its pictures")
    asked = options.parse_args()
    if asked.as_peer:
        return peer_main()
    begun = os.times()
    ours = measure_ours(asked.repeats)
    peer = None if asked.no_peer else measure_peer()
    ended = os.times()
    processor = sum(ended[:4]) - sum(begun[:4])  # of this process and of the peer's
    print(*tables(ours, peer), sep="\n\n")
    broken = [f"{name}: {rate}" for name, rate in ours.rates if rate.broken]
    total = sum(1 for _ in ours.rates)
    print(
        f"\n{total} rates, {len(broken)} above the promise of {ALPHA:.0%} by more than chance; {processor:.0f} s of processor time"
    )
    if asked.write:
        write(ours, peer, processor, asked.repeats)
    return sys.exit("\n".join(broken)) if broken else None


if __name__ == "__main__":
    main()
