"""Which snapshots there are: found by id, digest, name or time; named, tagged, deleted and restored."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.clock import from_text, to_text
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from bailiwick.data import tables as sql
from bailiwick.data.model import Labels, Snapshot
from bailiwick.data.rows import from_row, to_row
from bailiwick.store.records import Change, Records

NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,199}")
_SHORT_DIGESTS = (36, 16)
_WORDS_PER_QUERY = 5_000
_LONGEST_TAG = 5_000
INSPECTION = "inspection"
"""The tag that holds the digest of what an inspection found; only an inspection sets it."""
_ID = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d.*|\d{11,}")


class SnapshotCatalogue:
    """The records of snapshots. A deleted one is in no list and cannot be read, but can be looked at and restored."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def snapshot(self, workspace: str, snapshot_id: str) -> Snapshot:
        """One snapshot, deleted or not. Raises NotFound."""
        query = select(sql.snapshots).where(sql.snapshots.c.workspace == workspace, sql.snapshots.c.id == snapshot_id)
        with self._records.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFound.of("Snapshot", snapshot_id)
        return from_row(row)

    def snapshots(self, workspace: str, dataset: str | None = None) -> list[Snapshot]:
        """Snapshots of one dataset or of all, newest first."""
        query = _kept(workspace)
        if dataset is not None:
            query = query.where(sql.snapshots.c.dataset == dataset)
        with self._records.read() as connection:
            return [from_row(row) for row in connection.execute(query).mappings()]

    def snapshots_named(self, workspace: str, words: Collection[str]) -> dict[str, str]:
        """The snapshot's id by word, where a word is a snapshot's id, its digest, or the first 36 or 16 digits of that.

        Short forms are there because MLflow's digests have at most 36 characters, and tables are called by 16.
        """
        columns = sql.snapshots.c
        short = [func.substr(columns.digest, 1, length) for length in _SHORT_DIGESTS]
        asked = sorted(words)[:_WORDS_PER_QUERY]
        known = or_(*[form.in_(asked) for form in (columns.id, columns.digest, *short)])
        query = select(columns.id, columns.digest).where(columns.workspace == workspace, known)
        found: dict[str, str] = {}
        with self._records.read() as connection:
            for row in connection.execute(query.order_by(columns.created, columns.id)):
                forms = (row.id, row.digest, *(row.digest[:length] for length in _SHORT_DIGESTS))
                found |= {form: row.id for form in forms if form in words}
        return found

    def datasets(self, workspace: str) -> list[str]:
        """Names of the datasets that have a snapshot, in order."""
        query = select(sql.snapshots.c.dataset).distinct()
        query = query.where(sql.snapshots.c.workspace == workspace, sql.snapshots.c.deleted.is_(None))
        with self._records.read() as connection:
            return sorted(connection.scalars(query))

    def as_of(self, workspace: str, dataset: str, time: int) -> Snapshot:
        """The newest snapshot of a dataset that existed at `time` (UTC milliseconds). Raises NotFound."""
        columns = sql.snapshots.c
        query = select(sql.snapshots).where(columns.workspace == workspace, columns.dataset == dataset)
        query = query.where(columns.created <= time, or_(columns.deleted.is_(None), columns.deleted > time))
        with self._records.read() as connection:
            row = (
                connection.execute(query.order_by(columns.created.desc(), columns.id.desc()).limit(1))
                .mappings()
                .first()
            )
        if row is None:
            raise NotFound(f"Dataset {dataset!r} had no snapshot at {to_text(time)}.")
        return from_row(row)

    def tables_of(self, workspace: str, dataset: str) -> set[str]:
        """Every table that a snapshot of the dataset is in, deleted or not."""
        query = select(sql.snapshots).where(sql.snapshots.c.workspace == workspace, sql.snapshots.c.dataset == dataset)
        with self._records.read() as connection:
            found = [from_row(row) for row in connection.execute(query).mappings()]
        return {part.table for snapshot in found for part in snapshot.parts}

    def find(self, workspace: str, word: str, *, deleted: bool = False) -> Snapshot:
        """The snapshot that a person means: an id or a digest, 4 or more digits of how one ends or begins, `DATASET@NAME`,
        `DATASET@latest`, or `DATASET@TIME` (ISO 8601 or UTC milliseconds). Raises NotFound, InvalidInput.

        `deleted` looks for digits among those that are deleted, and not among the others.
        """
        dataset, at, which = word.partition("@")
        if at:
            return self._called(workspace, dataset, which)
        if _ID.fullmatch(word):
            return self.snapshot(workspace, word)
        if not re.fullmatch(r"[0-9a-f]{4,64}", word):
            raise InvalidInput(
                f"{word!r} names no snapshot.",
                hint="Give an id or digest (4 digits or more of it), DATASET@NAME, DATASET@latest or DATASET@TIME.",
            )
        columns = sql.snapshots.c
        patterns = (f"{word}%", f"%{word}")
        matches = or_(*(column.like(pattern) for column in (columns.id, columns.digest) for pattern in patterns))
        query = _kept(workspace, deleted=deleted).where(matches)
        with self._records.read() as connection:
            found = [from_row(row) for row in connection.execute(query.limit(2)).mappings()]
        if len(found) > 1:
            raise InvalidInput(f"{word!r} may be several snapshots.", hint="Give more digits.")
        if not found:
            raise NotFound.of("Snapshot", word)
        return found[0]

    def labels(self, workspace: str, snapshot_id: str) -> Labels:
        """Names and tags of a snapshot."""
        names = select(sql.snapshot_names.c.name).where(
            sql.snapshot_names.c.workspace == workspace, sql.snapshot_names.c.snapshot == snapshot_id
        )
        tags = select(sql.snapshot_tags.c.key, sql.snapshot_tags.c.value).where(
            sql.snapshot_tags.c.workspace == workspace,
            sql.snapshot_tags.c.snapshot == snapshot_id,
            sql.snapshot_tags.c.key != INSPECTION,
        )
        with self._records.read() as connection:
            named = tuple(sorted(connection.scalars(names)))
            return Labels(
                named, {row.key: row.value for row in connection.execute(tags.order_by(sql.snapshot_tags.c.key))}
            )

    def name_snapshot(self, actor: Actor, snapshot_id: str, name: str, *, move: bool = True) -> Snapshot:
        """Call a snapshot `DATASET@name`; a name that another snapshot of the dataset has is moved.

        Raises NotFound, and AlreadyExists without `move` for a name that another has.
        """
        if not NAME.fullmatch(name) or name == "latest" or _TIME.fullmatch(name):
            raise InvalidInput(
                f"Name {name!r} may hold only a-z 0-9 _ . - and begins with a letter or digit; "
                "`latest` and times mean something already."
            )
        with self._records.change(actor, Permission.DATA_WRITE) as change:
            found = _locked(change, snapshot_id)
            before = _unnamed(change, found.dataset, name)
            if before not in {"", found.id} and not move:
                raise AlreadyExists(
                    f"{found.dataset}@{name} is snapshot {before}.",
                    hint="Choose another name, or have this one moved.",
                )
            row = {"workspace": actor.workspace, "dataset": found.dataset, "name": name, "snapshot": found.id}
            change.execute(insert(sql.snapshot_names).values(**row))
            change.record("snapshot.named", f"dataset/{found.dataset}", snapshot=found.id, name=name, before=before)
        return found

    def unname_snapshot(self, actor: Actor, dataset: str, name: str) -> Snapshot:
        """Take a name away; returns the snapshot that had it, deleted or not. Raises NotFound naming those that there are."""
        with self._records.change(actor, Permission.DATA_WRITE) as change:
            before = _unnamed(change, dataset, name)
            if not before:
                columns = sql.snapshot_names.c
                mine = (columns.workspace == change.workspace, columns.dataset == dataset)
                raise NotFound.of(
                    f"Snapshot of {dataset!r} called", name, change.execute(select(columns.name).where(*mine)).scalars()
                )
            change.record("snapshot.unnamed", f"dataset/{dataset}", snapshot=before, name=name)
        return self.snapshot(actor.workspace, before)

    def tag_snapshot(self, actor: Actor, snapshot_id: str, key: str, value: str | None) -> Snapshot:
        """Set a tag, or remove it with None; doing so again changes nothing. Raises NotFound, InvalidInput."""
        if not 0 < len(key) <= 200 or len(value or "") > _LONGEST_TAG:
            raise InvalidInput(
                f"A tag's key has 1 to 200 characters, its value at most {_LONGEST_TAG}; {key[:50]!r} does not fit."
            )
        if key == INSPECTION:
            raise InvalidInput(f"Tag {key!r} is kept for what inspections find.", hint="Choose another key.")
        with self._records.change(actor, Permission.DATA_WRITE) as change:
            found = _locked(change, snapshot_id)
            tag(change, found, key, value)
            change.record(
                "snapshot.tagged" if value is not None else "snapshot.untagged",
                f"dataset/{found.dataset}",
                snapshot=found.id,
                key=key,
            )
        return found

    def keep_inspection(self, actor: Actor, snapshot_id: str, digest: str, *, failed: Sequence[str]) -> None:
        """Say what an inspection of a snapshot found: a blob's digest, and the names of what failed. Raises NotFound."""
        with self._records.change(actor, Permission.DATA_WRITE) as change:
            found = _locked(change, snapshot_id, kept=False)
            tag(change, found, INSPECTION, digest)
            change.record("snapshot.inspected", f"dataset/{found.dataset}", snapshot=found.id, failed=list(failed))

    def inspection(self, workspace: str, snapshot_id: str) -> str:
        """The digest of what the last inspection of a snapshot found; "" where there was none."""
        tags = sql.snapshot_tags.c
        query = select(tags.value).where(
            tags.workspace == workspace, tags.snapshot == snapshot_id, tags.key == INSPECTION
        )
        with self._records.read() as connection:
            return str(connection.execute(query).scalar() or "")

    def inspected_before(self, snapshot: Snapshot, *, limit: int) -> list[tuple[Snapshot, str]]:
        """Snapshots of the same dataset that were kept earlier and inspected, newest first, with the findings' digests."""
        columns, tags = sql.snapshots.c, sql.snapshot_tags.c
        same_time = and_(columns.created == snapshot.created, columns.id < snapshot.id)
        earlier = or_(columns.created < snapshot.created, same_time)
        query = (
            select(sql.snapshots, tags.value.label("inspection"))
            .join(sql.snapshot_tags, (tags.snapshot == columns.id) & (tags.key == INSPECTION))
            .where(columns.workspace == snapshot.workspace, columns.dataset == snapshot.dataset)
            .where(columns.deleted.is_(None), earlier)
            .order_by(columns.created.desc(), columns.id.desc())
            .limit(limit)
        )
        with self._records.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        digests = [str(row.pop("inspection")) for row in rows]
        return [(from_row(row), digest) for row, digest in zip(rows, digests, strict=True)]

    def delete_snapshot(self, actor: Actor, snapshot_id: str, *, reason: str = "") -> Snapshot:
        """Hide a snapshot: it stays on record, in no list, and is not read. Its rows stay until they are purged.

        Raises NotFound, and Conflict while it has a name.
        """
        with self._records.change(actor, Permission.DATA_WRITE) as change:
            found = _locked(change, snapshot_id, kept=False)
            names = change.execute(
                select(sql.snapshot_names.c.name).where(sql.snapshot_names.c.snapshot == found.id)
            ).scalars().all()  # fmt: skip
            if names:
                raise Conflict(
                    f"Snapshot {found.id} is called {', '.join(sorted(names))}.",
                    hint="Move its names to another snapshot first (`bailiwick data name`), or take them away: "
                    f"`bailiwick data unname {found.dataset}@{min(names)}`.",
                )
            if found.deleted is None:
                _set_deleted(change, found, change.time)
            change.record("snapshot.deleted", f"dataset/{found.dataset}", snapshot=found.id, reason=reason[:500])
        return self.snapshot(actor.workspace, snapshot_id)

    def restore_snapshot(self, actor: Actor, snapshot_id: str) -> Snapshot:
        """Show a deleted snapshot again. Raises NotFound."""
        with self._records.change(actor, Permission.DATA_WRITE) as change:
            found = _locked(change, snapshot_id, kept=False)
            _set_deleted(change, found, None)
            change.record("snapshot.restored", f"dataset/{found.dataset}", snapshot=found.id)
        return self.snapshot(actor.workspace, snapshot_id)

    def _called(self, workspace: str, dataset: str, which: str) -> Snapshot:
        if which == "latest":
            kept = self.snapshots(workspace, dataset)
            if not kept:
                raise NotFound.of("Dataset", dataset, self.datasets(workspace))
            return kept[0]
        if _TIME.fullmatch(which):
            try:
                return self.as_of(workspace, dataset, int(which) if which.isdigit() else from_text(which))
            except ValueError as error:
                raise InvalidInput(f"{which!r} is not a time: {error}.", hint="Write e.g. 2026-11-25T08:00.") from error
        columns = sql.snapshot_names.c
        with self._records.read() as connection:
            named = connection.execute(
                select(columns.name, columns.snapshot).where(columns.workspace == workspace, columns.dataset == dataset)
            )
            known = {row.name: row.snapshot for row in named}
        if which not in known:
            raise NotFound.of(f"Snapshot of {dataset!r} called", which, [*known, "latest"])
        return self.snapshot(workspace, known[which])

    def _by_digest(self, workspace: str, dataset: str, digest: str) -> Snapshot | None:
        query = select(sql.snapshots).where(
            sql.snapshots.c.workspace == workspace,
            sql.snapshots.c.dataset == dataset,
            sql.snapshots.c.digest == digest,
        )
        with self._records.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else from_row(row)

    def _like(self, snapshot: Snapshot) -> list[Snapshot]:
        """Others of the dataset with as many rows, the same columns and the same statistics."""
        columns, row = sql.snapshots.c, to_row(snapshot)
        same = [columns[name] == row[name] for name in ("workspace", "dataset", "rows", "columns", "statistics")]
        with self._records.read() as connection:
            found = connection.execute(select(sql.snapshots).where(*same)).mappings()
            return [from_row(each) for each in found]


def _unnamed(change: Change, dataset: str, name: str) -> str:
    """The id of the snapshot that had the name, which is free now; "" where none had it."""
    columns = sql.snapshot_names.c
    place = (columns.workspace == change.workspace, columns.dataset == dataset, columns.name == name)
    before = change.execute(select(columns.snapshot).where(*place)).scalar()
    change.execute(delete(sql.snapshot_names).where(*place))
    return str(before or "")


def tag(change: Change, snapshot: Snapshot, key: str, value: str | None) -> None:
    """Set or remove one tag within a change."""
    columns = sql.snapshot_tags.c
    change.execute(delete(sql.snapshot_tags).where(columns.snapshot == snapshot.id, columns.key == key))
    if value is not None:
        row = {"snapshot": snapshot.id, "key": key, "workspace": snapshot.workspace, "value": value}
        change.execute(insert(sql.snapshot_tags).values(**row))


def _kept(workspace: str, *, deleted: bool = False) -> Any:
    columns = sql.snapshots.c
    state = columns.deleted.is_not(None) if deleted else columns.deleted.is_(None)
    query = select(sql.snapshots).where(columns.workspace == workspace, state)
    return query.order_by(columns.created.desc(), columns.id.desc())


def _locked(change: Change, snapshot_id: str, *, kept: bool = True) -> Snapshot:
    columns = sql.snapshots.c
    query = select(sql.snapshots).where(columns.workspace == change.workspace, columns.id == snapshot_id)
    row = change.execute(query.with_for_update()).mappings().first()
    if row is None:
        raise NotFound.of("Snapshot", snapshot_id)
    found = from_row(row)
    if kept and found.deleted is not None:
        raise Conflict(f"Snapshot {snapshot_id} was deleted.", hint="Restore it first.")
    return found


def _set_deleted(change: Change, snapshot: Snapshot, when: int | None) -> None:
    statement = update(sql.snapshots).where(sql.snapshots.c.id == snapshot.id).values(deleted=when)
    change.execute(statement)
