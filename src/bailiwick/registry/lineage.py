"""Lineage as a graph of ids: nodes are records, edges say how one came from another. Graphs of several domains can be joined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from bailiwick.registry.model import ModelVersion, Stage

COPY = "models:"
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


def version_lineage(version: ModelVersion, aliases: Iterable[str] | None = None) -> Lineage:
    """What a version records of its origin (snapshot, code, run, package or logged model) and what points to it: its stage, and `aliases` or its own.

    Ids that the version does not have are left out, not invented.
    """
    me = f"version/{version.model}/{version.number}"
    run, snapshot = f"run/{version.run_id}", f"snapshot/{version.snapshot}"
    code = f"code/{version.code_version}"
    content = _content(version)
    nodes: list[Node] = []
    edges: list[Edge] = []
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
        edges.append(_edge(run, content["id"], "produced"))
    elif version.snapshot:
        edges.append(_edge(snapshot, content["id"], "trained"))
    nodes.append(content)
    nodes.append(
        _node(
            me,
            f"{version.model} version {version.number}",
            created=version.created,
            created_by=version.created_by,
            deleted=version.deleted,
            **({"purged": version.purged} if version.purged is not None else {}),
        )
    )
    edges.append(_edge(content["id"], me, "registered as"))
    if version.stage != Stage.NONE:
        nodes.append(_node(f"stage/{version.model}/{version.stage}", version.stage))
        edges.append(_edge(me, f"stage/{version.model}/{version.stage}", "is"))
    for alias in sorted(version.aliases if aliases is None else aliases):
        nodes.append(_node(f"alias/{version.model}/{alias}", alias))
        edges.append(_edge(me, f"alias/{version.model}/{alias}", "is"))
    return {"nodes": nodes, "edges": edges}


def _content(version: ModelVersion) -> Node:
    """What was registered: a package, a logged model, or whatever is at a URI; a copy comes from another version."""
    if version.native:
        return _node(f"package/{version.digest}", f"package {version.digest[:12]}", size_bytes=version.size_bytes)
    detail = {"size_bytes": version.size_bytes, "digest": version.digest} if version.digest else {}
    if version.source.startswith(f"{COPY}/") and version.source.rpartition("/")[2].isdigit():
        named = version.source.removeprefix(f"{COPY}/")
        return _node(f"version/{named}", " version ".join(named.rsplit("/", 1)), **detail)
    if version.model_id:
        return _node(f"logged_model/{version.model_id}", f"logged model {version.model_id[:14]}", **detail)
    return _node(f"source/{version.source}", version.source, **detail)


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
