"""Charts as inline SVG made on the server: fluid width, themed by CSS, readable without colour, script or sight.

Standard library and markupsafe only, so that reports outside the server draw with them too: include `stylesheet()` once
in the page, then place what the functions return.
"""

from bailiwick.server.ui.charts.bars import Bar, Part, bar_chart, lane, sparkline, split_bar
from bailiwick.server.ui.charts.dots import Dot, dot_chart
from bailiwick.server.ui.charts.figure import stylesheet
from bailiwick.server.ui.charts.graph import Edge, Node, graph_chart
from bailiwick.server.ui.charts.heatmap import heatmap
from bailiwick.server.ui.charts.line import Band, Marker, Series, Threshold, line_chart

__all__ = [
    "Band",
    "Bar",
    "Dot",
    "Edge",
    "Marker",
    "Node",
    "Part",
    "Series",
    "Threshold",
    "bar_chart",
    "dot_chart",
    "graph_chart",
    "heatmap",
    "lane",
    "line_chart",
    "sparkline",
    "split_bar",
    "stylesheet",
]
