"""`bailiwick doctor` finds what is wrong and changes nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.processes.doctor import Finding, examine
from bailiwick.store.migrate import newest_revision
from tests_support.smtp import smtp_server


def _found(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings)}


def test_a_place_without_a_home_is_left_without_one(tmp_path: Path) -> None:
    found = _found(Settings(home=tmp_path / "home"))
    assert not any(finding.failed for finding in found.values())
    assert list(tmp_path.iterdir()) == []
    assert "does not exist yet" in found["home"].detail


def test_it_names_the_database_the_blobs_and_the_tables(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    open_platform(settings).close()
    found = _found(settings)
    assert found["database"].detail == f"sqlite, schema {newest_revision()}, {tmp_path / 'bailiwick.db'}"
    assert found["blobs"].detail == (tmp_path / "blobs").as_uri()
    assert found["tables"].detail == str(tmp_path / "tables")


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    (tmp_path / "bailiwick.db").write_bytes(b"garbage" * 1000)
    found = _found(Settings(home=tmp_path))["database"]
    assert found.failed
    assert "is not a database" in found.detail


def test_a_database_that_cannot_be_reached_is_found_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    settings = Settings(home=tmp_path, database_url="postgresql://me:hunter2@127.0.0.1:1/nowhere")
    found = _found(settings)["database"]
    assert found.failed
    assert "hunter2" not in found.detail


def test_a_home_that_others_can_enter_is_noted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert "chmod 700" in _found(Settings(home=tmp_path))["home"].detail
    tmp_path.chmod(0o700)
    assert _found(Settings(home=tmp_path))["home"].state == "ok"


def test_ports_in_use_are_said_to_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert _found(Settings(home=tmp_path, control_port=port))["control port"].detail.endswith("answers")


def test_an_address_that_others_reach_is_noted(tmp_path: Path) -> None:
    assert _found(Settings(home=tmp_path))["exposure"].state == "ok"
    assert _found(Settings(home=tmp_path, host="0.0.0.0", insecure=True))["exposure"].state == "note"


def test_the_mail_server_is_looked_for_and_its_password_is_not_shown(tmp_path: Path) -> None:
    assert _found(Settings(home=tmp_path))["mail"].state == "note"
    with smtp_server() as box:
        url = f"smtp://user:secret@127.0.0.1:{box.port}"
        there = _found(Settings(home=tmp_path, smtp_url=url, mail_from="b@example.com"))["mail"]
        assert (there.state, "secret" in there.detail) == ("ok", False)
        assert _found(Settings(home=tmp_path, smtp_url=url))["mail"].failed
    gone = _found(Settings(home=tmp_path, smtp_url=url, mail_from="b@example.com"))["mail"]
    assert gone.failed
    assert "cannot be reached" in gone.detail
