"""The sequencer: places without gaps, one at a time, and nothing lost whenever it dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import delete, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, Corrupted, NotFound, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.store.database import Database
from bailiwick.store.journal import folder as folder_module
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.proofs import check_proof, prove
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.journal.tables import checkpoints, entries
from bailiwick.store.journal.verification import verify
from bailiwick.store.records import Records

SIGNER = Signer("test/journal", bytes(range(32)))


def append(records: Records, actor: Actor, count: int) -> list[str]:
    ids = []
    with records.change(actor, Permission.DATA_WRITE) as change:
        ids += [change.record("thing.made", f"thing/{number}", number=number) for number in range(count)]
    return ids


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def assert_whole(database: Database, folder: Path, size: int) -> None:
    found = verify(database, folder, SIGNER.vkey)
    assert (found.ok, found.size, found.pending, found.findings) == (True, size, 0, ())
    with database.read() as connection:
        places = connection.scalars(select(entries.c.leaf_index).order_by(entries.c.leaf_index)).all()
    assert list(places) == list(range(size))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def sequencer(database: Database, folder: Path) -> Sequencer:
    return Sequencer(database, folder, SIGNER)


def test_an_empty_journal_is_whole_and_has_no_checkpoint(
    sequencer: Sequencer, database: Database, folder: Path
) -> None:
    assert sequencer.integrate() == 0
    assert JournalReader(database).checkpoint() is None
    assert verify(database, folder, SIGNER.vkey).ok


def test_entries_get_their_places_in_order_and_in_batches(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database, folder: Path
) -> None:
    ids = append(records, admin, 300)
    assert [sequencer.integrate(128) for _ in range(4)] == [128, 128, 44, 0]
    assert_whole(database, folder, 300)
    with database.read() as connection:
        assert connection.scalars(select(entries.c.id).order_by(entries.c.leaf_index)).all() == ids


def test_any_batches_give_the_same_tree(records: Records, admin: Actor, database: Database, tmp_path: Path) -> None:
    append(records, admin, 515)
    first = Sequencer(database, tmp_path / "a", SIGNER)
    while first.integrate(100):
        pass
    second = Sequencer(database, tmp_path / "b", SIGNER)
    assert second.integrate() == 0
    one, other = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert other.items() <= one.items()
    assert one["checkpoint"] == other["checkpoint"]
    assert_whole(database, tmp_path / "b", 515)


def test_pages_and_filters_of_the_reader(records: Records, admin: Actor, stranger: Actor, database: Database) -> None:
    ids = append(records, admin, 5)
    append(records, stranger, 2)
    reader = JournalReader(database)
    page = reader.entries("default", limit=2)
    assert [entry.id for entry in page] == [ids[4], ids[3]]
    assert [entry.id for entry in reader.entries("default", limit=9, before=page[-1].number)] == ids[2::-1]
    assert [entry.id for entry in reader.entries("default", resource="thing/3")] == [ids[3]]
    assert reader.entries("default", action="thing.unmade") == []
    assert len(reader.entries("elsewhere", identity="u-stranger")) == 2
    assert reader.entry("default", ids[0]).detail == {"number": 0}
    with pytest.raises(NotFound):
        reader.entry("elsewhere", ids[0])


def test_a_proof_convinces_whoever_has_the_vkey(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database, folder: Path
) -> None:
    ids = append(records, admin, 20)
    with pytest.raises(Conflict, match="not in the published tree yet"):
        prove(database, folder, ids[7])
    sequencer.integrate()
    bundle = prove(database, folder, ids[7], workspace="default")
    assert check_proof(bundle, SIGNER.vkey).resource == "thing/7"
    with pytest.raises(NotFound):
        prove(database, folder, ids[7], workspace="elsewhere")
    with pytest.raises(NotFound):
        prove(database, folder, "0" * 32)
    for forged in (
        {**bundle, "entry": {**bundle["entry"], "resource": "thing/8"}},
        {**bundle, "entry": {**bundle["entry"], "more": 1}},
        {**bundle, "index": 8},
        {**bundle, "proof": bundle["proof"][:-1]},
        {**bundle, "salt": "AAAA"},
        {**bundle, "salt": "!"},
        {**bundle, "checkpoint": bundle["checkpoint"].replace("\n20\n", "\n21\n")},
        {key: value for key, value in bundle.items() if key != "proof"},
    ):
        with pytest.raises(Corrupted):
            check_proof(forged, SIGNER.vkey)


@pytest.mark.parametrize("shared", [True, False], ids=["one folder", "two folders"])
def test_racing_sequencers_give_every_entry_one_place(
    records: Records, admin: Actor, database: Database, tmp_path: Path, *, shared: bool
) -> None:
    folders = [tmp_path / "one", tmp_path / ("one" if shared else "two")]

    def work(folder: Path) -> int:
        sequencer, placed = Sequencer(database, folder, SIGNER), 0
        for _ in range(12):
            append(records, admin, 7)
            placed += sequencer.integrate(5)
        return placed

    with ThreadPoolExecutor(2) as pool:
        placed = sum(pool.map(work, folders))
    rest = Sequencer(database, folders[0], SIGNER)
    while count := rest.integrate():
        placed += count
    Sequencer(database, folders[1], SIGNER).integrate()
    assert placed == 168
    for folder in folders:
        assert_whole(database, folder, 168)


class _Crash(BaseException):
    """Stands for the process dying: nothing catches it."""


def test_a_crash_before_any_file_operation_is_repaired_by_the_next_call(
    records: Records, admin: Actor, database: Database, tmp_path: Path
) -> None:
    append(records, admin, 300)
    Sequencer(database, tmp_path / "log", SIGNER).integrate()
    append(records, admin, 300)
    real_write, crashes = LogFolder._write, 0
    while True:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "log", tmp_path / "copy")
        countdown = iter(range(crashes))

        def dying(self: LogFolder, file: object, countdown: object = countdown) -> Path:
            if next(countdown, None) is None:  # type: ignore[call-overload]
                raise _Crash
            return real_write(self, file)  # type: ignore[arg-type]

        with patch.object(folder_module.LogFolder, "_write", dying):
            try:
                Sequencer(database, tmp_path / "copy", SIGNER).integrate()
                break
            except _Crash:
                crashes += 1
        # The first crash comes after the commit; from then on the folder lags behind the database.
        assert verify(database, tmp_path / "copy", SIGNER.vkey).ok
        Sequencer(database, tmp_path / "copy", SIGNER).integrate()
        assert_whole(database, tmp_path / "copy", 600)
    assert crashes == 6  # a full bundle and tile, a partial bundle and two partial tiles, the checkpoint


def test_files_lost_entirely_are_written_again(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database, folder: Path
) -> None:
    append(records, admin, 300)
    sequencer.integrate()
    before = files_of(folder)
    shutil.rmtree(folder)
    assert sequencer.integrate() == 0
    assert files_of(folder) == before
    (folder / "tile/0/000").unlink()
    assert not verify(database, folder, SIGNER.vkey).ok
    assert sequencer.rebuild() == 300
    assert files_of(folder) == before


def test_a_torn_tile_at_the_edge_is_written_again(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database, folder: Path
) -> None:
    append(records, admin, 10)
    sequencer.integrate()
    tile = folder / "tile/0/000.p/10"
    tile.write_bytes(tile.read_bytes()[:100])
    append(records, admin, 1)
    assert sequencer.integrate() == 1
    assert_whole(database, folder, 11)


def test_a_full_disk_stops_publishing_and_loses_nothing(
    records: Records, admin: Actor, database: Database, folder: Path
) -> None:
    append(records, admin, 10)

    def full(_self: LogFolder, _file: object) -> Path:
        raise OSError(28, "No space left on device")

    with patch.object(folder_module.LogFolder, "_write", full), pytest.raises(Unavailable, match="No space left"):
        Sequencer(database, folder, SIGNER).integrate()
    assert Sequencer(database, folder, SIGNER).integrate() == 0
    assert_whole(database, folder, 10)


def test_a_changed_journal_is_never_signed_again(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database, folder: Path
) -> None:
    append(records, admin, 10)
    sequencer.integrate()
    append(records, admin, 1)
    with database.write() as connection:
        connection.execute(update(entries).where(entries.c.leaf_index == 3).values(actor="nobody"))
    shutil.rmtree(folder)
    with pytest.raises(Corrupted, match="no longer give the root"):
        sequencer.integrate()
    with pytest.raises(Corrupted, match="no longer give the root"):
        sequencer.rebuild()
    assert not (folder / "checkpoint").exists()


def test_a_truncated_database_is_not_extended(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database
) -> None:
    append(records, admin, 10)
    sequencer.integrate(4)
    sequencer.integrate()
    with database.write() as connection:
        connection.execute(delete(checkpoints).where(checkpoints.c.size == 10))
        connection.execute(update(entries).where(entries.c.leaf_index >= 4).values(leaf_index=None))
    with pytest.raises(Corrupted, match="truncated or restored"):
        sequencer.integrate()
    with database.write() as connection:
        connection.execute(delete(checkpoints))
    with pytest.raises(Corrupted, match="10 entries and the database only 0"):
        sequencer.integrate()


def test_a_checkpoint_row_that_was_not_signed_is_not_built_upon(
    sequencer: Sequencer, records: Records, admin: Actor, database: Database
) -> None:
    append(records, admin, 3)
    sequencer.integrate()
    append(records, admin, 3)
    with database.write() as connection:
        connection.execute(update(checkpoints).values(root=bytes(32)))
    with pytest.raises(Corrupted, match="does not say what was signed"):
        sequencer.integrate()


_WORKER = """
import sys
from pathlib import Path
from bailiwick.core.actor import Actor, Permission
from bailiwick.store.database import Database
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.records import Records
database = Database(sys.argv[1])
records = Records(database)
sequencer = Sequencer(database, Path(sys.argv[2]), Signer("test/journal", bytes(range(32))))
actor = Actor("u", "u", "default", frozenset(Permission))
while True:
    with records.change(actor, Permission.DATA_WRITE) as change:
        for number in range(40):
            change.record("thing.made", f"thing/{number}")
    sequencer.integrate()
    print("integrated", flush=True)
"""


def test_a_sequencer_killed_at_any_moment_is_continued(database: Database, folder: Path) -> None:
    for delay in (0.05, 0.13, 0.29):
        url = database.url
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, url, str(folder)], stdout=subprocess.PIPE, env=os.environ
        )
        assert worker.stdout is not None
        with worker.stdout:
            worker.stdout.readline()  # it has integrated once, and is at work again
            time.sleep(delay)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        Sequencer(database, folder, SIGNER).integrate()
        found = verify(database, folder, SIGNER.vkey)
        assert (found.ok, found.pending) == (True, 0)
    assert found.size > 0


def test_seventy_thousand_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bailiwick.store.migrate import migrate

    database = Database(f"sqlite:///{tmp_path / 'big.db'}")
    migrate(database)
    row = {"workspace": "default", "identity": "u", "actor": "u", "action": "thing.made", "salt": bytes(16)}
    with database.write() as connection:
        for start in range(0, 70_000, 10_000):
            rows = [
                {**row, "id": new_id(), "time": number, "resource": f"thing/{number}", "detail": f'{{"n":{number}}}'}
                for number in range(start, start + 10_000)
            ]
            connection.execute(insert(entries), rows)
    started = time.perf_counter()
    sequencer = Sequencer(database, tmp_path / "log", SIGNER)
    while sequencer.integrate():
        pass
    integrated = time.perf_counter()
    found = verify(database, tmp_path / "log", SIGNER.vkey)
    verified = time.perf_counter()
    count = sum(1 for path in (tmp_path / "log/tile").rglob("*") if path.is_file())
    with capsys.disabled():
        print(
            f"\njournal of 70,000 entries: integrated in {integrated - started:.1f} s into {count} files,"
            f" verified in {verified - integrated:.1f} s"
        )
    assert (found.ok, found.size) == (True, 70_000)
    database.close()
