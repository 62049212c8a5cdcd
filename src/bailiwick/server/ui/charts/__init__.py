"""Charts as inline SVG made on the server: fluid width, themed by CSS, readable without colour, script or sight."""

from bailiwick.server.ui.charts.bars import Bar, Part, bar_chart, lane, sparkline, split_bar
from bailiwick.server.ui.charts.dots import Dot, dot_chart
from bailiwick.server.ui.charts.figure import stylesheet
from bailiwick.server.ui.charts.graph import Edge, Node, graph_chart
from bailiwick.server.ui.charts.heatmap import heatmap
from bailiwick.server.ui.charts.line import Band, Marker, Series, Threshold, line_chart
from bailiwick.server.ui.charts.parallel import Axis, parallel_chart
from bailiwick.server.ui.charts.scatter import Spot, scatter_chart
from bailiwick.server.ui.charts.spans import Span, span_chart
from bailiwick.server.ui.charts.waterfall import waterfall_chart

__all__ = [
    "Axis",
    "Band",
    "Bar",
    "Dot",
    "Edge",
    "Marker",
    "Node",
    "Part",
    "Series",
    "Span",
    "Spot",
    "Threshold",
    "bar_chart",
    "dot_chart",
    "graph_chart",
    "heatmap",
    "lane",
    "line_chart",
    "parallel_chart",
    "scatter_chart",
    "span_chart",
    "sparkline",
    "split_bar",
    "stylesheet",
    "waterfall_chart",
]
