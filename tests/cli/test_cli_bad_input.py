"""Bad input and bad luck, with real processes: one clear message, the exit code that is documented, nothing half-written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests_support.command import Command, Populated, Result, process
from tests_support.small_project import PROJECT, write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "small")


def _is_one_error(ended: Result, code: int, *says: str) -> None:
    assert ended.code == code, ended
    assert ended.err.startswith("error: ") or code == 1, ended.err
    assert "Traceback" not in ended.err + ended.out
    for words in says:
        assert words in ended.err + ended.out, ended


def test_a_missing_project_file_makes_no_home(tmp_path: Path) -> None:
    _is_one_error(process("run", folder=tmp_path), 3, "Project file bailiwick.yaml does not exist.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("project: small", "project: Small!", "project"),
        ("features:", "featurs:", "features"),
        ("late, positive", "late, positve", "positive"),
        ("x: number", "x: {scale: standrd}", "standard"),
        ("entrypoint: train:fit", "entrypoint: 7", "entrypoint"),
        ('["roc_auc >= 0.5"]', '["roc_auc => 0.5"]', "roc_auc => 0.5"),
        ("data:", "data: [", "line"),
    ],
)
def test_a_project_file_that_is_wrong_names_the_place(project: Path, before: str, after: str, says: str) -> None:
    (project / "bailiwick.yaml").write_text(PROJECT.replace(before, after), encoding="utf-8")
    _is_one_error(process("run", folder=project), 2, says)
    assert not (project / ".bailiwick").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "rows.csv does not exist"),
        (b"at,id,x\n1,2,3\n", "no column 'late'"),
        (b"at,id,x,late\n1,a,2.5,1\n2,b,3.5\n", "row 3: expected 4 columns, found 3"),
        (b"at,id,x,late\nyesterday,a,2.5,1\n", "at"),
        (b"\xff\xfe\x00\x01" * 100, "rows.csv"),
    ],
    ids=["missing", "absent column", "ragged", "no time", "not text"],
)
def test_data_that_cannot_be_used_fails_the_run_with_a_reason(project: Path, content: bytes | None, says: str) -> None:
    (project / "rows.csv").unlink()
    if content is not None:
        (project / "rows.csv").write_bytes(content)
    ended = process("run", folder=project)
    assert ended.code == 1, ended
    assert "Traceback" not in ended.out + ended.err
    assert says in " ".join(ended.out.split())
    assert process("models", "list", folder=project).out.startswith("No models yet")


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ("def fit(:\n", "train"),
        ("def fit(train, valid, params, report):\n    return 7\n", "int"),
    ],
    ids=["syntax", "no model"],
)
def test_user_code_that_is_wrong_fails_the_run_with_a_reason(project: Path, train: str, says: str) -> None:
    (project / "train.py").write_text(train, encoding="utf-8")
    ended = process("run", folder=project)
    assert ended.code in {1, 2}, ended
    assert "Traceback" not in ended.out + ended.err
    assert says in ended.out + ended.err


def test_an_unknown_step_is_named(project: Path) -> None:
    _is_one_error(process("run", "tarin", folder=project), 2, "'tarin'", "Did you mean 'train'?")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("data", "stats", "nowhere.csv"), 2, "does not exist"),
        (("data", "stats", "*.jsonl"), 2, "No file matches"),
        (("data", "stats", "broken.parquet"), 2, "broken.parquet cannot be read"),
        (("data", "stats", "."), 2, "is a folder"),
        (("data", "stats", "a.csv", "b.csv", "rows.csv"), 2, "3 sources are named, 'rows.csv' last"),
        (("data", "snapshot", "a.csv", "rows.csv", "--dataset", "d"), 2, "Put a glob in quotes"),
        (("data", "schema", "infer", "rows.csv", "--out", "no/such/folder/x.pbtxt"), 2, "is not a folder"),
        (("data", "schema", "infer", "rows.csv", "--out", "."), 5, "Is a directory"),
        (("data", "validate", "rows.csv", "--schema", "nowhere.pbtxt"), 2, "nowhere.pbtxt"),
        (("data", "validate", "rows.csv", "--schema", "rows.csv"), 2, "rows.csv"),
        (("data", "compare", "rows.csv", "rows.csv", "--alpha", "7"), 2, "7"),
        (("models", "list", "--home", "rows.csv"), 3, "no Bailiwick home"),
        (("users", "create", "x", "--role", "viewer", "--home", "rows.csv"), 5, "it is a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_file_that_cannot_be_used_is_named(project: Path, words: tuple[str, ...], code: int, says: str) -> None:
    (project / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    ended = process(*words, folder=project)
    _is_one_error(ended, code, says)
    assert {path.name for path in project.iterdir()} == {"bailiwick.yaml", "train.py", "rows.csv", "broken.parquet"}


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"BAILIWICK_CONTROL_PORT": "eighty"}, 2, "BAILIWICK_CONTROL_PORT='eighty' is not a whole number"),
        ({"BAILIWICK_CONTROL_PORT": "99999"}, 2, "99999"),
        ({"BAILIWICK_INSECURE": "perhaps"}, 2, "BAILIWICK_INSECURE"),
        ({"BAILIWICK_HOST": "0.0.0.0"}, 2, "Refusing to bind"),
        ({"BAILIWICK_DATABASE_URL": "mysql://a/b"}, 2, "choose one of"),
        ({"BAILIWICK_DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/x"}, 5, "refused"),
        ({"BAILIWICK_BLOBS_URL": "nonsense"}, 2, "nonsense"),
        ({"BAILIWICK_TOKEN": "bw_wrong"}, 4, "The token is not valid"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_be_used_is_named(
    template: Populated, tmp_path: Path, variables: dict[str, str], code: int, says: str
) -> None:
    ended = process("models", "list", "--home", template.home, folder=tmp_path, **variables)
    _is_one_error(ended, code, says)
    assert "hunter2" not in ended.err


def test_a_database_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / ".bailiwick").mkdir()
    (tmp_path / ".bailiwick" / "bailiwick.db").write_bytes(b"garbage" * 1000)
    ended = process("models", "list", folder=tmp_path)
    assert ended.err == "error: The database cannot be read: file is not a database. Restore a backup of it.\n"
    assert ended.code == 1


def test_a_database_of_a_newer_schema_is_refused(populated: Populated, tmp_path: Path) -> None:
    connection = sqlite3.connect(populated.home / "bailiwick.db")
    connection.execute("UPDATE schema_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    _is_one_error(process("models", "list", "--home", populated.home, folder=tmp_path), 1, "schema 9999", "newer")


@pytest.mark.parametrize("words", ["audit list --limit 200", "audit export", "models card flights 1", "runs --json"])
def test_a_reader_that_goes_away_is_not_an_error(template: Populated, tmp_path: Path, words: str) -> None:
    line = f"set -o pipefail; python -m bailiwick --home {template.home} {words} | head -c 1 > /dev/null"
    environment = {**os.environ, "PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"}  # type: ignore[attr-defined]
    ended = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_said(template: Populated, tmp_path: Path) -> None:
    ended = process("audit", "list", "--home", template.home, folder=tmp_path, before="exec > /dev/full")
    assert (ended.code, ended.err) == (5, "error: The output cannot be written: No space left on device.\n")


def test_a_full_disk_during_a_run_is_said_and_the_run_goes_on_when_there_is_room(project: Path) -> None:
    assert process("apply", folder=project).code == 0
    size = (project / ".bailiwick" / "bailiwick.db").stat().st_size
    full = process("run", folder=project, before=f"trap '' XFSZ; ulimit -f {size // 1024 + 40}")
    assert full.code in {1, 5}, full
    assert "Traceback" not in full.out + full.err
    assert "full" in full.out + full.err
    again = process("run", folder=project)
    assert again.code == 0, again.err
    assert process("audit", "verify", folder=project).code == 0


def test_an_export_that_does_not_fit_leaves_no_part_of_it(populated: Populated, tmp_path: Path) -> None:
    ended = process(
        "audit", "export", "--home", populated.home, "--out", "journal.jsonl",
        folder=tmp_path, before="trap '' XFSZ; ulimit -f 1024",
    )  # fmt: skip
    small = process(
        "audit", "export", "--home", populated.home, "--out", "journal.jsonl",
        folder=tmp_path, before="trap '' XFSZ; ulimit -f 8",
    )  # fmt: skip
    assert ended.code == 0, ended
    assert small.code == 5, small
    assert "Traceback" not in small.err
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) > 100
    assert not list(tmp_path.glob(".journal*"))


def test_one_run_alone_is_compared_with_nothing(command: Command, populated: Populated) -> None:
    (run, *_) = command("--home", populated.home, "tracking", "list", "--json").json["items"]
    refused = command("--home", populated.home, "tracking", "compare", run.get("id") or run["run_id"])
    assert (refused.code, "Name two runs or more" in refused.err) == (2, True)


def test_predictions_that_nothing_matches_are_not_said_to_be_none_at_all(
    command: Command, populated: Populated
) -> None:
    said = command("--home", populated.home, "predictions", "list", "--endpoint", "late", "--unit", "nobody").out
    assert "No prediction on record is like that." in said


def test_a_span_that_is_none_is_said_once(command: Command, populated: Populated) -> None:
    words = ("models", "policy", "flights", "--target", "champion", "--expires", "soon")
    refused = " ".join(command("--home", populated.home, *words).err.split())
    assert refused.count("is not a duration") == 1
    assert "no duration" not in refused
