"""Lineage as a picture in which every record leads to its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from bailiwick.server.ui import links
from bailiwick.server.ui.charts import Edge, Node
from bailiwick.server.ui.words import short
from bailiwick.tracking.provenance.code import COMMIT_TAG

MOST_DRAWN = 80

Found = Mapping[str, Any]


def picture_of(nodes: Iterable[Found], edges: Iterable[Found], me: str) -> tuple[list[Node], list[Edge]]:
    """Nodes and edges to draw; past 80 nodes the rest is left out, farthest last. `me` is the id of the node in question."""
    drawn = [
        Node(node["id"], node["kind"].replace("_", " "), _label(node), _href(node), "here" if node["id"] == me else "")
        for node in islice(nodes, MOST_DRAWN)
    ]
    return drawn, [Edge(edge["from"], edge["to"], edge["label"]) for edge in edges]


def _label(node: Found) -> str:
    kind, _, name = str(node["id"]).partition("/")
    if kind in {"snapshot", "run", "logged_model"} and node["label"].startswith(kind.replace("_", " ")):
        return short(name)
    if kind in {"package", "code"}:
        return name[:12]
    if kind == "version":
        model, _, number = name.rpartition("/")
        return f"{model} v{number}"
    return str(node["label"])


def _href(node: Found) -> str:
    """Where a record is looked at; what has no page leads to the runs or data that have to do with it."""
    kind, _, name = str(node["id"]).partition("/")
    first = name.partition("/")[0]
    digest = str(node["detail"].get("digest", ""))
    places = {
        "package": f"/api/v1/blobs/{name}",
        "endpoint": links.endpoint(first),
        "deployment": links.endpoint(first),
        "predictions": links.monitor(first),
        "code": _runs(f"tags.`{COMMIT_TAG}` = {_quoted(name)}"),
        "dataset": _runs(f"dataset.digest = {_quoted(digest)}"),
        "source": "/data",
    }
    return places.get(kind) or links.resource(f"{kind}/{name}")


def _runs(wanted: str) -> str:
    return f"/runs?{links.query({'filter': wanted, 'parts': 'all'})}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
