"""What the policy of an endpoint keeps of its predictions, from the spool to the log."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import Endpoint, RouteTable
from bailiwick.endpoints.past import PastPredictions, Sought
from bailiwick.endpoints.recording import EVERYTHING, Pseudonyms, Recording
from bailiwick.monitoring.windows import read_rows
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.streams import segments
from bailiwick.store.delta import DeltaTables
from tests_support.serving import Serving

EVENT = 1_700_000_000_000
PSEUDONYMS = Pseudonyms(b"k" * 32)


def body(request_id: str | None = None, *, tail: str = "N1", x: float = 1.0, rows: int = 1) -> dict[str, Any]:
    sent: dict[str, Any] = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": [x] * rows},
            {"name": "carrier", "datatype": "BYTES", "shape": [rows], "data": ["AA"] * rows},
            {"name": "tail", "datatype": "BYTES", "shape": [rows], "data": [tail] * rows},
            {"name": "at", "datatype": "INT64", "shape": [rows], "data": [EVENT + row for row in range(rows)]},
        ]
    }
    return sent if request_id is None else sent | {"id": request_id}


def route(serving: Serving, recording: Recording) -> Endpoint:
    serving.revision += 1
    variant = serving.variant(1)
    endpoint = Endpoint("late", "salt", serving.revision, (variant,), "tail", "at", recording)
    serving.follower.install(RouteTable(1, serving.revision, (endpoint,)))
    return endpoint


@pytest.fixture
def log(tables: DeltaTables) -> PredictionLog:
    return PredictionLog(tables, "default")


@pytest.fixture
def shipper(serving: Serving, log: PredictionLog) -> Shipper:
    return Shipper(serving.home / "spool", log, PSEUDONYMS)


def spooled(serving: Serving) -> bytes:
    return b"".join(path.read_bytes() for _, path in segments(serving.spool.folder))


def test_an_omitted_input_is_answered_with_and_never_written_anywhere(
    serving: Serving, shipper: Shipper, log: PredictionLog
) -> None:
    route(serving, Recording(omitted=("carrier",)))
    sent = body("r1")
    sent["inputs"][1]["data"] = ["UA"]
    status, answer = serving.infer(sent)
    assert (status, answer["outputs"][0]["data"]) == (200, [1021.0])
    assert b'"UA"' not in spooled(serving)
    shipper.ship()
    (row,) = log.predictions("late").to_pylist()
    assert "in_carrier" not in row
    assert (row["in_x"], row["withheld"], row["unit"], row["time"]) == (1.0, "carrier", "N1", EVENT)


def test_hashed_inputs_and_units_stay_comparable_and_cannot_be_read(
    serving: Serving, shipper: Shipper, log: PredictionLog
) -> None:
    route(serving, Recording(hashed=("tail", "carrier")))
    for number, tail in enumerate(("N1", "N1", "N2")):
        serving.infer(body(f"r{number}", tail=tail))
    shipper.ship()
    rows = log.predictions("late").sort_by("request_id").to_pylist()
    units = [row["unit"] for row in rows]
    assert units == [PSEUDONYMS.of("tail", "N1"), PSEUDONYMS.of("tail", "N1"), PSEUDONYMS.of("tail", "N2")]
    assert {row["hashed_carrier"] for row in rows} == {PSEUDONYMS.of("carrier", "AA")}
    assert Pseudonyms(b"j" * 32).of("tail", "N1") != units[0]
    assert "in_carrier" not in rows[0]


def test_without_a_key_what_should_be_hashed_is_left_out(serving: Serving, log: PredictionLog) -> None:
    route(serving, Recording(hashed=("tail", "carrier")))
    serving.infer(body("r1"))
    Shipper(serving.home / "spool", log).ship()
    (row,) = log.predictions("late").to_pylist()
    assert row["unit"] is None
    assert not [name for name in row if "carrier" in name]


def test_a_share_keeps_the_inputs_of_some_requests_and_the_rest_of_all(
    serving: Serving, shipper: Shipper, log: PredictionLog
) -> None:
    route(serving, Recording(share=2_500))
    for number in range(400):
        assert serving.infer(body(f"r{number}"))[0] == 200
    shipper.ship()
    rows = log.predictions("late").to_pylist()
    kept = [row for row in rows if row["withheld"] is None]
    assert len(rows) == 400
    assert 60 < len(kept) < 140
    assert {row["in_x"] for row in kept} == {1.0}
    assert {row["in_x"] for row in rows if row["withheld"] == EVERYTHING} == {None}
    assert {(row["out_probability"], row["unit"], row["status"]) for row in rows} == {(1011.0, "N1", 200)}
    counted = {how: count for (_, how), count in serving.metrics.recorded.items()}
    assert counted == {"whole": len(kept), "withheld": 400 - len(kept)}
    assert b'bailiwick_predictions_recorded_total{as="whole"' in serving.metrics.exposition()


def test_a_monitor_takes_what_was_not_kept_for_not_known_instead_of_missing(
    serving: Serving, shipper: Shipper, log: PredictionLog
) -> None:
    route(serving, Recording())
    serving.infer(body("before", rows=3))
    route(serving, Recording(share=0))
    serving.infer(body("nothing", rows=3))
    route(serving, Recording(omitted=("carrier",)))
    serving.infer(body("some", rows=3))
    shipper.ship()
    inputs = read_rows(log, "late", EVENT, EVENT + 10).inputs
    assert inputs.column_names == ["x", "out_probability"]
    assert inputs["x"].to_pylist() == [1.0] * 6


def test_personal_columns_are_hashed_unless_something_else_is_said() -> None:
    policy = Recording(personal=("name", "tail"), omitted=("name",))
    assert [policy.treatment(column) for column in ("name", "tail", "x")] == ["omit", "hash", "keep"]
    assert msgspec.structs.replace(policy, personal_rule="keep").treatment("tail") == "keep"
    assert Recording(columns=("x",)).treatment("tail") == "omit"
    assert not Recording(personal=("tail",), personal_rule="keep").withholds


def test_refused_requests_are_on_record_where_the_policy_says_so(
    serving: Serving, shipper: Shipper, log: PredictionLog, tables: DeltaTables
) -> None:
    route(serving, Recording(refused=True))
    assert serving.infer({"inputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]})[0] == 400
    assert serving.infer(b"{")[0] == 400
    assert serving.infer(body("r1"))[0] == 200
    route(serving, Recording())
    assert serving.infer(b"{")[0] == 400
    assert shipper.ship() == 3
    past = PastPredictions(tables, log, PSEUDONYMS)
    found = past.refusals("late")
    assert [(each.status, each.endpoint) for each in found] == [(400, "late")] * 2
    assert {each.body_bytes for each in found} == {1, 66}
    assert any("is not known here" in each.error for each in found)
    assert log.predictions("late").num_rows == 1
    assert serving.metrics.recorded["late", "refused"] == 2


def test_a_full_spool_turns_requests_away_or_drops_and_counts_as_the_policy_says(new_serving: Any) -> None:
    serving = new_serving(spool_bytes=20_000)
    route(serving, Recording())
    statuses = [serving.infer(body())[0] for _ in range(200)]
    assert set(statuses) == {200, 503}
    assert serving.metrics.recorded["late", "dropped"] == 0
    route(serving, Recording(when_full="drop"))
    assert {serving.infer(body())[0] for _ in range(50)} == {200}
    assert serving.metrics.recorded["late", "dropped"] >= 49
    assert sum(path.stat().st_size for _, path in segments(serving.spool.folder)) <= 20_000


def test_memory_does_not_grow_while_nothing_is_shipped(new_serving: Any) -> None:
    serving = new_serving(spool_bytes=200_000)
    route(serving, Recording(when_full="drop"))
    for _ in range(500):
        serving.infer(body(rows=20))
    before = _resident_bytes()
    for _ in range(3_000):
        assert serving.infer(body(rows=20))[0] == 200
    assert _resident_bytes() - before < 4 << 20
    assert serving.metrics.recorded["late", "dropped"] > 50_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_route_table_that_was_kept_before_there_were_policies_still_loads(serving: Serving) -> None:
    table = serving.cache.load()
    assert table is None
    route(serving, Recording())
    serving.follower._keep(serving.revision)
    path = serving.home / "serve" / "routes.json"
    told = msgspec.json.decode(path.read_bytes())
    for endpoint in told["endpoints"]:
        endpoint.pop("recording", None)
    path.write_bytes(msgspec.json.encode(told))
    loaded = serving.cache.load()
    assert loaded is not None
    assert loaded.endpoints[0].recording == Recording()


def test_binary_tensors_and_matrices_lose_the_same_columns(serving: Serving) -> None:
    route(serving, Recording(omitted=("x",)))
    head = msgspec.json.encode(
        {
            "id": "b1",
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}},
                {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
            ],
        }
    )
    value = np.float32(1234.5).tobytes()
    length = str(len(head))
    status, _ = serving.call("POST", "/v2/models/late/infer", head + value, inference_header_content_length=length)
    assert status == 200
    assert value not in spooled(serving).replace(np.float32(1234.5 + 1010).tobytes(), b"")


SHIP = textwrap.dedent("""
    import sys
    from pathlib import Path
    from bailiwick.endpoints.log import PredictionLog
    from bailiwick.endpoints.recording import Pseudonyms
    from bailiwick.serving import shipper
    from bailiwick.store.delta import DeltaTables
    shipper.CHUNK_BYTES = 4_000
    log = PredictionLog(DeltaTables(sys.argv[2]), "default")
    shipper.Shipper(Path(sys.argv[1]), log, Pseudonyms(b"k" * 32)).ship()
""")


def test_a_shipper_killed_at_every_point_records_whole_withheld_and_refused_requests_once(
    serving: Serving, tables: DeltaTables, log: PredictionLog
) -> None:
    serving.spool._segment_limit = 4_000
    route(serving, Recording(share=5_000, hashed=("tail",), refused=True))
    for number in range(30):
        serving.infer(body(f"a{number}", rows=3))
        serving.infer(b"{" * (number + 1))
    os.close(serving.spool._lock)
    serving.spool._lock = os.open(os.devnull, os.O_RDONLY)
    with segments(serving.spool.folder)[-1][1].open("ab") as file:
        file.write(b"\xff\0\0\0torn at its end")
    command = [sys.executable, "-c", SHIP, str(serving.home / "spool"), tables.root]
    killed, left = 0, 1
    while left and killed < 40:
        environment = os.environ | {"BAILIWICK_FAULT": f"*:{1 + killed % 3}", "PYTHONPATH": os.pathsep.join(sys.path)}
        left = subprocess.run(command, env=environment, check=False).returncode
        assert left in {0, -9}
        killed += left != 0
    assert killed > 5
    rows = log.predictions("late").to_pylist()
    assert sorted(row["prediction_id"] for row in rows) == sorted(f"a{n}:{row}" for n in range(30) for row in range(3))
    assert {row["unit"] for row in rows} == {PSEUDONYMS.of("tail", "N1")}
    past = PastPredictions(tables, log, PSEUDONYMS)
    assert sorted(each.body_bytes for each in past.refusals("late", limit=100)) == list(range(1, 31))


def test_pages_of_past_predictions_go_by_arrival_and_miss_none(
    serving: Serving, shipper: Shipper, log: PredictionLog, tables: DeltaTables
) -> None:
    route(serving, Recording(hashed=("tail",)))
    for number in range(25):
        serving.infer(body(f"r{number:02}", tail=f"N{number % 5}", x=float(number)))
        if number % 7 == 0:
            shipper.ship()
    shipper.ship()
    past = PastPredictions(tables, log, PSEUDONYMS)
    seen, after = [], ""
    while True:
        page = past.page({"late": "tail"}, Sought(), limit=4, after=after)
        seen += page.items
        after = page.next
        if not after:
            break
    assert sorted(each.id for each in seen) == [f"r{number:02}:0" for number in range(25)]
    assert [each.received for each in seen] == sorted((each.received for each in seen), reverse=True)
    assert seen[0].inputs == {}
    assert seen[0].outputs["probability"] > 1_000
    mine = past.page({"late": "tail"}, Sought(unit="N3", status=200), limit=50)
    assert {each.id for each in mine.items} == {f"r{number:02}:0" for number in range(25) if number % 5 == 3}
    found = past.find(["late", "other"], "r07:0")
    assert (found.value("x"), found.value("carrier"), found.withheld) == (7.0, "AA", ())
