"""Verification: do the rows, the published files and the signed checkpoints still tell one story, and if not, from where on?

Three copies of each leaf are compared: the one its row gives, its hash in a tile, and its bytes in a bundle. Where the
tiles give the signed root they are the truth; where they do not, an entry that differs from both others was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import BailiwickError, Corrupted
from bailiwick.store.database import Database
from bailiwick.store.journal.changes import describe_change, describe_row
from bailiwick.store.journal.checkpoint import Statement, read_checkpoint
from bailiwick.store.journal.finding import PLACED
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.merkle import Frontier, leaf_hash
from bailiwick.store.journal.proofs import check_proof, prove
from bailiwick.store.journal.published import PublishedFiles
from bailiwick.store.journal.reader import entry_of
from bailiwick.store.journal.signer import Verifier
from bailiwick.store.journal.tables import checkpoints, entries
from bailiwick.store.journal.tiles import TILE_WIDTH, GrowingTree

__all__ = ["Verification", "check_proof", "prove", "verify"]

BATCH = 4 * TILE_WIDTH
MAX_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `size` and `root` (hex) are those of the checkpoint relied on; `pending` entries await their place."""

    ok: bool
    size: int
    root: str
    pending: int
    first_changed: str | None
    findings: tuple[str, ...]


def verify(database: Database, folder: Path, vkey: str) -> Verification:
    """Check everything against everything, in constant memory. Safe while sequencers run. Raises InvalidInput for a bad vkey."""
    check = _Check(LogFolder(folder), Verifier.parse(vkey))
    check.read_published()  # before the database, which may then only be ahead
    with database.read() as connection:
        check.read_checkpoints(connection)
        files = PublishedFiles(check.folder, check.size)
        check.walk(connection, files)
        check.judge(connection, files)
        return check.result()


class _Check:
    """One verification: each step adds what it found."""

    def __init__(self, folder: LogFolder, verifier: Verifier) -> None:
        self.folder = folder
        self.verifier = verifier
        self.findings: list[str] = []
        self.first_changed: str | None = None
        self.published: Statement | None = None
        self.signed: dict[int, bytes] = {}  # size to root, of checkpoints in the database whose signature holds
        self.placed = 0  # one more than the highest place of any row
        self.pending = 0
        self.suspect: int | None = None  # first place whose row differs from its tile
        self.outvoted: int | None = None  # first place whose row differs from its tile and its bundle
        self.broken_span: tuple[int, int] | None = None  # sizes between which the rows leave the signed roots
        self.rows_root: bytes | None = None
        self.tiles_root: bytes | None = None

    @property
    def authority(self) -> Statement | None:
        """The checkpoint to believe: the published one, or the newest row whose signature holds."""
        if self.published is not None or not self.signed:
            return self.published
        size = max(self.signed)
        return Statement(self.verifier.name, size, self.signed[size])

    @property
    def size(self) -> int:
        """How many entries the believed checkpoint speaks of."""
        return 0 if self.authority is None else self.authority.size

    @property
    def stored(self) -> int:
        """Size of the newest checkpoint in the database whose signature holds."""
        return max(self.signed, default=0)

    def read_published(self) -> None:
        try:
            note = self.folder.checkpoint()
            self.published = None if note is None else read_checkpoint(note, self.verifier)
        except Corrupted as error:
            self.findings.append(f"The published checkpoint cannot be relied on: {error.message}")

    def read_checkpoints(self, connection: Connection) -> None:
        pending = select(func.count()).select_from(entries).where(entries.c.leaf_index.is_(None))
        state = connection.execute(
            select(
                select(func.max(checkpoints.c.size)).scalar_subquery(),
                select(func.max(entries.c.leaf_index)).where(PLACED).scalar_subquery(),
                pending.scalar_subquery(),
            )
        ).one()
        self.placed, self.pending = 0 if state[1] is None else state[1] + 1, state[2]
        rows = select(checkpoints).where(checkpoints.c.size <= (state[0] or 0)).order_by(checkpoints.c.size)
        for row in connection.execute(rows):
            self._check_checkpoint(row)
        self._compare_checkpoints()

    def walk(self, connection: Connection, files: PublishedFiles) -> None:
        """One pass over the rows by place, growing the tree they give and looking at each file on the way."""
        tree, tiles, last_good = GrowingTree(), Frontier(), 0
        for place, row in _rows_by_place(connection, max(self.size, self.stored)):
            leaf = _leaf_of(row)
            tree.append(leaf or b"")
            if place < self.size:
                self._vote(place, leaf, files)
                tiles.append(files.hash_at(place) or bytes(32))
            if tree.size in self.signed and self.broken_span is None:
                if tree.root() == self.signed[tree.size]:
                    last_good = tree.size
                else:
                    self.broken_span = (last_good, tree.size)
            finished = tree.take_finished()
            if tree.size <= self.size:
                files.compare(finished)
            if tree.size == self.size:
                files.compare(tree.unfinished())
                self.rows_root, self.tiles_root = tree.root(), tiles.root()

    def judge(self, connection: Connection, files: PublishedFiles) -> None:
        authority = self.authority
        if authority is None:
            self._judge_unsigned()
        elif self.rows_root == authority.root or authority.size == 0:
            self.findings += files.differences
        else:
            self.findings.append(f"The {authority.size} entries no longer give the root that was signed.")
            trusted = self.tiles_root == authority.root
            if not trusted:
                self.findings.append("The published tiles do not give the signed root either.")
            place = self.suspect if trusted else self.outvoted
            if place is not None:
                self.first_changed = describe_change(connection, files, place)
        if self.broken_span is not None and self.first_changed is None:
            start, end = self.broken_span
            self.first_changed = f"one of the entries at places {start} to {end - 1}"
            self.findings.append(f"The first {end} entries do not give the root that was signed for them.")
        self._find_inserted(connection)

    def result(self) -> Verification:
        authority = self.authority
        if self.first_changed is not None:
            self.findings.insert(0, f"First change: {self.first_changed}.")
        listed = self.findings[:MAX_FINDINGS]
        if len(self.findings) > MAX_FINDINGS:
            listed.append(f"… and {len(self.findings) - MAX_FINDINGS} more.")
        return Verification(
            ok=not self.findings,
            size=self.size,
            root="" if authority is None else authority.root.hex(),
            pending=self.pending,
            first_changed=self.first_changed,
            findings=tuple(listed),
        )

    def _check_checkpoint(self, row: Row[Any]) -> None:
        try:
            statement = read_checkpoint(row.note, self.verifier)
        except Corrupted as error:
            self.findings.append(f"The checkpoint of size {row.size} in the database: {error.message}")
            return
        if (statement.size, statement.root) == (row.size, bytes(row.root)):
            self.signed[row.size] = statement.root
        else:
            self.findings.append(f"The checkpoint of size {row.size} in the database is not what was signed.")

    def _compare_checkpoints(self) -> None:
        published = self.published
        if published is None:
            if self.stored and not self.findings:
                self.findings.append("The published checkpoint is missing.")
        elif published.size > self.stored:
            self.findings.append(f"The database knows only {self.stored} of {published.size} published entries.")
        elif published.size not in self.signed:
            self.findings.append(f"The published checkpoint of size {published.size} is not in the database.")
        elif self.signed[published.size] != published.root:
            self.findings.append(f"Two different roots were signed for size {published.size}: the log was forked.")

    def _vote(self, place: int, leaf: bytes | None, files: PublishedFiles) -> None:
        own = None if leaf is None else leaf_hash(leaf)
        in_tile, in_bundle = files.hash_at(place), files.leaf_hash_at(place)
        if own != in_tile and self.suspect is None:
            self.suspect = place
        if own is None or own not in {in_tile, in_bundle}:
            self.outvoted = place if self.outvoted is None else self.outvoted

    def _judge_unsigned(self) -> None:
        if self.placed and not self.stored:
            self.findings.append("Entries have places, but no checkpoint was signed for them.")

    def _find_inserted(self, connection: Connection) -> None:
        end = max(self.stored, self.size)
        if self.placed <= end:
            return
        query = select(entries).where(entries.c.leaf_index >= end).order_by(entries.c.leaf_index).limit(1)
        row = connection.execute(query).one()
        self.findings.append(f"{self.placed - end} places beyond the newest checkpoint are taken.")
        if self.first_changed is None:
            self.first_changed = f"{describe_row(row)} was inserted at place {row.leaf_index}"


def _rows_by_place(connection: Connection, end: int) -> Iterator[tuple[int, Row[Any] | None]]:
    for start in range(0, end, BATCH):
        stop = min(start + BATCH, end)
        query = select(entries).where(entries.c.leaf_index >= start, entries.c.leaf_index < stop)
        found = {row.leaf_index: row for row in connection.execute(query)}
        for place in range(start, stop):
            yield place, found.get(place)


def _leaf_of(row: Row[Any] | None) -> bytes | None:
    """The leaf that a row gives; None for a row that is missing, unreadable or not in canonical form."""
    if row is None:
        return None
    try:
        entry = entry_of(row)
        return entry.leaf() if canonical_json(entry.detail).decode() == row.detail else None
    except (BailiwickError, TypeError, ValueError):
        return None
