"""A walk through the records from one of them: back to sources, forth to predictions, or both."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.lifecycle.lineage.backward import BACKWARD
from bailiwick.lifecycle.lineage.forward import FORWARD
from bailiwick.lifecycle.lineage.nodes import KINDS, Tracer
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.lineage import Edge, Lineage, Node, join

MAX_NODES = 1_000

Step = Callable[[Tracer, str], Lineage]


class Direction(StrEnum):
    """Which way to walk: to what a record came from, to what came of it, or each in turn."""

    BACKWARD = "backward"
    FORWARD = "forward"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class LineageGraph:
    """What was found, `start` first. `truncated` says that there is more than the thousand records that are shown."""

    start: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    truncated: bool = False


def trace(platform: Platform, workspace: str, record: str, direction: str = Direction.BOTH) -> LineageGraph:
    """The graph around a record, `kind/name` as in the journal: `version/late/3`, `snapshot/ID`, `dataset/ID`, `run/ID`,
    `logged_model/ID`, `endpoint/NAME`, `alias/late/champion` …

    Walking back, what else came of an origin is left out, and so is, walking forth, what else a result was made of.
    Raises InvalidInput for a kind that has no lineage, NotFound for a record that is not there.
    """
    if direction not in set(Direction):
        raise InvalidInput.choice("Direction", direction, map(str, Direction))
    kind, _, name = record.partition("/")
    if kind not in KINDS or not name:
        raise InvalidInput(
            f"{record[:200]!r} is no record with a lineage: it is KIND/NAME.", hint=f"Kinds: {', '.join(KINDS)}."
        )
    tracer = Tracer(platform, workspace)
    start = tracer.node(record)
    if start is None:
        model, _, number = name.rpartition("/")
        if kind == "version" and model and number.isdecimal():
            platform.registry.version(workspace, model, int(number[:10]), deleted=True)  # says what versions there are
        raise NotFound(f"There is no {kind.replace('_', ' ')} {name[:200]!r}.")
    graphs: list[Lineage] = [{"nodes": [start], "edges": []}]
    truncated = False
    for way, steps in ((Direction.BACKWARD, BACKWARD), (Direction.FORWARD, FORWARD)):
        if direction in {way, Direction.BOTH}:
            found, more = _walk(tracer, record, steps)
            graphs += found
            truncated = truncated or more
    whole = join(graphs)
    return LineageGraph(record, whole["nodes"], whole["edges"], truncated)


def _walk(tracer: Tracer, record: str, steps: Mapping[str, Step]) -> tuple[list[Lineage], bool]:
    """What each step from each record finds, nearest first, and whether some was left."""
    seen, waiting = {record}, deque([record])
    found: list[Lineage] = []
    while waiting:
        here = waiting.popleft()
        step = steps.get(here.partition("/")[0])
        if step is None:
            continue
        graph = step(tracer, here.partition("/")[2])
        found.append(graph)
        for node in graph["nodes"]:
            if node["id"] not in seen:
                seen.add(node["id"])
                waiting.append(node["id"])
        if len(seen) > MAX_NODES:
            return found, True
    return found, False
