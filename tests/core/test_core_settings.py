"""Settings: defaults, then the environment, then flags; every value that cannot be used is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from bailiwick.core.errors import InvalidInput
from bailiwick.core.settings import Settings, load_settings


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    environment = {"BAILIWICK_CONTROL_PORT": "9000", "BAILIWICK_WORKSPACE": "team"}
    settings = load_settings(environment, control_port=9001, host=None)
    assert (settings.control_port, settings.workspace, settings.host) == (9001, "team", "127.0.0.1")


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_can_be_given_in_the_environment_and_is_explained(field: object) -> None:
    name, default = field.name, field.default  # type: ignore[attr-defined]
    text = {bool: "true", int: str(int(default or 0) + 1) if isinstance(default, int) else ""}.get(
        type(default), "given"
    )
    settings = load_settings({f"BAILIWICK_{name.upper()}": text, "BAILIWICK_INSECURE": "1"})
    assert str(getattr(settings, name)).lower() == text
    assert field.metadata["doc"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CONTROL_PORT", "0"),
        ("CONTROL_PORT", "65536"),
        ("INFERENCE_PORT", "-1"),
        ("INFERENCE_PORT", "1.5"),
        ("GRPC_PORT", "-2"),
        ("GRPC_PORT", "65536"),
        ("SERVE_WORKERS", "0"),
        ("INSECURE", "yes please"),
        ("HOST", "0.0.0.0"),
        ("HOST", "::"),
        ("HOST", "example.org"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=text.replace(".", r"\.")):
        load_settings({f"BAILIWICK_{name}": text})


def test_another_address_needs_a_word_of_consent() -> None:
    assert load_settings({"BAILIWICK_HOST": "0.0.0.0"}, insecure=True).host == "0.0.0.0"


def test_everything_lies_in_the_home_unless_it_has_a_url(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.sql_url == f"sqlite:///{tmp_path}/bailiwick.db"
    assert settings.blobs_root == f"file://{tmp_path}/blobs"
    assert settings.tables_root == f"{tmp_path}/tables"
    assert settings.spool_root == tmp_path / "spool"
    given = Settings(
        database_url="postgresql://a/b", blobs_url="s3://a/b", tables_url="s3://a/t", control_url="http://c/"
    )
    assert (given.sql_url, given.blobs_root, given.tables_root) == ("postgresql://a/b", "s3://a/b", "s3://a/t")
    assert given.control_address == "http://c"


@pytest.mark.parametrize("name", ["with space", "100%", "%41", "hash#and?mark", "ümlaut"])
def test_a_home_of_any_name_keeps_its_database_inside(tmp_path: Path, name: str) -> None:
    url = make_url(Settings(home=tmp_path / name).sql_url)
    assert url.database == str(tmp_path / name / "bailiwick.db")
