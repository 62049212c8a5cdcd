"""Lineage as a graph of ids: nodes are records, edges say how one came from another. Graphs of several domains can be joined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

from bailiwick.registry.model import ModelVersion, Stage

COPY = "models:"
Edge = TypedDict("Edge", {"from": str, "to": str, "label": str})


class Node(TypedDict):
    """`id` is `kind/name` as in the journal's resources, so that the same record joins up across graphs. `time` is when it
    came about, in UTC milliseconds, None where that is not known.
    """

    id: str
    kind: str
    label: str
    time: int | None
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
    content = content_of(version)
    nodes: list[Node] = []
    edges: list[Edge] = []
    if version.snapshot:
        nodes.append(node(snapshot, f"snapshot {version.snapshot[:12]}"))
    if version.code_version:
        nodes.append(node(code, f"code {version.code_version[:12]}"))
    if version.run_id:
        nodes.append(node(run, f"run {version.run_id[:12]}"))
        if version.snapshot:
            edges.append(edge(snapshot, run, "trained"))
        if version.code_version:
            edges.append(edge(code, run, "ran in"))
        edges.append(edge(run, content["id"], "produced"))
    elif version.snapshot:
        edges.append(edge(snapshot, content["id"], "trained"))
    nodes.append(content)
    nodes.append(
        node(
            me,
            f"{version.model} version {version.number}",
            time=version.created,
            created=version.created,
            created_by=version.created_by,
            deleted=version.deleted,
            **({"purged": version.purged} if version.purged is not None else {}),
        )
    )
    edges.append(edge(content["id"], me, "registered as"))
    for model, number in dict.fromkeys(version.parts):
        nodes.append(node(f"version/{model}/{number}", f"{model} version {number}"))
        edges.append(edge(f"version/{model}/{number}", me, "part of"))
    if version.stage != Stage.NONE:
        nodes.append(node(f"stage/{version.model}/{version.stage}", version.stage))
        edges.append(edge(me, f"stage/{version.model}/{version.stage}", "is"))
    for alias in sorted(version.aliases if aliases is None else aliases):
        nodes.append(node(f"alias/{version.model}/{alias}", alias))
        edges.append(edge(me, f"alias/{version.model}/{alias}", "is"))
    return {"nodes": nodes, "edges": edges}


def content_of(version: ModelVersion) -> Node:
    """What was registered: a package, a logged model, or whatever is at a URI; a copy comes from another version."""
    if version.native:
        return node(f"package/{version.digest}", f"package {version.digest[:12]}", size_bytes=version.size_bytes)
    detail: dict[str, Any] = {"size_bytes": version.size_bytes, "digest": version.digest} if version.digest else {}
    if version.source.startswith(f"{COPY}/") and version.source.rpartition("/")[2].isdigit():
        named = version.source.removeprefix(f"{COPY}/")
        return node(f"version/{named}", " version ".join(named.rsplit("/", 1)), **detail)
    if version.model_id:
        return node(f"logged_model/{version.model_id}", f"logged model {version.model_id[:14]}", **detail)
    elsewhere = {key: value for key, value in version.tags.items() if key.startswith("origin.")}
    label = f"archive of {elsewhere['origin.model']}" if elsewhere.get("origin.model") else version.source
    return node(f"source/{version.source}", label, **(detail | ({"elsewhere": elsewhere} if elsewhere else {})))


def join(graphs: Iterable[Lineage]) -> Lineage:
    """One graph of all; where two describe the same node, the details are merged and later ones win."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str, str], Edge] = {}
    for graph in graphs:
        for each in graph["nodes"]:
            known = nodes.get(each["id"])
            detail = {**(known["detail"] if known else {}), **each["detail"]}
            time = each["time"] if each["time"] is not None or known is None else known["time"]
            nodes[each["id"]] = {**each, "time": time, "detail": detail}
        for line in graph["edges"]:
            edges.setdefault((line["from"], line["to"], line["label"]), line)
    return {"nodes": list(nodes.values()), "edges": list(edges.values())}


def node(node_id: str, label: str, *, time: int | None = None, **detail: object) -> Node:
    """A record; its kind is in its id."""
    return {"id": node_id, "kind": node_id.split("/", 1)[0], "label": label, "time": time, "detail": detail}


def edge(start: str, end: str, label: str) -> Edge:
    """That one record came of another; the label reads from the first to the second."""
    return {"from": start, "to": end, "label": label}
