"""The sequencer gives each entry its place in the tree, signs a checkpoint, and publishes the files.

The order is: commit places and checkpoint in one transaction, then write tiles, then the checkpoint file. The files
follow from the rows alone, so a process that dies in between leaves nothing that the next call cannot finish. Before
the tree is extended, the rows or tiles it is extended from must give the root that was signed last: a changed journal
is never signed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.clock import Clock, system_clock
from bailiwick.core.errors import Corrupted
from bailiwick.store.database import Database
from bailiwick.store.journal.checkpoint import Statement, read_checkpoint
from bailiwick.store.journal.finding import waiting
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.merkle import EMPTY_ROOT
from bailiwick.store.journal.model import Checkpoint, Entry
from bailiwick.store.journal.reader import JournalReader, entry_of
from bailiwick.store.journal.signer import Signer
from bailiwick.store.journal.tables import checkpoints, entries
from bailiwick.store.journal.tiles import GrowingTree

BATCH = 10_000
VERIFY_HINT = "Run `bailiwick audit verify` to see what was changed."


class Sequencer:
    """Many may run, on one folder or on several: a folder's lock and the database's let one extend the tree at a time."""

    def __init__(self, database: Database, folder: Path, signer: Signer, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._folder = LogFolder(folder)
        self._signer = signer
        self._clock = clock
        self._reader = JournalReader(database)

    def integrate(self, limit: int = BATCH) -> int:
        """Place up to `limit` waiting entries, oldest first, and publish. Returns how many were placed.

        Raises Corrupted when what was signed before no longer follows from the rows, Unavailable when a disk is full.
        """
        with self._folder.locked():
            while True:
                tree = self._caught_up()
                found = self._waiting(limit)
                if not found:
                    return 0
                start = tree.size
                for entry in found:
                    tree.append(entry.leaf())
                signed = self._sign(tree)
                if self._commit(start, found, signed):
                    self._publish(tree, signed)
                    return len(found)

    def rebuild(self) -> int:
        """Write every file again from the rows, e.g. after files were lost. Returns the size of the tree.

        Raises Corrupted, and writes no checkpoint, when the rows do not give the signed root.
        """
        with self._folder.locked():
            signed = self._reader.checkpoint()
            return 0 if signed is None else self._replay(GrowingTree(), signed).size

    def _caught_up(self) -> GrowingTree:
        """The tree of the newest checkpoint, with the folder brought up to it."""
        signed = self._reader.checkpoint()
        published = self._published()
        if signed is None:
            if published.size:
                raise Corrupted(_truncated(published.size, 0), hint=VERIFY_HINT)
            return GrowingTree()
        self._check(signed)
        if published.size > signed.size:
            raise Corrupted(_truncated(published.size, signed.size), hint=VERIFY_HINT)
        tree = self._edge(published)
        return tree if tree.size == signed.size and tree.root() == signed.root else self._replay(tree, signed)

    def _published(self) -> Statement:
        note = self._folder.checkpoint()
        if note is None:
            return Statement(self._signer.verifier.name, 0, EMPTY_ROOT)
        return read_checkpoint(note, self._signer.verifier)

    def _edge(self, published: Statement) -> GrowingTree:
        """The right edge on disk; an empty tree, to replay from, when its files were lost or damaged."""
        try:
            tree = self._folder.tree(published.size)
        except Corrupted:
            return GrowingTree()
        return tree if tree.root() == published.root else GrowingTree()

    def _check(self, signed: Checkpoint) -> None:
        if read_checkpoint(signed.note, self._signer.verifier) != self._statement(signed.size, signed.root):
            raise Corrupted(f"The checkpoint of size {signed.size} does not say what was signed.", hint=VERIFY_HINT)

    def _replay(self, tree: GrowingTree, signed: Checkpoint) -> GrowingTree:
        """Grow `tree` with the placed rows up to `signed`, and publish what comes of it."""
        for batch in placed_entries(self._database, tree.size, signed.size):
            for entry in batch:
                tree.append(entry.leaf())
            self._folder.publish(tree.take_finished())
        if (tree.size, tree.root()) != (signed.size, signed.root):
            raise Corrupted(
                f"The journal's {signed.size} entries no longer give the root that was signed; it is not extended.",
                hint=VERIFY_HINT,
            )
        self._publish(tree, signed)
        return tree

    def _waiting(self, limit: int) -> list[Entry]:
        query = select(entries).where(waiting(self._database.dialect)).order_by(entries.c.number).limit(limit)
        with self._database.read() as connection:
            return [entry_of(row) for row in connection.execute(query)]

    def _sign(self, tree: GrowingTree) -> Checkpoint:
        root = tree.root()
        note = self._signer.sign(self._statement(tree.size, root).text())
        return Checkpoint(tree.size, root, self._clock(), note)

    def _statement(self, size: int, root: bytes) -> Statement:
        return Statement(self._signer.verifier.name, size, root)

    def _commit(self, start: int, found: list[Entry], signed: Checkpoint) -> bool:
        """Whether the places were taken; False when another sequencer extended the tree since we looked."""
        places = [{"_number": entry.number, "_place": start + offset} for offset, entry in enumerate(found)]
        place = update(entries).where(entries.c.number == bindparam("_number"), entries.c.leaf_index.is_(None))
        try:
            with self._database.write() as connection:
                _lock(connection)
                if (connection.scalar(select(func.max(checkpoints.c.size))) or 0) != start:
                    return False
                connection.execute(place.values(leaf_index=bindparam("_place")), places)
                _require_all_placed(connection, start, len(found))
                connection.execute(
                    insert(checkpoints).values(size=signed.size, root=signed.root, time=signed.time, note=signed.note)
                )
        except IntegrityError:  # the primary key of checkpoints and the uniqueness of places are the second wall
            return False
        return True

    def _publish(self, tree: GrowingTree, signed: Checkpoint) -> None:
        self._folder.publish([*tree.take_finished(), *tree.unfinished()], signed.note)


def placed_entries(database: Database, start: int, end: int) -> Iterator[list[Entry]]:
    """Entries of places [start, end) in order, in batches that fit in memory. Raises Corrupted for an unreadable row."""
    while start < end:
        stop = min(start + BATCH, end)
        query = (
            select(entries)
            .where(entries.c.leaf_index >= start, entries.c.leaf_index < stop)
            .order_by(entries.c.leaf_index)
        )
        with database.read() as connection:
            yield [entry_of(row) for row in connection.execute(query)]
        start = stop


def _require_all_placed(connection: Connection, start: int, count: int) -> None:
    placed = connection.scalar(select(func.count()).select_from(entries).where(entries.c.leaf_index >= start))
    if placed != count:
        raise Corrupted(f"Of {count} waiting entries {placed} could be placed: rows were deleted.", hint=VERIFY_HINT)


def _lock(connection: Connection) -> None:
    """SQLite has one writer already; PostgreSQL waits here, while readers go on."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {checkpoints.name} IN EXCLUSIVE MODE")


def _truncated(published: int, stored: int) -> str:
    return (
        f"The published journal has {published} entries and the database only {stored}: it was truncated or restored."
    )
