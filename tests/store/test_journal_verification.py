"""Verification notices every change of every column and of every file, and names the first entry that was changed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.store.database import Database
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.journal.tables import checkpoints, entries
from bailiwick.store.journal.tiles import GrowingTree
from bailiwick.store.journal.verification import Verification, verify
from bailiwick.store.records import Records

SIGNER = Signer("test/journal", bytes(range(32)))
SIZE = 270
PLACE = 261

CHANGES: dict[str, Any] = {
    "number": 5000,
    "id": "f" * 32,
    "workspace": "elsewhere",
    "time": 1,
    "identity": "u-nobody",
    "actor": "nobody",
    "action": "thing.unmade",
    "resource": "thing/other",
    "detail": '{"number":-1}',
    "salt": bytes(16),
    "leaf_index": 9000,
}


class Log:
    """A published journal of 270 entries in two checkpoints, to be spoiled."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def verify(self) -> Verification:
        return verify(self.database, self.folder, SIGNER.vkey)

    def row(self, place: int) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(entries).where(entries.c.leaf_index == place)).one()

    def change(self, place: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(entries).where(entries.c.leaf_index == place).values(**values))

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock")


@pytest.fixture
def log(records: Records, admin: Actor, tmp_path: Path) -> Log:
    sequencer = Sequencer(records.database, tmp_path / "journal", SIGNER)
    for count in (258, SIZE - 258):
        with records.change(admin, Permission.DATA_WRITE) as change:
            for number in range(count):
                change.record("thing.made", f"thing/{number}", number=number)
        sequencer.integrate()
    return Log(records.database, tmp_path / "journal")


def test_an_untouched_log_is_whole(log: Log) -> None:
    found = log.verify()
    assert (found.ok, found.size, found.pending, found.first_changed, found.findings) == (True, SIZE, 0, None, ())
    assert len(found.root) == 64


def test_waiting_entries_are_counted_and_no_fault(log: Log, records: Records, admin: Actor) -> None:
    with records.change(admin, Permission.DATA_WRITE) as change:
        change.record("thing.made", "thing/new")
    found = log.verify()
    assert (found.ok, found.size, found.pending) == (True, SIZE, 1)


def test_the_table_of_changes_covers_every_column() -> None:
    assert set(CHANGES) == {column.name for column in entries.columns}


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_names_the_entry(log: Log, column: str) -> None:
    before = log.row(PLACE)
    log.change(PLACE, **{column: CHANGES[column]})
    log.change(SIZE - 1, actor="somebody else")  # a later change does not hide the first
    found = log.verify()
    assert not found.ok
    assert found.first_changed is not None
    assert before.id in found.first_changed
    assert ("was changed" in found.first_changed) == (column not in {"id", "leaf_index"})
    assert found.findings[0] == f"First change: {found.first_changed}."


@pytest.mark.parametrize(
    "detail", ["", "[]", "{", r'{"\ud800":1}', '{"number": 3}', '{"number":NaN}', '{"number":3,"number":3}']
)
def test_a_detail_that_is_unreadable_or_merely_rewritten_is_a_change(log: Log, detail: str) -> None:
    before = log.row(PLACE)
    log.change(PLACE, detail=detail)
    first = log.verify().first_changed
    assert first is not None
    assert first == f"entry {before.number} ({before.id}, 2025-06-15T15:06:40.000Z, thing.made, thing/3) was changed"


@pytest.mark.parametrize("place", [0, PLACE, SIZE - 1])
def test_a_deleted_entry_is_named_by_what_was_published(log: Log, place: int) -> None:
    gone = log.row(place)
    with log.database.write() as connection:
        connection.execute(delete(entries).where(entries.c.leaf_index == place))
    found = log.verify()
    expected = f"the entry at place {place} ({gone.id}, 2025-06-15T15:06:40.000Z, thing.made) was deleted"
    assert (found.ok, found.first_changed) == (False, expected)


def test_a_deletion_with_the_gap_closed_is_named(log: Log) -> None:
    gone = log.row(PLACE)
    with log.database.write() as connection:
        connection.execute(delete(entries).where(entries.c.leaf_index == PLACE))
    for place in range(PLACE + 1, SIZE):
        log.change(place, leaf_index=place - 1)
    first = log.verify().first_changed
    assert first is not None
    assert gone.id in first
    assert first.endswith("was deleted")


def test_an_entry_exchanged_for_another_is_named_with_its_replacement(log: Log) -> None:
    gone = log.row(PLACE)
    log.change(PLACE, id="e" * 32)
    first = log.verify().first_changed
    assert first is not None
    assert gone.id in first
    assert "e" * 32 in first
    assert first.endswith("put in its place")


def test_an_insertion_with_the_rest_moved_up_is_named(log: Log) -> None:
    for place in range(SIZE - 1, PLACE - 1, -1):
        log.change(place, leaf_index=place + 1)
    _insert(log, PLACE)
    first = log.verify().first_changed
    assert first is not None
    assert first.startswith("entry 900 (" + "d" * 32)
    assert first.endswith(f"was inserted at place {PLACE}")


def test_an_insertion_at_the_end_is_named(log: Log) -> None:
    _insert(log, SIZE)
    found = log.verify()
    assert not found.ok
    assert "d" * 32 in (found.first_changed or "")


def test_two_entries_exchanged_are_named_as_moved(log: Log) -> None:
    first, other = log.row(PLACE), PLACE + 4
    log.change(PLACE, leaf_index=9999)
    log.change(other, leaf_index=PLACE)
    log.change(9999, leaf_index=other)
    assert log.verify().first_changed == (
        f"entry {first.number} ({first.id}, 2025-06-15T15:06:40.000Z, thing.made, thing/3)"
        f" was moved from place {PLACE}: it is now at place {other}"
    )


def test_an_entry_taken_out_of_the_tree_is_named(log: Log) -> None:
    taken = log.row(PLACE)
    log.change(PLACE, leaf_index=None)
    found = log.verify()
    assert (found.ok, found.pending) == (False, 1)
    assert taken.id in (found.first_changed or "")
    assert "now nowhere" in (found.first_changed or "")


def test_a_changed_byte_or_a_lost_end_of_any_file_is_noticed(log: Log) -> None:
    dice = random.Random(7)
    names = [path.relative_to(log.folder).as_posix() for path in log.files()]
    assert names == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/14",
        "tile/0/001.p/2",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/14",
        "tile/entries/001.p/2",
    ]
    for path, name in zip(log.files(), names, strict=True):
        whole = path.read_bytes()
        for _ in range(4):
            place = dice.randrange(len(whole))
            changed = whole[:place] + bytes([whole[place] ^ (1 << dice.randrange(8))]) + whole[place + 1 :]
            for spoiled in (changed, whole[:place], whole + whole[:1]):
                path.write_bytes(spoiled)
                found = log.verify()
                assert not found.ok, (name, place)
                assert found.first_changed is None, "the entries themselves are as they were"
                assert any(name in finding for finding in found.findings)
        path.write_bytes(whole)
    assert log.verify().ok


def test_a_lost_file_is_noticed_unless_a_later_one_covers_it(log: Log) -> None:
    for path in log.files():
        whole = path.read_bytes()
        path.unlink()
        assert log.verify().ok is (path.name == "2"), path
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "values", [{"size": 269}, {"root": bytes(32)}, {"note": "x"}, {"note": "log\n1\n\n— a AAAAAAAA\n"}]
)
def test_a_changed_checkpoint_row_is_noticed(log: Log, values: dict[str, Any]) -> None:
    for size in (258, SIZE):
        with log.database.write() as connection:
            before = connection.execute(select(checkpoints).where(checkpoints.c.size == size)).one()
            connection.execute(update(checkpoints).where(checkpoints.c.size == size).values(**values))
        found = log.verify()
        assert not found.ok
        assert found.first_changed is None
        with log.database.write() as connection:
            connection.execute(
                update(checkpoints)
                .where(checkpoints.c.time == before.time, checkpoints.c.size == values.get("size", size))
                .values(size=size, root=before.root, note=before.note)
            )
    assert log.verify().ok


def test_a_deleted_newest_checkpoint_row_is_noticed(log: Log) -> None:
    with log.database.write() as connection:
        connection.execute(delete(checkpoints).where(checkpoints.c.size == SIZE))
    assert any("knows only 258 of 270" in finding for finding in log.verify().findings)


def test_a_log_signed_by_another_key_is_not_believed(log: Log) -> None:
    other = Signer("test/journal", bytes(32))
    found = verify(log.database, log.folder, other.vkey)
    assert (found.ok, found.size, found.root) == (False, 0, "")
    with pytest.raises(InvalidInput):
        verify(log.database, log.folder, "nonsense")


def test_rows_and_files_changed_together_do_not_fit_the_signature(log: Log) -> None:
    log.change(PLACE, actor="nobody")
    _republish(log)
    found = log.verify()
    assert not found.ok
    assert found.first_changed == "one of the entries at places 258 to 269"


def test_a_changed_row_is_named_even_when_tiles_are_damaged_too(log: Log) -> None:
    changed = log.row(PLACE)
    log.change(PLACE, actor="nobody")
    tile = log.folder / "tile/0/000"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    found = log.verify()
    assert changed.id in (found.first_changed or "")
    assert any("tiles do not give the signed root" in finding for finding in found.findings)


def test_a_bundle_changed_to_fit_a_changed_row_does_not_hide_it(log: Log) -> None:
    changed = log.row(PLACE)
    log.change(PLACE, time=5)
    spoiled = log.folder / "copy"
    shutil.copytree(log.folder / "tile/0", spoiled)
    _republish(log)
    shutil.rmtree(log.folder / "tile/0")
    spoiled.rename(log.folder / "tile/0")
    assert changed.id in (log.verify().first_changed or "")


def test_a_fork_signed_with_the_same_key_is_noticed(log: Log) -> None:
    root = bytes(32)
    note = SIGNER.sign(f"test/journal\n{SIZE}\n{'A' * 43}=\n")
    with log.database.write() as connection:
        connection.execute(update(checkpoints).where(checkpoints.c.size == SIZE).values(root=root, note=note))
    assert any("forked" in finding for finding in log.verify().findings)


def _insert(log: Log, place: int) -> None:
    values = dict(log.row(0)._mapping)
    values.update(number=900, id="d" * 32, leaf_index=place)
    with log.database.write() as connection:
        connection.execute(insert(entries).values(**values))


def _republish(log: Log) -> None:
    """Write all tiles from the rows as they are now, as one who may write files but has no key would."""
    from bailiwick.store.journal.reader import entry_of

    tree = GrowingTree()
    for place in range(SIZE):
        tree.append(entry_of(log.row(place)).leaf())
    shutil.rmtree(log.folder / "tile")
    LogFolder(log.folder).publish([*tree.take_finished(), *tree.unfinished()])
