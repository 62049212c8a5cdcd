"""Lineage as a graph of ids: nodes are records, edges say how one came from another. Graphs of several domains can be joined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from bailiwick.registry.model import ModelVersion

Edge = TypedDict("Edge", {"from": str, "to": str, "label": str})


class Node(TypedDict):
    """`id` is `kind/name` as in the journal's resources, so that the same record joins up across graphs."""

    id: str
    kind: str
    label: str
    detail: dict[str, object]


class Lineage(TypedDict):
    """A graph without repeated nodes or edges, in order of discovery; plain JSON."""

    nodes: list[Node]
    edges: list[Edge]


def version_lineage(version: ModelVersion, aliases: Iterable[str]) -> Lineage:
    """What a version records of its origin (snapshot, code, run, package) and where it is pointed to from (aliases).

    Ids that the version does not have are left out, not invented.
    """
    me = f"version/{version.model}/{version.number}"
    run, snapshot = f"run/{version.run_id}", f"snapshot/{version.snapshot}"
    package, code = f"package/{version.digest}", f"code/{version.code_version}"
    nodes, edges = [], []
    if version.snapshot:
        nodes.append(_node(snapshot, f"snapshot {version.snapshot[:12]}"))
    if version.code_version:
        nodes.append(_node(code, f"code {version.code_version[:12]}"))
    if version.run_id:
        nodes.append(_node(run, f"run {version.run_id[:12]}"))
        if version.snapshot:
            edges.append(_edge(snapshot, run, "trained"))
        if version.code_version:
            edges.append(_edge(code, run, "ran in"))
        edges.append(_edge(run, package, "produced"))
    elif version.snapshot:
        edges.append(_edge(snapshot, package, "trained"))
    nodes.append(_node(package, f"package {version.digest[:12]}", size_bytes=version.size_bytes))
    nodes.append(
        _node(
            me,
            f"{version.model} version {version.number}",
            created=version.created,
            created_by=version.created_by,
            deleted=version.deleted,
        )
    )
    edges.append(_edge(package, me, "registered as"))
    for alias in sorted(aliases):
        nodes.append(_node(f"alias/{version.model}/{alias}", alias))
        edges.append(_edge(me, f"alias/{version.model}/{alias}", "is"))
    return {"nodes": nodes, "edges": edges}


def join(graphs: Iterable[Lineage]) -> Lineage:
    """One graph of all; where two describe the same node, the details are merged and later ones win."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str, str], Edge] = {}
    for graph in graphs:
        for node in graph["nodes"]:
            known = nodes.get(node["id"])
            detail = {**(known["detail"] if known else {}), **node["detail"]}
            nodes[node["id"]] = {**node, "detail": detail}
        for edge in graph["edges"]:
            edges.setdefault((edge["from"], edge["to"], edge["label"]), edge)
    return {"nodes": list(nodes.values()), "edges": list(edges.values())}


def _node(node_id: str, label: str, **detail: object) -> Node:
    return {"id": node_id, "kind": node_id.split("/", 1)[0], "label": label, "detail": detail}


def _edge(start: str, end: str, label: str) -> Edge:
    return {"from": start, "to": end, "label": label}
