"""Story: the model card of a version, put together from what each domain measured."""

from __future__ import annotations

from bailiwick.core.clock import to_text
from bailiwick.core.errors import NotFound
from bailiwick.governance.cards import ModelCard, build_card
from bailiwick.lifecycle.platform import Platform


def model_card(platform: Platform, workspace: str, model: str, number: int) -> ModelCard:
    """The card of one version: its data, metrics by slice, parity, lineage and approvals. Raises NotFound."""
    version = platform.registry.version(workspace, model, number)
    requests = platform.governance.requests(workspace, model=model)
    return build_card(
        version,
        lineage=platform.registry.lineage(workspace, model, number),
        data=_data(platform, workspace, version.snapshot),
        approvals=[request for request in requests if request.number == number],
    )


def _data(platform: Platform, workspace: str, snapshot_id: str) -> dict[str, object]:
    """Facts about the snapshot; empty where it was erased since."""
    try:
        snapshot = platform.data.snapshot(workspace, snapshot_id)
    except NotFound:
        return {}
    facts: dict[str, object] = {"dataset": snapshot.dataset, "digest": snapshot.digest, "rows": snapshot.rows}
    if snapshot.time_from is not None and snapshot.time_to is not None:
        facts |= {"from": to_text(snapshot.time_from), "to": to_text(snapshot.time_to)}
    return facts | {"columns": len(snapshot.columns), "source": snapshot.source}
