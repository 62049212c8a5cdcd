"""A directed graph in columns from left to right: where a version came from, or how pipeline steps depend on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, figure, table_of, words

_HEIGHT, _GAP_Y = 60, 20
Places = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Node:
    """A box: `kind` above, `label` below, optionally a link. `tone` colours its edge."""

    id: str
    kind: str
    label: str
    href: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node id to another; `label` is read out and shown on hover."""

    source: str
    target: str
    label: str = ""


def graph_chart(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    *,
    title: str,
    description: str = "",
    width: int = 176,
    gap: int = 56,
    fit: bool = False,
) -> Markup:
    """Nodes in columns by their longest path from a source; edges that close a cycle or name no node are left out.

    With `fit`, narrower boxes are drawn smaller where the page is too narrow for them, down to what can be read.
    """
    if fit:
        width, gap = 132, 26
    known = {node.id: node for node in nodes}
    kept = [edge for edge in edges if edge.source in known and edge.target in known and edge.source != edge.target]
    columns = _columns(list(known), kept)
    if fit:
        columns = _beside_targets(columns, kept)
    places = _places(known, columns, width + gap)
    across = (max(columns.values(), default=0) + 1) * (width + gap) - gap
    height = max((y for _, y in places.values()), default=0) + _HEIGHT
    said = description or "; ".join(f"{known[e.source].label} leads to {known[e.target].label}" for e in kept)
    drawing = element(
        "svg",
        words(title, said or title),
        *(_edge(edge, places, width) for edge in kept),
        *(_node(node, places[node.id], width) for node in known.values()),
        class_="graph-svg fit" if fit else "graph-svg",
        role="group",
        viewBox=f"-2 -2 {across + 4} {height + 4}",
        width=across + 4,
        height=height + 4,
    )
    rows = [
        [
            f"{known[e.source].kind} {known[e.source].label}",
            e.label or "→",
            f"{known[e.target].kind} {known[e.target].label}",
        ]
        for e in kept
    ]
    box = element("div", drawing, class_="graph-scroll", tabindex=0, role="region", aria_label=title)
    return figure(
        box, title=title, kind="graph", table=table_of(title, ["From", "", "To"], rows) if rows else Markup("")
    )


def _columns(ids: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Longest path from any source. Bounded passes, so that a cycle cannot hang a page."""
    column = dict.fromkeys(ids, 0)
    for _ in ids:
        moved = False
        for edge in edges:
            if column[edge.target] <= column[edge.source] < len(ids) - 1:
                column[edge.target] = column[edge.source] + 1
                moved = True
        if not moved:
            break
    return column


def _beside_targets(columns: Mapping[str, int], edges: Sequence[Edge]) -> dict[str, int]:
    """What nothing leads to stands right before what it leads to, so that its edge crosses no column."""
    led_to = {edge.target for edge in edges}
    nearest: dict[str, int] = {}
    for edge in edges:
        if edge.source not in led_to:
            place = columns[edge.target]
            nearest[edge.source] = min(nearest.get(edge.source, place), place)
    return {key: max(nearest[key] - 1, 0) if key in nearest else column for key, column in columns.items()}


def _places(nodes: Mapping[str, Node], columns: Mapping[str, int], stride: int) -> Places:
    members: dict[int, list[str]] = {}
    for key in nodes:
        members.setdefault(columns[key], []).append(key)
    tallest = max((len(column) for column in members.values()), default=1)
    places = {}
    for column, keys in members.items():
        spare = (tallest - len(keys)) * (_HEIGHT + _GAP_Y) // 2
        for row, key in enumerate(keys):
            places[key] = (column * stride, spare + row * (_HEIGHT + _GAP_Y))
    return places


def _edge(edge: Edge, places: Places, width: int) -> Markup:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    x1, y1, y2 = x1 + width, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
    bend = max((x2 - x1) // 2, 12)
    curve = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 6} {y2}"
    head = f"M{x2} {y2}l-8 -4v8z"
    said = [element("title", edge.label)] if edge.label else []
    return element("g", *said, element("path", d=curve), element("path", d=head, class_="head"), class_="graph-edge")


def _node(node: Node, place: tuple[int, int], width: int) -> Markup:
    x, y = place
    parts = (
        element("title", f"{node.kind}: {node.label}"),
        element("rect", x=x, y=y, width=width, height=_HEIGHT, rx=8),
        element("text", node.kind, x=x + 14, y=y + 24, class_="graph-kind"),
        element("text", _clipped(node.label, (width - 20) // 8), x=x + 14, y=y + 44, class_="graph-label"),
    )
    css = f"graph-node {node.tone}".strip()
    return element("a", *parts, href=node.href, class_=css) if node.href else element("g", *parts, class_=css)


def _clipped(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
