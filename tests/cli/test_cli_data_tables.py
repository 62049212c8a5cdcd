"""Columns of data on a terminal: one line each, drawn with what the terminal can show, against golden files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.cli.data_tables import short
from bailiwick.cli.sparklines import ASCII, BLOCKS, sparkline
from tests_support.command import Command, process

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "pictures"
NORMAL = [NormalDist().inv_cdf((row + 0.5) / 1_000) for row in range(1_000)]


def table(shift: float) -> pa.Table:
    rows = range(1_000)
    return pa.table(
        {
            "delay": pa.array([value * 20 + 5 + shift for value in NORMAL], mask=_mask(shift)),
            "hour": [(row * row) % 24 for row in rows],
            "carrier": [("UA", "B6", "EV", "DL", "日本航空")[min(row % 7, 4 if row % 3 else 0)] for row in rows],
            "tail number, which is a long name": [f"N{row:05}" for row in rows],
            "departed": pa.array([1_357_000_000_000 + row * 86_400_00 for row in rows], pa.timestamp("ms", "UTC")),
            "cancelled": [row % 10 == 0 for row in rows],
            "\x1b[31mred\nand gone": pa.array([None] * 1_000, pa.float64()),
            "sum": [value**2 * 1e13 for value in NORMAL],
        }
    )


def _mask(shift: float) -> np.ndarray:
    return np.arange(1_000) % 50 < 3 + shift


@pytest.fixture
def files(tmp_path: Path) -> Path:
    pq.write_table(table(0), tmp_path / "then.parquet")
    pq.write_table(table(15), tmp_path / "now.parquet")
    return tmp_path


def _golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("BAILIWICK_TEST_REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "columns"), [("stats-80", "80"), ("stats-140", "140")])
def test_statistics_are_a_line_a_column(files: Path, name: str, columns: str) -> None:
    shown = process("data", "stats", "then.parquet", folder=files, COLUMNS=columns)
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.out.splitlines()) == 2 + 8
    _golden(name, shown.out)


def test_statistics_of_your_own_stand_below_the_table_and_in_the_file(files: Path) -> None:
    named = ("--stat", "late=avg((delay > 15)::INT)", "--stat", "hours=count(DISTINCT hour)")
    shown = process("data", "stats", "then.parquet", *named, "--out", "s.pbtxt", folder=files)
    assert (shown.code, shown.err) == (0, "")
    below = shown.out.partition("Statistics of your own")[2].split()
    assert below[below.index("late") : below.index("late") + 3] == ["late", "then.parquet", "0.3095744681"]
    assert below[below.index("hours") : below.index("hours") + 3] == ["hours", "then.parquet", "6"]
    assert 'name: "hours"' in (files / "s.pbtxt").read_text()
    wrong = process("data", "stats", "then.parquet", "--stat", "late=delay", folder=files)
    assert wrong.code == 2
    assert "is not one value of many rows" in wrong.err


def test_drift_is_sorted_by_what_moved_most(files: Path) -> None:
    shown = process("data", "compare", "then.parquet", "now.parquet", folder=files, COLUMNS="80")
    assert (shown.code, shown.err) == (1, "")
    assert shown.out.splitlines()[2].startswith("delay ")
    _golden("compare-80", shown.out)


def test_a_terminal_without_unicode_gets_ascii(files: Path) -> None:
    shown = process("data", "stats", "then.parquet", folder=files, PYTHONIOENCODING="ascii")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.isascii()
    _golden("stats-ascii", shown.out)


def test_what_a_terminal_cannot_say_is_spelt_out_wherever_it_stands(files: Path) -> None:
    (files / "then.parquet").rename(files / "日本.parquet")
    shown = process("data", "stats", "日本.parquet", "--search", "hour", folder=files, PYTHONIOENCODING="ascii")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("\\u65e5\\u672c.parquet: 1,000 rows")


def test_a_terminal_gets_styles_unless_it_wants_no_colour(files: Path) -> None:
    line = [sys.executable, "-m", "bailiwick", "data", "stats", "then.parquet"]
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    program = f"import pty, sys; sys.exit(pty.spawn({line!r}) >> 8)"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=files,
            env={**plain, "COLUMNS": "80", "TERM": "xterm", **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=True,
        ).stdout.decode()
        for more in ({}, {"NO_COLOR": "1"})
    ]
    assert "\x1b[1m" in told[0]
    assert "\x1b[1m" not in told[1]
    assert "▁▃▆█▇▄▁▁" in told[1]


def test_five_hundred_columns_are_narrowed_down_and_sorted(command: Command, tmp_path: Path) -> None:
    columns = {f"sensor_{place:03}": [float(place), None if place % 7 == 0 else 1.0, 2.0] for place in range(500)}
    pq.write_table(pa.table(columns), tmp_path / "wide.parquet")
    every = command("data", "stats", "wide.parquet")
    assert len(every.out.splitlines()) == 502
    found = command("data", "stats", "wide.parquet", "--columns", "sensor_4*", "--search", "49", "--sort", "missing")
    lines = found.out.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == [
        *(f"sensor_{place}" for place in (490, 497)),
        "sensor_449",
        *(f"sensor_{place}" for place in (491, 492, 493, 494, 495, 496, 498, 499)),
    ]
    assert lines[-1] == "11 of 500 columns."
    wrong = command("data", "stats", "wide.parquet", "--columns", "sensr_001")
    assert (wrong.code, "sensor_001" in wrong.err) == (2, True)
    assert command("data", "stats", "wide.parquet", "--sort", "size").code == 2


def test_times_are_no_reason_to_compare_nothing(command: Command, files: Path) -> None:
    shown = command("data", "compare", "then.parquet", "now.parquet", "--search", "carr", "--json")
    assert {each["feature"] for each in shown.json} == {"delay", "hour", "carrier", "cancelled", "sum", *list(table(0).column_names)[3:4], "\x1b[31mred\nand gone"}  # fmt: skip
    assert "departed" in command("data", "compare", "then.parquet", "now.parquet", "--column", "departed").err


@given(st.lists(st.floats(0, 1), max_size=30))
def test_a_sparkline_has_a_character_a_share(shares: list[float]) -> None:
    for ascii_only, ramp in ((True, ASCII), (False, BLOCKS)):
        drawn = sparkline(shares, ascii_only=ascii_only)
        if not any(shares):
            assert drawn == ""
            continue
        assert len(drawn) == len(shares)
        assert {letter == " " for letter, share in zip(drawn, shares, strict=True) if share > 0} == {False}
        assert drawn[shares.index(max(shares))] == ramp[-1]


@pytest.mark.parametrize(
    ("shares", "drawn"),
    [
        ([], ""),
        ([0.0], ""),
        ([1.0], "█"),
        ([0.0, 0.125, 0.25, 0.5, 1.0], " ▂▃▅█"),
        ([1e-9, 1.0], "▁█"),
        ([0.2, 0.2], "██"),
    ],
)
def test_sparklines(shares: list[float], drawn: str) -> None:
    assert sparkline(shares, ascii_only=False) == drawn


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-2.0, "-2"), (12.345, "12.35"), (12_345.6, "12346"), (123_456.0, "123.5k"), (1.5e9, "1.5G"),
        (3.21e-7, "3.2e-7"), (1e21, "1e21"), (float("inf"), "inf"), (0.001, "0.001"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
