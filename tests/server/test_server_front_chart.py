"""The picture of settings: axes with units, the front, the objective, readable without colour."""

from __future__ import annotations

from bailiwick.server.ui.charts.front import Tried, front_chart

SETTINGS = [
    Tried("one", "1×1, 1", 0.02, 9_000, best=True),
    Tried("two", "1×1, 8", 0.021, 9_100, best=True),
    Tried("three", "2×1, 64", 3.0, 300_000, best=True, chosen=True),
    Tried("four", "8×1, 64", 40.0, 200_000),
    Tried("none", "", 0.0, 1.0),
]


def test_it_has_axes_with_units_a_front_and_the_objective() -> None:
    drawn = front_chart(SETTINGS, title="T", x_name="p99, ms", y_name="rows a second", limit=10, limit_name="10 ms")
    assert drawn.count("<circle") == 4
    assert drawn.count('class="front s2"') == 2
    assert ">p99, ms</text>" in drawn
    assert ">rows a second</text>" in drawn
    assert ">10 ms</text>" in drawn
    assert "three: p99, ms 3, rows a second 300k" in drawn
    assert ">1×1, 1</text>" in drawn
    assert ">1×1, 8</text>" not in drawn  # it would cover the other
    assert ">8×1, 64</text>" not in drawn
    assert drawn.count("<tr>") == 5


def test_without_settings_it_says_so() -> None:
    assert "Nothing was tried." in front_chart([], title="T", x_name="x", y_name="y")
