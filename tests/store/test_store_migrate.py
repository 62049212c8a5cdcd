"""Migrations: they make what is declared, old databases open, newer ones are refused, many may start at once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, func, inspect, select, text
from sqlalchemy.exc import IntegrityError

from bailiwick.app import open_platform
from bailiwick.core.errors import Conflict
from bailiwick.core.settings import Settings
from bailiwick.store.database import Database, metadata
from bailiwick.store.migrate import VERSION_TABLE, migrate, newest_revision, schema_of
from tests_support.postgres import fresh_database
from tests_support.source import PACKAGE

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / "tests" / "assets" / "old_databases"
DECLARES = re.compile(r"^from bailiwick\.store\.database import .*\bmetadata\b", re.MULTILINE)
MIGRATE = """
import sys, time
from bailiwick.store.database import Database
from bailiwick.store.migrate import migrate
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
migrate(database)
database.close()
"""


def _declare_all() -> None:
    """Import every module that declares tables, wherever it is."""
    for path in PACKAGE.rglob("*.py"):
        if DECLARES.search(path.read_text(encoding="utf-8")) and "migrations" not in path.parts:
            import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))


def _differences(connection: Connection) -> list[object]:
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_object": lambda _item, name, *_: name != VERSION_TABLE,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _empty_database(kind: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'empty.db'}" if kind == "sqlite" else fresh_database()


def test_migrations_make_exactly_the_declared_tables(database: Database) -> None:
    _declare_all()
    with database.read() as connection:
        assert _differences(connection) == []
        found = set(inspect(connection).get_table_names())
    assert found == {*metadata.tables, VERSION_TABLE}


def test_a_missing_column_would_be_noticed(database: Database) -> None:
    """The comparison above is not empty talk."""
    _declare_all()
    with database.write() as connection:
        connection.execute(text("ALTER TABLE duties DROP COLUMN message"))
    with database.read() as connection:
        assert len(_differences(connection)) == 1


def test_the_tool_for_new_migrations_has_nothing_to_write() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "new_migration.py"), "nothing"]
    told = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "The declared tables are what the newest migration makes: nothing to write.\n"


def test_migrations_are_numbered_without_gaps() -> None:
    versions = sorted(path.name[:4] for path in (PACKAGE / "store" / "migrations" / "versions").glob("[0-9]*.py"))
    assert versions == [f"{number:04d}" for number in range(1, len(versions) + 1)]
    assert newest_revision() == versions[-1]


def test_every_schema_before_the_newest_has_an_old_database() -> None:
    kept = {path.stem for path in OLD.glob("*.db")}
    assert {f"{number:04d}" for number in range(1, int(newest_revision()) + 1)} <= kept | {newest_revision()}


@pytest.mark.parametrize("path", sorted(OLD.glob("*.db")), ids=lambda path: path.stem)
def test_an_old_database_opens_with_every_row(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "bailiwick.db")
    platform = open_platform(Settings(home=tmp_path))
    assert schema_of(platform.database) == newest_revision()
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    _declare_all()
    with platform.database.read() as connection:
        counted = {table.name: _count(connection, table) for table in metadata.sorted_tables}
        differences = _differences(connection)
    assert {name: rows for name, rows in counted.items() if name in expected} == {
        name: rows for name, rows in expected.items() if name != VERSION_TABLE
    }
    assert differences == []
    platform.close()


@pytest.mark.parametrize("path", sorted(OLD.glob("*.db")), ids=lambda path: path.stem)
def test_an_old_database_is_laid_out_as_a_new_one(path: Path, tmp_path: Path) -> None:
    """In what the comparison above does not see: which tables are their own index, which index holds what, which row points where."""
    shutil.copy(path, tmp_path / "old.db")
    layouts = []
    for name in ("old", "new"):
        opened = Database(f"sqlite:///{tmp_path / name}.db")
        migrate(opened)
        with opened.write() as connection:
            assert connection.scalar(text("PRAGMA foreign_keys")) == 1
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            found = connection.scalars(text("PRAGMA integrity_check")).all()
            # SQLite 3.40 looks for a column of a table without rowids where it is declared, not where it is stored.
            assert [each for each in found if each != "ok" and not each.startswith("NULL value in")] == []
            indexes = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"))
            tables = connection.execute(
                text("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name")
            )
            layouts.append((indexes.all(), tables.all()))
        opened.close()
    assert layouts[0] == layouts[1]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_of_schema_0004_are_kept_with_all_that_refers_to_them(kind: str, tmp_path: Path) -> None:
    """Tables are made anew beneath rows that point to them."""
    opened = Database(_empty_database(kind, tmp_path))
    with opened.write() as connection:
        _upgrade_to(connection, "0004")
        for statement in ROWS_OF_0004:
            connection.execute(text(statement))
    migrate(opened)
    with opened.read() as connection:
        for name in ("tracking_run_tags", "tracking_run_params", "tracking_run_metrics", "tracking_run_inputs"):
            assert connection.scalar(text(f"SELECT run_id FROM {name}")) == "r1", name
        assert connection.execute(text("SELECT number, id, leaf_index FROM journal_entries ORDER BY number")).all() == [
            (1, "e1", 0),
            (2, "e2", None),
        ]
    with pytest.raises(IntegrityError), opened.write() as connection:
        connection.execute(text(ROWS_OF_0004[1].replace("'r1'", "'r2'")))  # the same key
    with opened.write() as connection:
        connection.execute(text("DELETE FROM tracking_runs"))
        assert connection.scalar(text("SELECT count(*) FROM tracking_run_tags")) == 0
    opened.close()


ROWS_OF_0004 = """
INSERT INTO tracking_experiments (workspace, id, name, lifecycle, artifact_location, created, updated, created_by)
    VALUES ('default', '1', 'x', 'active', '', 1, 1, 'u');
INSERT INTO tracking_runs (id, workspace, experiment_id, name, status, lifecycle, started, key, created_by)
    VALUES ('r1', 'default', '1', 'n', 'RUNNING', 'active', 1, 'k', 'u');
INSERT INTO tracking_run_tags (workspace, run_id, key, value) VALUES ('default', 'r1', 'k', 'v');
INSERT INTO tracking_run_params (workspace, run_id, key, value) VALUES ('default', 'r1', 'k', 'v');
INSERT INTO tracking_run_metrics (workspace, run_id, key, time, step, value, is_nan)
    VALUES ('default', 'r1', 'k', 1, 0, 0.5, 0);
INSERT INTO tracking_run_inputs (workspace, run_id, snapshot, role) VALUES ('default', 'r1', 's', '');
INSERT INTO journal_entries (id, workspace, time, identity, actor, action, resource, detail, salt, leaf_index)
    VALUES ('e1', 'default', 1, 'u', 'a', 'thing.made', 'thing/1', '{}', 'salt', 0);
INSERT INTO journal_entries (id, workspace, time, identity, actor, action, resource, detail, salt)
    VALUES ('e2', 'default', 1, 'u', 'a', 'thing.made', 'thing/1', '{}', 'salt');
""".strip().split(";\n")


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(PACKAGE / "store" / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.mark.parametrize("path", sorted(OLD.glob("*.db")), ids=lambda path: path.stem)
def test_the_records_of_an_old_database_can_be_read(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "bailiwick.db")
    platform = open_platform(Settings(home=tmp_path))
    version = platform.registry.version("default", "flights", 1)
    assert version.metrics == {"roc_auc": 0.71}
    assert (version.stage, version.status, version.source, version.updated) == ("None", "READY", "", version.created)
    assert platform.registry.aliases("default", "flights") == {"candidate": 2, "production": 1}
    assert platform.data.snapshot("default", version.snapshot).rows == 2
    assert platform.tracking.run("default", version.run_id).params == {"a": "1"}
    assert [request.status for request in platform.governance.requests("default")] == ["APPROVED"]
    assert [endpoint.name for endpoint in platform.endpoints.endpoints("default")] == ["late"]
    assert len(platform.endpoints.history("default", "late")) == 3
    assert [rollout.status for rollout in platform.rollouts.rollouts("default")] == ["RUNNING"]
    assert len(platform.monitors.windows("default", "late")) == 6
    assert [alarm.kind for alarm in platform.monitors.alarms("default")] == ["performance"]
    assert {run.status for run in platform.pipelines.runs("default")} == {"FINISHED", "PENDING"}
    assert [schedule.cron for schedule in platform.triggers.schedules("default")] == ["0 3 * * *"]
    assert [project.name for project in platform.projects.projects("default")] == ["flights"]
    assert [identity.name for identity in platform.identities.identities("default")] == ["grace"]
    assert platform.journal.entries("default", limit=1)[0].action
    platform.close()


def test_every_workspace_of_an_old_database_is_there_after_migration(tmp_path: Path) -> None:
    """Until workspaces were records, one was there as soon as it was named."""
    shutil.copy(OLD / "0001.db", tmp_path / "bailiwick.db")
    before = Database(f"sqlite:///{tmp_path / 'bailiwick.db'}")
    with before.write() as connection:
        row = connection.execute(text("SELECT * FROM endpoints LIMIT 1")).mappings().one()
        columns = ", ".join(row.keys())
        marks = ", ".join(f":{name}" for name in row.keys())  # noqa: SIM118 - a mapping of SQLAlchemy, not a dict
        moved = {**row, "workspace": "Team_B"}
        connection.execute(text(f"INSERT INTO endpoints ({columns}) VALUES ({marks})"), moved)
    before.close()
    platform = open_platform(Settings(home=tmp_path))
    assert [each.name for each in platform.workspaces.workspaces()] == ["Team_B", "default"]
    assert platform.workspaces.require("Team_B") == "Team_B"
    assert [each.name for each in platform.endpoints.endpoints("Team_B")] == ["late"]
    platform.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_of_a_newer_schema_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    opened = Database(_empty_database(kind, tmp_path))
    migrate(opened)
    with opened.write() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(Conflict, match=f"has schema 9999; this version knows schemas up to {newest_revision()}"):
        migrate(opened)
    assert schema_of(opened) == "9999"
    opened.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_processes_may_migrate_an_empty_database_at_once(kind: str, tmp_path: Path) -> None:
    url = _empty_database(kind, tmp_path)
    command = [sys.executable, "-c", MIGRATE, url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(6)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert outcomes == [("", 0)] * 6
    opened = Database(url)
    assert schema_of(opened) == newest_revision()
    opened.close()


def test_a_migration_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    """All statements are one transaction: a process that dies inside it has made no table."""
    opened = Database(f"sqlite:///{tmp_path / 'a.db'}")

    def migrate_and_die() -> None:
        with opened.write() as connection:
            from bailiwick.store.migrate import _upgrade

            _upgrade(connection, None)
            assert inspect(connection).has_table("duties")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate_and_die()
    assert schema_of(opened) is None
    migrate(opened)
    assert schema_of(opened) == newest_revision()
    opened.close()


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0
