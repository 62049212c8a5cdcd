"""Passwords in addresses: told nowhere, and taken from the environment where something is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from bailiwick.adapters.engines import open_engine
from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.data.reading.secrets import holds_password, resolved, without_password
from bailiwick.data.sources import read_source
from tests_support import postgres


@pytest.mark.parametrize(
    ("address", "told", "holds"),
    [
        ("postgresql://me:hush@db/w", "postgresql://me:***@db/w", True),
        ("postgresql://me:${PW}@db/w", "postgresql://me:***@db/w", False),
        ("postgresql://me:a${PW}@db/w", "postgresql://me:***@db/w", True),
        (
            "postgresql://me@db/w?sslmode=require&password=hush",
            "postgresql://me@db/w?sslmode=require&password=***",
            True,
        ),
        ("postgresql://db/w?password=${PW}", "postgresql://db/w?password=***", False),
        (
            "spark://m:7077?spark.hadoop.fs.s3a.secret.key=hush&spark.cores.max=1",
            "spark://m:7077?spark.hadoop.fs.s3a.secret.key=***&spark.cores.max=1",
            True,
        ),
        ("snowflake://u@a/d/s?warehouse=W&token=t", "snowflake://u@a/d/s?warehouse=W&token=***", True),
        ("sc://h:443/;use_ssl=true;token=hush;user_id=u", "sc://h:443/;use_ssl=true;token=***;user_id=u", True),
        ("sc://h:443/;token=${PW}?spark.x=1", "sc://h:443/;token=***?spark.x=1", False),
        ("postgresql://me@db/w?query=SELECT * FROM t WHERE u = '&password=x'", None, False),
        ("postgresql://me@db:5432/w", None, False),
        ("https://host:8443/a@b.csv", None, False),
        ("s3://bucket/a.parquet", None, False),
        ("data/*.parquet", None, False),
        ("local[*]", None, False),
    ],
)
def test_a_password_is_seen_and_left_out(address: str, told: str | None, holds: bool) -> None:
    assert without_password(address) == (told or address)
    assert holds_password(address) == holds


def test_a_reference_is_what_the_environment_has_quoted_for_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_PW", "p@ss/w:rd%$&")
    assert resolved("postgresql://me:${WAREHOUSE_PW}@db/w") == "postgresql://me:p%40ss%2Fw%3Ard%25%24%26@db/w"
    assert resolved("x://h?token=${WAREHOUSE_PW}") == "x://h?token=p%40ss%2Fw%3Ard%25%24%26"
    for plain in ("postgresql://me:hush@db/w", "postgresql://me@db/${WAREHOUSE_PW}", "data/${WAREHOUSE_PW}.csv"):
        assert resolved(plain) == plain
    monkeypatch.setenv("WAREHOUSE_PW", "")
    with pytest.raises(InvalidInput, match=r"in \$\{WAREHOUSE_PW\}, which is not set here"):
        resolved("postgresql://me:${WAREHOUSE_PW}@db/w")
    monkeypatch.setenv("BAILIWICK_TOKEN", "ours")
    with pytest.raises(InvalidInput, match="Bailiwick's own"):
        resolved("postgresql://me:${BAILIWICK_TOKEN}@db/w")


def test_sources_and_engines_are_opened_with_it_and_never_named_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PW", "hush/hush")
    with pytest.raises(Unavailable) as refused:
        read_source("postgresql://me:${WAREHOUSE_PW}@127.0.0.1:1/x?query=SELECT 1", tmp_path)
    assert "hush" not in str(refused.value)
    with postgres.passing_database() as url:
        engine = open_engine(_with_password(url, "${WAREHOUSE_PW}"), "SELECT 1 AS one", tmp_path)
        engine.close()
        asked = _with_password(url, "${WAREHOUSE_PW}") + "&query=SELECT 1 AS one"
        table = read_source(asked, tmp_path)
        assert table.to_pydict() == {"one": [1]}
        monkeypatch.delenv("WAREHOUSE_PW")
        with pytest.raises(InvalidInput, match="WAREHOUSE_PW"):
            open_engine(_with_password(url, "${WAREHOUSE_PW}"), "SELECT 1 AS one", tmp_path)


@pytest.mark.parametrize("url", ["databricks://:443?token=${WAREHOUSE_PW}", "snowflake://:443?token=${WAREHOUSE_PW}"])
def test_an_engine_that_is_told_too_little_is_named_without_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PW", "hush")
    with pytest.raises(InvalidInput, match="names no") as refused:
        open_engine(url, "t", tmp_path)
    assert "hush" not in str(refused.value)


def _with_password(url: str, password: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}password={password}"
