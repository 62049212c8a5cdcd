"""Spark tells of the table that is hard for engines what everyone tells, and collects no row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bailiwick.adapters.warehouses.databricks import DatabricksEngine
from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines import ladder, plan
from bailiwick.data.engines.asking import ask
from bailiwick.data.engines.checks import check_on_engine
from bailiwick.data.engines.profiling import build_engine_profile, count_on_engine, profiled
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.data.profile import build_profile, count
from bailiwick.data.schema import infer_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.validation import validate
from bailiwick.data.validation.sql import SqlCheck
from bailiwick.testing.engines import conformance_table, differences
from tests_support import spark
from tests_support.postgres import required
from tests_support.source import ROOT
from tests_support.warehouses import as_kept, near

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def session() -> Any:
    return spark.session()


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return conformance_table()


@pytest.fixture(scope="module")
def engine(session: Any, table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from bailiwick.adapters.spark.engine import SparkEngine
    from bailiwick.adapters.spark.frames import read_frame

    path = tmp_path_factory.mktemp("spark") / "hard.parquet"
    pq.write_table(table, path, row_group_size=700)
    opened = SparkEngine(read_frame(session, str(path)).repartition(3), "hard")
    yield opened
    opened.close()


def test_spark_tells_what_is_told_of_the_rows_themselves(engine: Any, table: pa.Table) -> None:
    found = engine_statistics(engine, "hard")
    assert differences(found, table) == []
    assert validate(found, infer_schema(compute_statistics(table))) == []


def test_spark_finds_quantiles_in_many_passes(session: Any, table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from bailiwick.adapters.spark.engine import SparkEngine

    monkeypatch.setattr(ladder, "FEW", 3)
    some = table.select(["float", "whole", "skewed", "list"])
    engine = SparkEngine(session.createDataFrame(some), "some")
    assert differences(engine_statistics(engine), some) == []


def test_a_profile_on_spark_is_the_one_of_the_rows(engine: Any, table: pa.Table) -> None:
    names = ["float", "whole", "flag", "text", "price", "nothing"]
    assert all(profiled(column) for column in engine.columns() if column.name in names)
    reference = build_profile(table.slice(0, 700), names)
    assert count_on_engine(engine, reference) == count(reference, table)
    assert build_engine_profile(engine, ["skewed", "many", "flag"]) == build_profile(table, ["skewed", "many", "flag"])


def test_a_check_in_the_sql_of_spark_counts_the_rows_it_is_false_of(engine: Any, table: pa.Table) -> None:
    (found,) = check_on_engine(engine, [SqlCheck("few", "small < 3"), SqlCheck("any", "constant = 7")])
    assert found.long.startswith(f"{table.column('small').to_pylist().count(3)} of {table.num_rows} rows")
    with pytest.raises(InvalidInput, match="Check 'odd'"):
        check_on_engine(engine, [SqlCheck("odd", "no_such_column > 1")])


def test_a_slice_on_spark_is_a_relation_of_its_own(engine: Any, table: pa.Table) -> None:
    text = next(column for column in engine.columns() if column.name == "text")
    for value in ("it's", "back\\slash", "", "🦆"):
        part = engine.over(engine.dialect.where(engine.relation, text, value), value)
        assert ask(part, plan.Presence((text,)))[0][0] == table.column("text").to_pylist().count(value)
        part.close()


def test_spark_reads_tables_queries_and_files_and_names_what_is_not_there(session: Any, tmp_path: Path) -> None:
    from bailiwick.adapters.spark.engine import SparkEngine

    (tmp_path / "x.csv").write_text("a,b\n1,x\n2,\n", encoding="utf-8")
    session.sql("CREATE OR REPLACE TEMP VIEW `odd``name` AS SELECT 1 AS a UNION ALL SELECT 2")
    for source in (f"{tmp_path}/x.csv", f"csv:{tmp_path}", "SELECT 1 AS a UNION ALL SELECT 2;", '"odd`name"'):
        engine = SparkEngine.of_source("spark", source)
        assert ask(engine, plan.Presence(engine.columns()))[0][0] == 2, source
        engine.close()
        engine.close()
    for source in ("gone", f"{tmp_path}/gone.parquet", "SELECT nothing FROM gone"):
        with pytest.raises(InvalidInput, match="gone"):
            SparkEngine.of_source("spark", source)
    assert session.range(1).count() == 1  # a session that was there is not stopped


def test_moments_without_a_zone_and_unusual_types_are_told(session: Any) -> None:
    from bailiwick.adapters.spark.engine import SparkEngine

    frame = session.sql("""SELECT TIMESTAMP_NTZ'1969-12-31 23:59:59.9995' AS ntz, MAP('a', 1) AS m,
        CAST('a' AS CHAR(3)) AS c, INTERVAL '1' DAY AS i, 'A' COLLATE UTF8_LCASE AS l
        UNION ALL SELECT TIMESTAMP_NTZ'2020-01-01 00:00:00.123999', NULL, 'b', NULL, 'a' COLLATE UTF8_LCASE""")
    features = {f.path.step[0]: f for f in engine_statistics(SparkEngine(frame, "odd")).datasets[0].features}
    assert (features["ntz"].num_stats.min, features["ntz"].num_stats.max) == (0.0, 1577836800123.0)
    assert features["m"].struct_stats.common_stats.num_missing == 1
    assert features["l"].string_stats.unique == 2


class _Databricks:
    """A connection of PEP 249 to this Spark, in which a table has another name than the SQL says."""

    def __init__(self, session: Any, view: str, name: str) -> None:
        self._session, self._view, self._name = session, view, name
        self.answers: dict[str, list[list[Any]]] = {}

    def cursor(self) -> _Databricks:
        return self

    def execute(self, sql: str) -> None:
        self._rows = self._session.sql(sql.replace(self._name, self._view)).collect()
        if not sql.startswith("DESCRIBE"):
            self.answers[sql] = as_kept(self._rows)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        pass


def test_spark_runs_the_sql_for_databricks_and_its_answers_are_those_that_are_kept(
    session: Any, engine: Any, table: pa.Table
) -> None:
    relation = DatabricksEngine.dialect.relation("lake.sales.trips")
    hard = DatabricksEngine(_Databricks(session, engine.relation, relation), relation, "hard")
    assert differences(engine_statistics(hard), table) == []
    some = table.select(["float", "whole", "flag", "text", "moment", "bytes", "skewed", "price"]).slice(0, 200)
    session.createDataFrame(some).createOrReplaceTempView("some_trips")
    connection = _Databricks(session, "some_trips", relation)
    warehouse = DatabricksEngine(connection, relation, "some")
    engine_statistics(warehouse)
    build_engine_profile(warehouse, ["skewed", "text"])
    path = ROOT / "tests" / "golden" / "engines" / "databricks-answers.json"
    if os.environ.get("BAILIWICK_WRITE_GOLDEN"):
        told = json.dumps(connection.answers, ensure_ascii=False, indent=0, sort_keys=True)
        path.write_text(told + "\n", encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert near(kept, connection.answers)


def test_spark_connect_serves_as_well_as_a_session_of_this_process(table: pa.Table, tmp_path: Path) -> None:
    lacking = spark.missing()
    if lacking and not required("spark"):
        pytest.skip(lacking)
    path = tmp_path / "some.parquet"
    some = table.select(["float", "whole", "text", "list", "nested", "moment"])
    pq.write_table(some, path)
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(spark.SITE)])
    command = [sys.executable, str(Path(__file__).with_name("connect_story.py")), str(path)]
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.strip().splitlines()[-1])
    assert "gone" in told.pop("missing")
    assert told == {
        "session": "pyspark.sql.connect.session",
        "differences": [],
        "same features": True,
        "made": [table.num_rows, ["whole", "features"]],
        "written": table.num_rows,
    }
