"""A JSON Decision Model as a checked graph: nodes in the order in which they are evaluated, and nothing that is not confined.

The format: https://docs.gorules.io/developers/jdm/standard. What is not taken, and why, is in `_REFUSED`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from bailiwick.core.errors import InvalidInput, LimitExceeded

MAX_BYTES = 4 << 20
MAX_NODES = 1_000
MAX_CELLS = 200_000

INPUT, OUTPUT = "inputNode", "outputNode"
TABLE, EXPRESSION, SWITCH = "decisionTableNode", "expressionNode", "switchNode"
KINDS = (INPUT, OUTPUT, TABLE, EXPRESSION, SWITCH)

_PLAIN = re.compile(r"[\w.]*")
_REFUSED: Mapping[str, str] = {
    "functionNode": "its JavaScript runs inside the server, may open connections, and is only stopped after seconds",
    "customNode": "it is code of the program that embeds the engine, and there is none here",
    "decisionNode": "it evaluates another file, and a version is one file that never changes",
    "httpNode": "it calls other machines, so the same row could be answered in two ways",
    "databaseNode": "it asks a database, so the same row could be answered in two ways",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `content` is as the file has it."""

    id: str
    name: str
    kind: str
    content: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r}"


@dataclass(frozen=True, slots=True)
class Text:
    """One expression of a node, and where it is: `place` in words, `unary` for the cells of conditions.

    `field` is what a condition's cell is compared with, or what an output is written to.
    """

    node: Node
    place: str
    source: str
    unary: bool = False
    field: str = ""
    makes: bool = False

    def __str__(self) -> str:
        return f"{self.node}, {self.place}: {self.source[:200]!r}"


@dataclass(frozen=True, slots=True)
class Decision:
    """A whole file. `nodes` are in an order in which each comes after those it needs; `before` has those, by id."""

    tree: Mapping[str, Any]
    nodes: tuple[Node, ...]
    before: Mapping[str, tuple[str, ...]]

    def of(self, kind: str) -> list[Node]:
        """Nodes of one kind."""
        return [node for node in self.nodes if node.kind == kind]

    def texts(self) -> Iterator[Text]:
        """Every expression that is evaluated, in order."""
        for node in self.nodes:
            yield from texts_of(node)


def read_decision(data: bytes) -> Decision:
    """Raises InvalidInput naming the node, LimitExceeded."""
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"A rules file has at most {MAX_BYTES} bytes; this one has {len(data)}.")
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The rules are not JSON: {error}.") from error
    return decision_of(tree)


def decision_of(tree: Any) -> Decision:
    """Raises InvalidInput naming the node, LimitExceeded."""
    if not isinstance(tree, dict) or not isinstance(tree.get("nodes"), list) or not isinstance(tree.get("edges"), list):
        raise InvalidInput("The rules are no decision graph: an object with the lists `nodes` and `edges` is needed.")
    if len(tree["nodes"]) > MAX_NODES:
        raise LimitExceeded(f"A decision graph has at most {MAX_NODES} nodes here; this one has {len(tree['nodes'])}.")
    found = [_node(each) for each in tree["nodes"]]
    named = {node.id: node for node in found}
    if len(named) != len(found):
        raise InvalidInput("Two nodes of the decision graph have the same id.")
    for kind in (INPUT, OUTPUT):
        count = sum(node.kind == kind for node in found)
        if count != 1:
            raise InvalidInput(f"A decision graph has one {kind} here; this one has {count}.")
    before = _edges(tree["edges"], named)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        around = " → ".join(named[each].name for each in error.args[1])
        raise InvalidInput(f"The decision graph goes round in a circle: {around}.") from error
    decision = Decision(tree, tuple(named[each] for each in order), before)
    cells = sum(1 for _ in decision.texts())
    if cells > MAX_CELLS:
        raise LimitExceeded(f"A decision graph has at most {MAX_CELLS} cells here; this one has {cells}.")
    return decision


def _node(each: Any) -> Node:
    if not isinstance(each, dict) or not all(isinstance(each.get(key), str) for key in ("id", "type")):
        raise InvalidInput(f"A node of the decision graph has no `id` and `type`: {json.dumps(each)[:120]}.")
    name, kind, content = str(each.get("name") or each["id"]), each["type"], each.get("content")
    if kind in _REFUSED:
        raise InvalidInput(f"Node {name!r} is a {kind}, which is not served: {_REFUSED[kind]}.")
    if kind not in KINDS:
        raise InvalidInput.choice(f"Node {name!r}: type", kind, KINDS)
    node = Node(each["id"], name, kind, content if isinstance(content, dict) else {})
    if kind in {TABLE, EXPRESSION, SWITCH} and not isinstance(content, dict):
        raise InvalidInput(f"Node {name!r} has no `content`.")
    if node.content.get("inputField") or node.content.get("executionMode", "single") != "single":
        raise InvalidInput(f"Node {name!r} loops over a list, and an input here is one value a row.")
    if node.content.get("outputPath"):
        raise InvalidInput(f"Node {name!r} has an `outputPath`.", hint="Name its outputs with dots instead.")
    _check_table(node)
    return node


def _check_table(node: Node) -> None:
    if node.kind != TABLE:
        return
    policy = node.content.get("hitPolicy", "first")
    collected = [each for each in _listed(node, "outputs") if str(each.get("field", "")).endswith("[]")]
    if policy != "first" or collected:
        raise InvalidInput(
            f"Node {node.name!r} collects the outputs of all rules that hit, and an output here is one value a row.",
            hint="Use the hit policy `first`.",
        )
    for each in _listed(node, "outputs"):
        if not isinstance(each.get("field"), str) or not each["field"] or not isinstance(each.get("id"), str):
            raise InvalidInput(f"Node {node.name!r} has an output without `id` and `field`.")
    for each in _listed(node, "inputs"):
        if not isinstance(each.get("id"), str):
            raise InvalidInput(f"Node {node.name!r} has an input without `id`.")


def _edges(edges: Sequence[Any], named: Mapping[str, Node]) -> dict[str, tuple[str, ...]]:
    before: dict[str, list[str]] = {name: [] for name in named}
    for each in edges:
        ends = (each.get("sourceId"), each.get("targetId")) if isinstance(each, dict) else (None, None)
        for end in ends:
            if end not in named:
                raise InvalidInput(f"An edge of the decision graph ends at {str(end)[:80]!r}, which is no node.")
        before[str(ends[1])].append(str(ends[0]))
    return {name: tuple(dict.fromkeys(found)) for name, found in before.items()}


def texts_of(node: Node) -> Iterator[Text]:
    """The expressions of one node. Raises InvalidInput for a cell that is no text."""
    if node.kind == TABLE:
        yield from _cells(node)
    elif node.kind == EXPRESSION:
        for each in _listed(node, "expressions"):
            key = _text(node, each, "key")
            yield Text(node, f"expression {key!r}", _text(node, each, "value"), field=key, makes=True)
    elif node.kind == SWITCH:
        for number, each in enumerate(_listed(node, "statements"), 1):
            yield Text(node, f"branch {number}", _text(node, each, "condition"))


def rules_of(node: Node) -> list[Mapping[str, Any]]:
    """The rows of a decision table."""
    return _listed(node, "rules")


def columns_of(node: Node, side: str) -> list[Mapping[str, Any]]:
    """The columns of a decision table: `inputs` or `outputs`."""
    return _listed(node, side)


def _cells(node: Node) -> Iterator[Text]:
    for column in _listed(node, "inputs"):
        field = str(column.get("field") or "")
        if not _PLAIN.fullmatch(field) or any(str(rule.get(column["id"]) or "").strip() for rule in rules_of(node)):
            yield Text(node, f"column {column.get('name') or field}", field)
    for number, rule in enumerate(rules_of(node), 1):
        for column in _listed(node, "inputs"):
            field = str(column.get("field") or "")
            place = f"rule {number}, {column.get('name') or field or column['id']}"
            cell = _text(node, rule, column["id"])
            if cell.strip():
                yield Text(node, place, cell, unary=bool(field), field=field)
        for column in _listed(node, "outputs"):
            cell = _text(node, rule, column["id"])
            place = f"rule {number}, {column.get('name') or column['field']}"
            yield Text(node, place, cell, field=column["field"], makes=True)


def _listed(node: Node, key: str) -> list[Mapping[str, Any]]:
    found = node.content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidInput(f"{str(node).capitalize()}: `{key}` is no list of objects.")
    return found


def _text(node: Node, holder: Mapping[str, Any], key: str) -> str:
    found = holder.get(key, "")
    if found is None:
        return ""
    if not isinstance(found, str):
        raise InvalidInput(f"{str(node).capitalize()}: `{key}` is {json.dumps(found)[:80]}; expressions are texts.")
    return found
