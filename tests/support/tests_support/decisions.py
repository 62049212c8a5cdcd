"""Decision graphs small enough to predict by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

Tree = dict[str, Any]


def table(
    rules: list[dict[str, str]],
    inputs: dict[str, str],
    outputs: dict[str, str],
    *,
    name: str = "Table",
    **content: Any,
) -> Tree:
    """A decision table: `inputs` and `outputs` are fields by column id."""
    return {
        "id": name.lower(),
        "name": name,
        "type": "decisionTableNode",
        "position": {"x": 0, "y": 0},
        "content": {
            "hitPolicy": "first",
            "inputs": [{"id": key, "name": field, "field": field} for key, field in inputs.items()],
            "outputs": [{"id": key, "name": field, "field": field} for key, field in outputs.items()],
            "rules": [{"_id": f"r{number}", **rule} for number, rule in enumerate(rules, 1)],
            **content,
        },
    }


def expressions(name: str = "Numbers", **values: str) -> Tree:
    """An expression node."""
    rows = [{"id": key, "key": key.replace("__", "."), "value": value} for key, value in values.items()]
    return {
        "id": name.lower(), "name": name, "type": "expressionNode", "position": {"x": 0, "y": 0},
        "content": {"expressions": rows},
    }  # fmt: skip


def node(kind: str, name: str, **content: Any) -> Tree:
    """Any other node."""
    return {"id": name.lower(), "name": name, "type": kind, "position": {"x": 0, "y": 0}, "content": content}


def graph(*nodes: Tree, edges: list[tuple[str, ...]] | None = None, **schemas: Tree) -> Tree:
    """Nodes in a row between a Request and a Response, unless `edges` (source, target, handle) say otherwise."""
    start, end = node("inputNode", "Request"), node("outputNode", "Response")
    for each, side in ((start, "request"), (end, "response")):
        if side in schemas:
            each["content"] = {"schema": json.dumps(schemas[side])}
    row = [start, *nodes, end]
    ends = edges or [(one["id"], other["id"]) for one, other in pairwise(row)]
    lines = [
        {"id": f"e{number}", "sourceId": each[0], "targetId": each[1], "sourceHandle": (each[2:] or (None,))[0]}
        for number, each in enumerate(ends)
    ]
    return {"contentType": "application/vnd.gorules.decision", "nodes": row, "edges": lines}


def discount() -> Tree:
    """Tier and discount by amount and country; rule 2 hits whatever is above 10."""
    rules = [
        {"a": "> 100", "c": "'US','CA'", "t": "'gold'", "d": "0.2"},
        {"a": "> 10", "c": "", "t": "'silver'", "d": "amount / 1000"},
    ]
    return graph(table(rules, {"a": "amount", "c": "country"}, {"t": "tier", "d": "discount"}))


def scoring() -> Tree:
    """A probability of being late, by distance and carrier."""
    rules = [
        {"x": "> 5", "c": "'AA'", "p": "0.9"},
        {"x": "> 5", "c": "", "p": "0.6"},
        {"x": "", "c": "", "p": "0.1"},
    ]
    return graph(table(rules, {"x": "x", "c": "carrier"}, {"p": "probability"}))


def encoded(tree: Tree) -> bytes:
    """As a file."""
    return json.dumps(tree).encode()
