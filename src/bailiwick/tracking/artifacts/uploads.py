"""Rows of uploads in parts that are under way: what was begun by whom for which path, until it is joined or given up."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from bailiwick.store.records import Change
from bailiwick.tracking.artifacts.tables import uploads


@dataclass(frozen=True, slots=True)
class UploadUnderWay:
    """`key` is the object that the parts make in the store, `upload` what the store calls it."""

    id: str
    workspace: str
    place: str
    path: str
    key: str
    upload: str
    time: int
    created_by: str


def save_upload(change: Change, begun: UploadUnderWay) -> None:
    """Write the row."""
    change.execute(insert(uploads).values(asdict(begun)))


def load_upload(connection: Connection, workspace: str, upload_id: str) -> UploadUnderWay | None:
    """One upload of a workspace."""
    query = select(uploads).where(uploads.c.workspace == workspace, uploads.c.id == upload_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else UploadUnderWay(**row)


def stale_uploads(connection: Connection, place: str, *, begun_before: int, limit: int) -> list[UploadUnderWay]:
    """Those of all workspaces, oldest first."""
    query = select(uploads).where(uploads.c.place == place, uploads.c.time <= begun_before)
    rows = connection.execute(query.order_by(uploads.c.time, uploads.c.id).limit(limit)).mappings()
    return [UploadUnderWay(**row) for row in rows]


def erase_upload(change: Change, upload_id: str) -> bool:
    """Delete the row; whether there was one."""
    return bool(change.execute(delete(uploads).where(uploads.c.id == upload_id)).rowcount)
