"""Charts: well-formed, described, escaped, with the same data in a table; whatever the numbers."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bailiwick.server.ui.charts import (
    Axis,
    Band,
    Bar,
    Edge,
    Marker,
    Node,
    Part,
    Series,
    Span,
    Spot,
    Threshold,
    bar_chart,
    graph_chart,
    heatmap,
    lane,
    line_chart,
    parallel_chart,
    scatter_chart,
    span_chart,
    sparkline,
    split_bar,
    stylesheet,
)
from bailiwick.server.ui.charts.scales import Scale, log_ticks, nice_ticks, tick_words, time_ticks
from bailiwick.server.ui.words import compact

EVIL = "<img src=x onerror=alert(1)>\"'&"
DAY = 86_400_000
numbers = st.floats(-1e12, 1e12)


def parse(drawn: Markup) -> ET.Element:
    return ET.fromstring(str(drawn).replace("&#39;", "'").replace("&#34;", "&quot;"))


def numbers_in(drawn: Markup) -> list[float]:
    return [
        float(found) for found in re.findall(r'(?:x|y|x1|x2|y1|y2|cx|cy|width|height)="(-?[\d.e+-]+)%?"', str(drawn))
    ]


def test_a_line_chart_has_title_description_legend_and_table() -> None:
    drawn = line_chart(
        [Series("new", [(0, 1.0), (1, 2.0)]), Series("old", [(0, 1.5), (1, None)], dashed=True)],
        title="Loss",
        time=False,
        bands=[Band(0, 0.5, "canary")],
        markers=[Marker(1, "alarm", href="/alarm")],
        thresholds=[Threshold(1.8, "limit")],
    )
    root = parse(drawn)
    svg = root.find(".//svg")
    assert svg is not None
    assert svg.get("role") == "img"
    assert svg.findtext("title") == "Loss"
    assert "new: 2 points between 1 and 2, last 2." in str(svg.findtext("desc"))
    assert [item.text or "" for item in root.iter("caption")] == ["Loss"]
    assert len(root.findall(".//tbody/tr")) == 2
    assert len(root.findall(".//ul[@class='legend']/li")) == 2
    assert root.find(".//a[@href='/alarm']") is not None


def test_a_gap_breaks_the_line_and_a_lone_point_is_a_dot() -> None:
    drawn = line_chart([Series("a", [(0, 1.0), (1, 2.0), (2, None), (3, 1.0)])], title="t", time=False)
    root = parse(drawn)
    assert len([path for path in root.iter("path") if "line" in str(path.get("class"))]) == 1
    assert [dot for dot in root.iter("circle") if dot.get("r") == "3"]


def test_a_chart_without_data_says_why() -> None:
    assert "Nothing yet." in line_chart([Series("a", [(0, None)])], title="t", empty="Nothing yet.")
    assert "Nothing yet." in bar_chart([], title="t", empty="Nothing yet.")
    assert "Nothing yet." in heatmap([], [], [], title="t", empty="Nothing yet.")
    assert sparkline([1.0], title="t") == ""


@pytest.mark.parametrize(
    "drawn",
    [
        line_chart(
            [Series(EVIL, [(0, 1.0)])],
            title=EVIL,
            markers=[Marker(0, EVIL, href=EVIL)],
            note=EVIL,
            bands=[Band(0, 1, EVIL)],
            thresholds=[Threshold(1, EVIL)],
        ),
        bar_chart([Bar(EVIL, 1, EVIL)], title=EVIL, note=EVIL),
        split_bar([Part(EVIL, 1, href=EVIL)], title=EVIL),
        heatmap([EVIL], [EVIL], [[0.5]], title=EVIL, marked=[[True]], note=EVIL),
        graph_chart([Node("a", EVIL, EVIL, EVIL), Node("b", EVIL, EVIL)], [Edge("a", "b", EVIL)], title=EVIL),
        lane(0, 1, 0, 2, title=EVIL),
        sparkline([1, 2], title=EVIL),
        scatter_chart([Spot(EVIL, EVIL, 1.0, EVIL)], title=EVIL, x_name=EVIL, y_name=EVIL),
        parallel_chart([Axis(EVIL, [EVIL, None]), Axis("b", [1.0, 2.0])], [EVIL, "y"], title=EVIL, note=EVIL),
        span_chart([Span(EVIL, EVIL, 0, 90, EVIL, EVIL)], title=EVIL, now=100),
    ],
    ids=["line", "bar", "split", "heat", "graph", "lane", "spark", "scatter", "parallel", "spans"],
)
def test_text_never_becomes_markup(drawn: Markup) -> None:
    assert "<img" not in drawn
    parse(drawn)


@given(
    st.lists(st.tuples(numbers, numbers | st.none() | st.just(math.nan)), min_size=1, max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_any_series_stays_within_the_plot(points: list[tuple[float, float | None]], log: bool, time: bool) -> None:
    ordered = sorted(points, key=lambda point: point[0])
    drawn = line_chart([Series("a", ordered)], title="t", log=log, time=time)
    parse(drawn)
    assert all(-60 <= number <= 1100 for number in numbers_in(drawn))


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=30))
def test_any_bars_stay_within_the_plot(values: list[float]) -> None:
    drawn = bar_chart([Bar(str(index), value) for index, value in enumerate(values)], title="t")
    parse(drawn)
    assert all(-60 <= number <= 1100 for number in numbers_in(drawn))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_shares_fill_the_bar_exactly(weights: list[int]) -> None:
    drawn = split_bar([Part(f"v{index}", weight) for index, weight in enumerate(weights)], title="t")
    if sum(weights):
        widths = [float(str(rect.get("width")).rstrip("%")) for rect in parse(drawn).iter("rect")]
        assert sum(widths) == pytest.approx(100, abs=0.01 * len(widths))
    else:
        assert "No traffic" in drawn


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=15))
def test_any_graph_is_drawn_even_one_with_cycles(pairs: list[tuple[int, int]]) -> None:
    nodes = [Node(str(index), "step", f"step {index}") for index in range(7)]
    for fit in (False, True):
        parse(graph_chart(nodes, [Edge(str(start), str(end)) for start, end in pairs], title="t", fit=fit))


def test_what_nothing_leads_to_stands_beside_what_it_leads_to() -> None:
    nodes = [Node(name, "step", name) for name in ("source", "snapshot", "run", "code")]
    edges = [Edge("source", "snapshot"), Edge("snapshot", "run"), Edge("code", "run")]
    drawn = parse(graph_chart(nodes, edges, title="t", fit=True))
    x = [float(str(rect.get("x"))) for rect in drawn.iter("rect")]
    assert x[3] == x[1]
    assert x[0] < x[1] < x[2]


spot_places = numbers | st.text("abc", min_size=1, max_size=3)


@given(st.lists(st.tuples(spot_places, numbers), min_size=1, max_size=12), st.booleans())
def test_any_dots_stay_within_the_plot(places: list[tuple[float | str, float]], log: bool) -> None:
    spots = [Spot(str(index), x, y) for index, (x, y) in enumerate(places)]
    drawn = scatter_chart(spots, title="t", x_name="x", y_name="y", log_x=log)
    assert len(list(parse(drawn).iter("circle"))) == len(spots)
    assert all(-60 <= number <= 1100 for number in numbers_in(drawn))


@given(st.lists(st.lists(spot_places | st.none(), min_size=4, max_size=4), min_size=1, max_size=6))
def test_any_parallel_coordinates_are_drawn(columns: list[list[float | str | None]]) -> None:
    axes = [Axis(f"a{index}", values) for index, values in enumerate(columns)]
    drawn = parallel_chart(axes, list("wxyz"), title="t")
    parse(drawn)
    for path in re.findall(r' d="([^"]*)"', str(drawn)):
        assert all(0 <= int(number) <= 1000 for number in re.findall(r"-?\d+", path))


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 10**9), st.integers(0, 10**9) | st.none()), max_size=10)
)
def test_spans_that_overlap_lie_below_each_other(given_spans: list[tuple[str, int, int | None]]) -> None:
    spans = [Span(row, "v1", start, None if end is None else start + end) for row, start, end in given_spans]
    drawn = span_chart(spans, title="t", now=10**9)
    parse(drawn)
    bars = re.findall(r'<rect x="([\d.]+)%" width="([\d.]+)%" y="(\d+)"', str(drawn))
    assert len(bars) == len(spans)
    by_row: dict[str, list[tuple[float, float]]] = {}
    for x, width, y in bars:
        by_row.setdefault(y, []).append((float(x), float(x) + float(width)))
    for bars_of_row in by_row.values():
        ordered = sorted(bars_of_row)
        assert all(later[0] >= earlier[1] - 0.7 for earlier, later in pairwise(ordered))


def test_a_span_says_what_held_from_when_to_when() -> None:
    spans = [Span("@champion", "v1", 0, 40 * DAY, "Set by ada", "/v/1"), Span("@champion", "v2", 40 * DAY, None)]
    drawn = span_chart(spans, title="History", now=100 * DAY)
    assert "@champion: v1 from 1970-01-01 00:00 to 1970-02-10 00:00. Set by ada" in drawn
    assert 'href="/v/1"' in drawn
    assert "<td>now</td>" in drawn


def test_a_heatmap_marks_and_shades() -> None:
    drawn = heatmap(
        ["hour"], ["1 Jan", "2 Jan", "3 Jan"], [[0.0, 1.0, None]], marked=[[False, True, False]], title="Drift"
    )
    cells = [str(cell.get("class")) for cell in parse(drawn).iter("rect")]
    assert cells == ["cell h0", "cell h7", "cell h-none"]
    assert str(drawn).count("cell-mark") == 1


@given(numbers, numbers)
def test_ticks_enclose_the_range_and_rise(first: float, second: float) -> None:
    low, high = sorted((first, second))
    ticks = nice_ticks(low, high)
    assert ticks == sorted(ticks)
    assert len(ticks) >= 2
    slack = 1e-6 * max(abs(low), abs(high), 1e-9)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


@given(st.floats(1e-9, 1e9), st.floats(1, 1e9))
def test_log_ticks_enclose_the_range(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert ticks[0] <= low * (1 + 1e-9)
    assert ticks[-1] >= low * factor * (1 - 1e-9)
    assert len(ticks) <= 8


def test_time_ticks_fall_on_round_times() -> None:
    start = 1_388_534_400_000
    assert [label for _, label in time_ticks(start, start + 4 * DAY)] == ["1 Jan", "2 Jan", "3 Jan", "4 Jan", "5 Jan"]
    assert [label for _, label in time_ticks(start + 60_000, start + DAY // 4)] == ["02:00", "04:00", "06:00"]


@given(numbers, st.floats(0.001, 1e9), numbers)
def test_places_are_percentages(low: float, span: float, value: float) -> None:
    assert 0 <= Scale(low, low + span).place(value) <= 100


def test_the_stylesheet_is_complete_and_imports_nothing_from_elsewhere() -> None:
    css = stylesheet()
    assert "--chart-1" in css
    assert "http" not in css
    assert "@import" not in css


@pytest.mark.parametrize(
    ("ticks", "said"),
    [
        ([0.0, 500.0, 1_000.0], ["0", "500", "1k"]),
        ([59_991.0, 59_992.0, 59_993.0], ["59,991", "59,992", "59,993"]),
        ([37_802.0, 37_802.5], ["37,802.0", "37,802.5"]),
    ],
)
def test_ticks_are_written_so_that_they_can_be_told_apart(ticks: list[float], said: list[str]) -> None:
    assert tick_words(ticks, compact) == said
