"""`bailiwick lineage`: where any record came from, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, print_json, print_table, say, shortened, when
from bailiwick.cli.session import open_session

if TYPE_CHECKING:
    from bailiwick.registry.lineage import Node

DirectionOption = Annotated[str, typer.Option(help="backward, forward or both.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(lineage)


def lineage(
    record: Annotated[str, typer.Argument(help="KIND/NAME, e.g. snapshot/ID, run/ID, version/MODEL/3, endpoint/NAME.")],
    direction: DirectionOption = "both",
    json: JsonOption = False,
) -> None:
    """Where a record comes from, and what came of it. From sources to predictions, both ways."""
    print_lineage(record, direction, json=json)


def print_lineage(record: str, direction: str, *, json: bool) -> None:
    """The graph around a record: an edge a line, or JSON to draw from."""
    from bailiwick.lifecycle.lineage.walk import trace

    with open_session() as (platform, actor):
        graph = trace(platform, actor.workspace, record, direction)
    if json:
        print_json(graph)
        return
    nodes = {each["id"]: each for each in graph.nodes}
    rows = [
        (each["from"].partition("/")[0], _named(nodes[each["from"]]), each["label"], _named(nodes[each["to"]]))
        for each in graph.edges
    ]
    print_table(f"Lineage of {record}", ["kind", "from", "how", "to"], rows, empty="Nothing is known of it.")
    if graph.truncated:
        say("There is more than is shown; ask for one direction, or from a record further on.")


def _named(node: Node) -> str:
    """What a node is called, with its time where it has one."""
    moment = node["time"]
    return shortened(f"{node['label']} ({when(moment)})" if moment is not None else node["label"])
