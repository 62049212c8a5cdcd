"""The prediction log: windows, matured rows, exactly-once appends, and models whose inputs change."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest
import uuid_utils

from bailiwick.endpoints.log import (
    PredictionLog,
    PredictionLogs,
    ShadowComparison,
    outcome_schema,
    prediction_schema,
)
from bailiwick.store.delta import DeltaTables


@pytest.fixture
def log(tables: DeltaTables) -> PredictionLog:
    return PredictionLogs(tables).of("default")


def predictions(ids: list[str], times: list[int], **columns: object) -> pa.Table:
    count = len(ids)
    values: dict[str, object] = {
        "prediction_id": ids,
        "request_id": [name.split(":")[0] for name in ids],
        "row": list(range(count)),
        "endpoint": ["late"] * count,
        "epoch": [1] * count,
        "variant": ["v1"] * count,
        "model": ["late"] * count,
        "version": [1] * count,
        "unit": ids,
        "time": times,
        "received": list(range(count)),
        "latency_us": [90] * count,
        "status": [200] * count,
        "error": [None] * count,
        "in_distance": pa.array([1.5] * count, pa.float32()),
        "out_probability": pa.array([0.5] * count, pa.float32()),
    }
    values.update(columns)
    fields = {field.name: field.type for field in prediction_schema()}
    return pa.table({name: pa.array(value, fields.get(name)) for name, value in values.items()})


def outcomes(ids: list[str], values: list[float], received: list[int] | None = None) -> pa.Table:
    arrays = [ids, values, [1] * len(ids), received or list(range(len(ids)))]
    return pa.table(arrays, schema=outcome_schema())


def test_nothing_logged_reads_as_empty(log: PredictionLog) -> None:
    assert log.predictions("late", start=0, end=1).schema == prediction_schema()
    assert log.matured("late", columns=["prediction_id", "out_probability"]).column_names == [
        "prediction_id",
        "out_probability",
        "outcome",
        "outcome_time",
    ]
    assert log.watermark("late") is None
    assert log.shipped(log.predictions_table("late"), "a") is None


def test_a_window_is_half_open_in_event_time(log: PredictionLog) -> None:
    log.append_predictions("late", predictions(["a:0", "a:1", "a:2"], [10, 20, 30]))
    log.append_predictions("late", predictions(["b:0"], [25]))
    found = log.predictions("late", start=20, end=30, columns=["prediction_id", "in_distance", "in_never_seen"])
    assert sorted(found["prediction_id"].to_pylist()) == ["a:1", "b:0"]
    assert found["in_never_seen"].null_count == 2
    assert log.predictions("late").num_rows == 4
    assert log.watermark("late") == 30


def test_matured_joins_the_first_outcome_of_answered_predictions(log: PredictionLog) -> None:
    rows = predictions(["a:0", "a:1", "a:2", "a:2"], [10, 20, 30, 31], status=[200, 500, 200, 200])
    log.append_predictions("late", rows)
    assert log.matured("late").num_rows == 0
    log.append_outcomes("late", outcomes(["a:0", "a:1", "a:2", "a:0"], [1.0, 1.0, 0.0, 0.0], [5, 5, 6, 9]))
    found = log.matured("late").sort_by("time")
    assert found.select(["prediction_id", "time", "outcome"]).to_pylist() == [
        {"prediction_id": "a:0", "time": 10, "outcome": 1.0},
        {"prediction_id": "a:2", "time": 30, "outcome": 0.0},
    ]
    assert log.matured("late", start=11, columns=["variant"]).to_pylist() == [
        {"variant": "v1", "outcome": 0.0, "outcome_time": 1}
    ]
    assert log.matured("late", since_epoch=2).num_rows == 0


def test_a_transaction_is_remembered_for_each_table(log: PredictionLog) -> None:
    log.append_predictions("late", predictions(["a:0"], [10]), transaction=("stream", 77))
    assert log.shipped(log.predictions_table("late"), "stream") == 77
    assert log.shipped(log.predictions_table("late"), "other") is None
    assert log.shipped(log.predictions_table("early"), "stream") is None


def test_a_version_with_other_inputs_does_not_stop_the_log(log: PredictionLog) -> None:
    log.append_predictions("late", predictions(["a:0"], [10]))
    changed = predictions(["b:0"], [20], in_distance=["far"], in_carrier=["AA"])
    log.append_predictions("late", changed)
    log.append_predictions("late", changed)
    found = log.predictions("late", start=20, columns=["in_distance", "in_distance_string", "in_carrier"])
    assert found.to_pylist() == [{"in_distance": None, "in_distance_string": "far", "in_carrier": "AA"}] * 2


def test_ids_with_quotes_and_long_ids_are_matched(log: PredictionLog) -> None:
    ids = ["it's:0", *("x" * 64 + f":{row}" for row in range(3))]
    log.append_predictions("late", predictions(ids, [1, 2, 3, 4]))
    for name in ids:
        log.append_outcomes("late", outcomes([name], [1.0]))
    assert log.matured("late").num_rows == 4


def test_a_window_over_many_small_files_is_read_quickly(log: PredictionLog) -> None:
    for file in range(40):
        ids = [f"{uuid_utils.uuid7().hex}:{row}" for row in range(50)]
        log.append_predictions("late", predictions(ids, [file * 1000 + row for row in range(50)]))
        log.append_outcomes("late", outcomes(ids, [1.0] * 50))
    began = time.perf_counter()
    assert log.matured("late", start=5_000, end=7_000).num_rows == 100
    assert time.perf_counter() - began < 2


def test_endpoints_of_one_name_in_two_workspaces_have_logs_of_their_own(tables: DeltaTables) -> None:
    logs = PredictionLogs(tables)
    logs.of("default").append_predictions("late", predictions(["a:0"], [10]))
    logs.of("team-a").append_predictions("late", predictions(["b:0", "b:1"], [20, 30]), transaction=("stream", 5))
    logs.of("team-a").append_outcomes("late", outcomes(["a:0", "b:0"], [1.0, 1.0]))
    assert logs.of("default").predictions("late")["prediction_id"].to_pylist() == ["a:0"]
    assert logs.of("team-a").predictions("late").num_rows == 2
    assert (logs.of("default").watermark("late"), logs.of("team-a").watermark("late")) == (10, 30)
    assert logs.of("default").matured("late").num_rows == 0
    assert logs.of("team-a").matured("late")["prediction_id"].to_pylist() == ["b:0"]
    assert logs.of("default").shipped(logs.of("default").predictions_table("late"), "stream") is None


def test_the_default_workspace_keeps_the_tables_it_has_always_had(tables: DeltaTables, tmp_path: Path) -> None:
    logs = PredictionLogs(tables)
    logs.of("default").append_predictions("late", predictions(["a:0"], [10]))
    logs.of("team-a").append_predictions("late", predictions(["b:0"], [20]))
    assert (tmp_path / "tables" / "predictions" / "late" / "_delta_log").is_dir()
    assert (tmp_path / "tables" / "workspaces" / "team-a" / "predictions" / "late" / "_delta_log").is_dir()


def test_shadows_are_a_table_apart_and_set_beside_answers(log: PredictionLog) -> None:
    assert log.compared("late") == []
    ids = ["a:0", "b:0", "c:0", "d:0"]
    log.append_predictions("late", predictions(ids, [10, 20, 30, 40], status=[200, 200, 200, 500]))
    second = {"version": [2] * 4, "variant": ["v2"] * 4, "epoch": [0] * 4}
    said = pa.array([0.75, 0.25, None, 0.5], pa.float32())
    log.append_shadows(
        "late", predictions(ids, [10, 20, 30, 40], **second, status=[200, 200, 500, 200], out_probability=said)
    )
    log.append_shadows("late", predictions(["a:0"], [10], version=[3], received=[9]))
    log.append_shadows("late", predictions(["a:0"], [10], version=[3], received=[12]))  # shipped twice is counted once
    log.append_outcomes("late", outcomes(["a:0", "c:0"], [1.0, 0.0]))
    assert log.predictions("late").num_rows == 4
    assert log.watermark("late") == 40
    found, third = log.compared("late")
    assert found == ShadowComparison(2, 3, 1, 0.0, 0.25, 1, 0.25, 0.0625)
    assert (third.version, third.rows, third.mean_difference) == (3, 1, 0.0)
    assert [each.rows for each in log.compared("late", start=20)] == [2]
    assert log.shadows("late", start=20, columns=["version"]).num_rows == 3
