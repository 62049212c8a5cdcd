"""A run whose rows stay on an engine: checked there, by the same verdicts, and known by a digest that the engine computes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlalchemy import update

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.inspection import found_before
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.standing import rows_of
from bailiwick.pipelines.project import load_project
from bailiwick.pipelines.projects import projects
from tests_support import postgres
from tests_support.fraud_project import DAY, START, rows
from tests_support.rows_there import TABLE, There, project_text, run_steps


def test_a_run_checks_rows_where_they_are_and_refers_to_them(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run = run_steps(platform, admin, folder, "validate")
    assert run.status == "FINISHED", run.message
    [snapshot] = platform.data.snapshots("default")
    assert (snapshot.rows, snapshot.table, snapshot.engine != "") == (2000, "", True)
    assert snapshot.source.endswith(f": {there.source}")
    assert dict(snapshot.columns) == {
        "id": "string",
        "at": "int64",
        "amount": "double",
        "country": "string",
        "bad": "int64",
    }
    assert (snapshot.time_from, snapshot.time_to) == (START, START + 10 * DAY - DAY // 200)
    assert (folder / "schema.pbtxt").exists()
    with pytest.raises(Conflict, match=r"stay on .*, and are not read here"):
        next(platform.data.batches("default", snapshot.id))
    again = run_steps(platform, admin, folder, "validate")
    assert again.status == "FINISHED"
    assert [each.id for each in platform.data.snapshots("default")] == [snapshot.id]


def test_the_schema_and_statistics_are_those_of_the_rows_read_here(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    run_steps(platform, admin, folder, "validate")
    mine = (folder / "schema.pbtxt").read_text()
    (folder / "schema.pbtxt").unlink()
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run_steps(platform, admin, folder, "validate")
    assert (folder / "schema.pbtxt").read_text() == mine
    here, theirs = platform.data.snapshots("default")[1], platform.data.snapshots("default")[0]
    assert theirs.columns == here.columns
    assert [each.change for each in platform.data.compare("default", here.id, theirs.id).columns] == ["same"] * 5


def test_data_that_does_not_fit_the_schema_is_not_trained_on(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    assert run_steps(platform, admin, folder, "validate").status == "FINISHED"
    changed = rows()
    there.put(changed.set_column(3, "country", pa.array(["XX"] * 2000)))
    run = run_steps(platform, admin, folder, "validate")
    assert run.status == "FAILED"
    assert "does not fit" in run.message
    alarms = platform.data_alarms.about("default", platform.data.snapshots("default")[0].id)
    assert any("country: Values that are not in the domain." in alarm.message for alarm in alarms)
    assert "XX" not in str([alarm.message for alarm in alarms])


def test_checks_of_the_whole_are_decided_there(platform: Platform, admin: Actor, folder: Path, there: There) -> None:
    there.put(pa.table({"code": ["AT", "BE"]}), "countries")
    checks = """  checks:
    volume: {least: 5000, severity: warning}
    freshness: {max_age: 1h, severity: warning}
    duplicates: {columns: [country], severity: warning}
    unique: [{columns: [id], severity: warning}, {columns: [country], severity: warning}]
    references: [{columns: [country], source: countries, of: [code], severity: warning}]
    sql: [{name: positive, holds: amount > 0, severity: warning}, {name: known, holds: "bad in (0, 1)"}]
"""
    (folder / "bailiwick.yaml").write_text(
        project_text(there, ("  schema: schema.pbtxt\n", f"  schema: schema.pbtxt\n{checks}")), encoding="utf-8"
    )
    run = run_steps(platform, admin, folder, "validate")
    assert run.status == "FINISHED", run.message
    [snapshot] = platform.data.snapshots("default")
    found = found_before(platform, "default", snapshot.id)
    assert found is not None
    told = {each.name: (each.passed, each.message) for each in found.verdicts}
    assert told["volume"] == (False, "2,000 rows are fewer than the 5,000 that are asked for.")
    assert told["freshness of at"][0] is False
    assert told["unique id"] == (True, "id differs in all 2,000 rows.")
    assert told["unique country"][1] == "2,000 rows share 3 values of country."
    assert told["duplicates of country"][1].startswith("1,997 of 2,000 rows (99.85%) repeat an earlier one in country")
    assert told["known"] == (True, "True of every row.")
    negative = pc.sum(pc.less_equal(rows()["amount"], 0)).as_py()
    assert told["positive"][1] == f"{negative:,} rows of 2,000 are not amount > 0."
    swiss = pc.sum(pc.equal(rows()["country"], "CH")).as_py()
    assert told["country in countries: code"][1] == f"{swiss} rows of country that no code of countries has."


def test_a_change_of_the_source_is_seen_against_the_snapshot_before(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    (folder / "bailiwick.yaml").write_text(
        project_text(there, ("  schema: schema.pbtxt\n", "  changes: {severity: {distribution: error}}\n")),
        encoding="utf-8",
    )
    assert run_steps(platform, admin, folder, "validate").status == "FINISHED"
    moved = rows(seed=2)
    there.put(moved.set_column(2, "amount", pc.add(moved["amount"], 3.0)))
    run = run_steps(platform, admin, folder, "validate")
    assert run.status == "FAILED"
    assert "its alarms stand" in run.message


def test_a_window_of_event_time_is_cut_there(platform: Platform, admin: Actor, folder: Path, there: There) -> None:
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run = run_steps(platform, admin, folder, "validate", start=START + DAY, end=START + 3 * DAY)
    assert run.status == "FINISHED", run.message
    [snapshot] = platform.data.snapshots("default")
    assert (snapshot.rows, snapshot.time_from) == (400, START + DAY)
    nothing = run_steps(platform, admin, folder, "validate", start=START + 100 * DAY, end=START + 101 * DAY)
    assert "has no rows between" in nothing.message


def test_rows_that_changed_since_are_noticed_before_anything_is_read(
    platform: Platform, admin: Actor, folder: Path, there: There
) -> None:
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run_steps(platform, admin, folder, "validate")
    [snapshot] = platform.data.snapshots("default")
    project = load_project(folder)
    with rows_of(platform, project, snapshot) as found:
        assert sum(batch.num_rows for batch in found.stream(f"SELECT * FROM {found.relation}")) == 2000
    there.run(f"UPDATE {there.source} SET amount = amount + 1e-9 WHERE id = 't0-7'")
    with pytest.raises(Conflict, match="have changed since it was taken"), rows_of(platform, project, snapshot):
        pass


def keep_as_before(platform: Platform, admin: Actor, folder: Path) -> None:
    """The project file as an earlier version kept it, which asked no questions about passwords."""
    project = load_project(folder)
    text = (folder / "bailiwick.yaml").read_text()
    (folder / "bailiwick.yaml").write_text(text.replace("hunter2%40", "${PW}"))
    platform.projects.apply(admin, load_project(folder))
    (folder / "bailiwick.yaml").write_text(text)
    kept = {"document": canonical_json(project.document()).decode(), "digest": project.digest}
    with platform.database.write() as connection:
        connection.execute(update(projects).values(**kept))


def test_a_new_password_in_the_project_file_is_refused_and_nothing_kept(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    for url, source in (
        ("postgresql://me:hunter2@db/w", "payments"),
        ("postgresql://me@db/w?password=hunter2", "payments"),
        ("", "postgresql://me:hunter2@db/w?query=SELECT 1"),
    ):
        text = project_text(There("postgresql", url, source))
        (folder / "bailiwick.yaml").write_text(text.replace('  engine: ""\n', ""), encoding="utf-8")
        with pytest.raises(InvalidInput, match=r"of project 'fraud' holds a password") as refused:
            apply_project(platform, admin, load_project(folder))
        assert "hunter2" not in str(refused.value)
        assert "${WAREHOUSE_PASSWORD}" in str(refused.value)
        assert platform.projects.projects("default") == []
    there = There("postgresql", "postgresql://me:${PW}@127.0.0.1:1/db", "payments")
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run = run_steps(platform, admin, folder, "validate")
    assert "The password is in ${PW}, which is not set here." in run.message


def test_a_reference_is_resolved_where_the_run_is_and_kept_as_it_is_written(
    platform: Platform, admin: Actor, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PW", "hunter2")
    with postgres.passing_database() as url:
        there = There("postgresql", url, f'"{TABLE.replace(chr(34), chr(34) * 2)}"')
        there.put(rows())
        there.url += ("&" if "?" in url else "?") + "password=${PW}"
        (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
        run = run_steps(platform, admin, folder, "validate")
    assert run.status == "FINISHED", run.message
    assert platform.projects.project("default", "fraud").data.engine == there.url
    kept = f"{run} {platform.data.snapshots('default')} {list(platform.journal.entries('default'))} {caplog.text}"
    database = (platform.settings.home / "bailiwick.db").read_bytes()
    assert "hunter2" not in kept
    assert b"hunter2" not in database


def test_a_password_is_told_nowhere(
    platform: Platform, admin: Actor, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hunter2%40"
    there = There("postgresql", f"postgresql://me:{secret}@127.0.0.1:1/db?password={secret}", "payments")
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    keep_as_before(platform, admin, folder)
    run = run_steps(platform, admin, folder, "validate")
    assert run.status == "FAILED"
    assert "postgresql://me@127.0.0.1:1/db cannot be reached" in run.message
    alarms = platform.data_alarms.about("default", "")
    told = f"{run} {alarms} {list(platform.journal.entries('default'))} {caplog.text}"
    assert "cannot be reached" in str(alarms)
    assert "hunter2" not in told
    assert "data.engine of project 'fraud' holds a password, which is kept with the project." in caplog.text
    text = (folder / "bailiwick.yaml").read_text()
    (folder / "bailiwick.yaml").write_text(text.replace("trials: 2", "trials: 3"))
    assert apply_project(platform, admin, load_project(folder)).train.tune.trials == 3  # what was kept before may stay
    (folder / "bailiwick.yaml").write_text(text.replace("hunter2", "hunter3"))
    with pytest.raises(InvalidInput, match="holds a password"):
        apply_project(platform, admin, load_project(folder))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  schema: schema.pbtxt\n", "  split: {by: random}\n", "draws by the number of a row"),
        ("  schema: schema.pbtxt\n", "  read: {delimiter: ';'}\n", "`data.engine` reads none"),
        ("  schema: schema.pbtxt\n", "  checks: {monotonic: [{column: at}]}\n", "rows there have no order"),
        ("  schema: schema.pbtxt\n", "  checks: {source_age: {max_age: 1d}}\n", "an engine has no files"),
        (
            "  amount: number\n",
            "  amount: {sklearn: {pipeline: 'fraud:pipe', reads: [amount]}}\n",
            "scikit-learn pipeline",
        ),
        ("  key: id\n", "  split: {by: group, column: country}\n", "folds by `data.key`"),
    ],
)
def test_what_cannot_be_done_there_is_said_by_line_before_anything_runs(
    folder: Path, old: str, new: str, said: str
) -> None:
    there = There("duckdb", "duckdb:///x.duckdb", "t")
    text = project_text(there, (old, new))
    if "key" in old:
        text = text.replace("country: {category: {min_count: 5}}", "country: target").replace(
            "  holdout: newest 3d\n", ""
        )
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=said):
        load_project(folder)


def test_an_engine_that_only_describes_is_refused(platform: Platform, admin: Actor, folder: Path) -> None:
    there = There("duckdb", "mysql://me@host/db", "t")
    (folder / "bailiwick.yaml").write_text(project_text(there), encoding="utf-8")
    run = run_steps(platform, admin, folder, "ingest")
    assert "Engine 'mysql://me@host/db'" in run.message
