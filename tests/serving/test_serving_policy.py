"""What a policy adds to a split: variants on request, shadows nobody notices, fallbacks and breakers, and who is let in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import pytest

from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import (
    BreakerRule,
    Endpoint,
    Fallback,
    OutputValue,
    Policy,
    Quota,
    RouteTable,
    Shadow,
    Variant,
)
from bailiwick.endpoints.past import PastPredictions
from bailiwick.endpoints.recording import Pseudonyms
from bailiwick.serving.admission import PEER
from bailiwick.serving.breaker import SECOND_NS, Breaker
from bailiwick.serving.handler import Response
from bailiwick.serving.http.form import Asked
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.quotas import SETS, WAYS, Quotas
from bailiwick.serving.router import compile_endpoint, compile_routes
from bailiwick.serving.shadows import MOST_WAITING
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.tensors import Signature, TensorSpec
from bailiwick.store.delta import DeltaTables
from tests_support.serving import Serving

PATH = "/v2/models/late/infer"
Answer = tuple[int, dict[str, Any]]


def body(x: float = 1.0, unit: str | None = None, **more: object) -> bytes:
    inputs: list[dict[str, Any]] = [
        {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]},
        {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
    ]
    if unit is not None:
        inputs.append({"name": "tail", "datatype": "BYTES", "shape": [1, 1], "data": [unit]})
    return msgspec.json.encode({"inputs": inputs, **more})


def route(serving: Serving, *variants: Variant, **policy: Any) -> None:
    serving.revision += 1
    endpoint = Endpoint("late", "salt", serving.revision, variants, "tail", "", policy=Policy(**policy))
    serving.follower.install(RouteTable(1, serving.revision, (endpoint,)))


def ask(serving: Serving, x: float = 1.0, path: str = PATH, *, unit: str | None = None, **headers: str) -> Answer:
    return serving.call("POST", path, body(x, unit), **headers)


def version(answer: Answer) -> str:
    assert answer[0] == 200, answer
    found: str = answer[1]["model_version"]
    return found


def log(serving: Serving) -> PredictionLog:
    return PredictionLog(DeltaTables(str(serving.home / "tables")), "default")


def shipped(serving: Serving) -> list[dict[str, Any]]:
    held = log(serving)
    Shipper(serving.home / "spool", held).ship()
    rows: list[dict[str, Any]] = held.predictions("late").sort_by("received").to_pylist()
    return rows


def settled(serving: Serving, copies: int) -> None:
    """Until shadows have run what they were given."""
    serving.handler.settle()
    deadline = time.monotonic() + 10
    while serving.handler._shadows._waiting or len(serving.handler._shadows._finished) < copies:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    serving.handler.settle()


# -- variants on request -------------------------------------------------------------------------------------------------


def test_a_caller_may_ask_for_a_variant_where_the_endpoint_lets_it(serving: Serving) -> None:
    dark = serving.variant(3, 0)
    route(serving, serving.variant(2, 1), serving.variant(1, 9_999), dark, override_header="x-variant")
    assert version(ask(serving)) == "1"
    for wanted in ("1", "2", "3"):
        assert version(ask(serving, x_variant=f"v{wanted}")) == wanted
    status, answer = ask(serving, x_variant="v9")
    assert (status, answer["error"]) == (400, "Variant 'v9' is not known here; the variants are: v1, v2, v3.")
    assert version(serving.call("POST", PATH, body(parameters={"variant": "v2"}))) == "1"
    rows = shipped(serving)
    assert sorted((row["version"], row["epoch"] > 0) for row in rows) == [
        (1, False),
        (1, True),
        (1, True),
        (2, False),
        (3, False),
    ]


def test_a_variant_may_be_asked_for_by_a_parameter(serving: Serving) -> None:
    route(serving, serving.variant(2, 1), serving.variant(1, 9_999), override_parameter="variant")
    assert version(serving.call("POST", PATH, body(parameters={"variant": "v2"}))) == "2"
    assert version(serving.call("POST", PATH, body(parameters={"other": 1}))) == "1"
    assert serving.call("POST", PATH, body(parameters={"variant": 2}))[0] == 400


def test_without_a_policy_nobody_may_choose(serving: Serving) -> None:
    serving.route(serving.variant(2, 1), serving.variant(1, 9_999))
    assert version(ask(serving, x_variant="v2")) == "1"
    assert serving.handler.routes.endpoints["late"].handling is None


# -- shadows -------------------------------------------------------------------------------------------------------------


def test_a_shadow_runs_on_copies_and_is_on_record_beside_the_answers(serving: Serving) -> None:
    route(serving, serving.variant(1), shadows=(Shadow(serving.variant(2, 0), 10_000),))
    answers = [ask(serving, float(x)) for x in range(20)]
    assert {version(answer) for answer in answers} == {"1"}
    assert serving.handler.unsettled
    settled(serving, 20)
    rows = shipped(serving)
    assert {row["version"] for row in rows} == {1}
    copies = log(serving).shadows("late").to_pylist()
    assert {row["version"] for row in copies} == {2}
    assert {row["epoch"] for row in copies} == {0}
    assert sorted(row["prediction_id"] for row in copies) == sorted(row["prediction_id"] for row in rows)
    pairs = log(serving).shadowed("late").to_pylist()
    assert len(pairs) == 20
    assert all(pair["shadow_output"] - pair["output"] == 1000 for pair in pairs)
    assert pairs[0]["outcome"] is None


def test_a_share_of_the_units_is_shadowed_and_always_the_same(serving: Serving) -> None:
    route(serving, serving.variant(1), shadows=(Shadow(serving.variant(2, 0), 2_500),))
    for _ in range(2):
        for unit in range(100):
            ask(serving, unit=f"u{unit}")
        serving.handler.settle()
        time.sleep(0.1)
    settled(serving, 0)
    shipped(serving)
    seen = [row["unit"] for row in log(serving).shadows("late").to_pylist()]
    assert 10 <= len(set(seen)) <= 45
    assert len(seen) == 2 * len(set(seen))


def test_a_shadow_that_fails_fails_nobody(serving: Serving) -> None:
    """It lacks an input, it raises, it has other types, it is no model: the endpoint answers all the same."""
    extra = serving.variant(2, 0, extra=True)
    route(serving, serving.variant(1), shadows=(Shadow(extra, 10_000),))
    assert version(ask(serving)) == "1"
    with_extra = msgspec.json.decode(body())
    with_extra["inputs"].append({"name": "extra", "datatype": "FP32", "shape": [1, 1], "data": [5]})
    answer = serving.call("POST", PATH, with_extra)
    assert (version(answer), answer[1]["outputs"][0]["data"]) == ("1", [1011.0])
    assert ask(serving, -1.0)[0] == 500  # the endpoint's own fault
    settled(serving, 3)
    shipped(serving)
    copies = log(serving).shadows("late").sort_by("received").to_pylist()
    assert [row["status"] for row in copies] == [500, 200, 500]
    assert "lacks input extra" in copies[0]["error"]
    bad = Variant("v3", "late", 3, serving.store(b"no model"), 0)
    route(serving, serving.variant(1), shadows=(Shadow(bad, 10_000),))
    assert version(ask(serving)) == "1"
    assert "ONNX" in serving.handler.failures["late: shadow v3"]
    missing = Variant("v4", "late", 4, "e" * 64, 0)
    route(serving, serving.variant(1), shadows=(Shadow(missing, 10_000),))
    assert version(ask(serving)) == "1"
    assert "late: shadow v4" in serving.handler.failures


def test_shadows_that_come_too_fast_are_dropped_and_counted(serving: Serving) -> None:
    route(serving, serving.variant(1), shadows=(Shadow(serving.variant(2, 0), 10_000),))
    shadows = serving.handler._shadows
    shadows._start = lambda: None  # type: ignore[method-assign]
    for _ in range(MOST_WAITING + 7):
        assert ask(serving)[0] == 200
        serving.handler.settle()
    assert serving.metrics.shadows_dropped["late"] == 7
    assert b'bailiwick_shadows_dropped_total{endpoint="late",worker="0"} 7.0' in serving.metrics.exposition()


def test_a_spool_that_fills_up_leaves_shadows_out_first(new_serving: Any) -> None:
    serving = new_serving(spool_bytes=12_000)
    route(serving, serving.variant(1), shadows=(Shadow(serving.variant(2, 0), 10_000),))
    answered = 0
    while not serving.spool.half_full:
        answered += ask(serving)[0] == 200
    settled(serving, answered)
    assert serving.metrics.shadows_dropped["late"] == answered
    assert ask(serving)[0] == 200


# -- fallbacks and breakers ----------------------------------------------------------------------------------------------


def test_another_answers_when_a_variant_fails_and_the_record_says_why(serving: Serving) -> None:
    good = two_sided(serving)
    route(serving, serving.variant(2), fallbacks=(Fallback(good),))
    status, answer = ask(serving, -1.0, unit="u1")
    assert (status, answer["model_version"], answer["outputs"][0]["data"]) == (200, "1", [-1.0])
    assert answer["parameters"] == {"variant": "v1", "fallback": True}
    assert version(ask(serving)) == "2"
    rows = shipped(serving)
    failed = next(row for row in rows if row["status"] == 500)
    fallback = next(row for row in rows if row["version"] == 1)
    assert (failed["version"], failed["epoch"], failed["unit"]) == (2, serving.revision, "u1")
    assert (fallback["status"], fallback["epoch"], fallback["prediction_id"]) == (200, 0, failed["prediction_id"])
    assert fallback["error"].startswith("v1 answers for v2: The model failed")
    tables = DeltaTables(str(serving.home / "tables"))
    pseudonyms = Pseudonyms(b"k" * 32)
    assert PastPredictions(tables, log(serving), pseudonyms).find(["late"], failed["prediction_id"]).status == 200
    assert serving.metrics.fallbacks == {("late", "v1"): 1}
    assert serving.metrics.predictions["late", "v1"] == 1


def two_sided(serving: Serving) -> Variant:
    """A version 1 that answers what others fail on: probability = x."""
    import onnx
    from onnx import TensorProto, helper

    from tests_support.serving import signed

    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "flat"], ["probability"])],
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    return Variant("v1", "late", 1, serving.store(signed(model, ["x"])), 0)


def test_fallbacks_are_tried_in_order_down_to_a_constant(serving: Serving) -> None:
    constant = Fallback(answer=(OutputValue("probability", 0.25),))
    route(serving, serving.variant(2), fallbacks=(Fallback(serving.variant(1, 0)), constant))
    status, answer = ask(serving, -1.0)
    assert (status, answer["outputs"][0]["data"]) == (200, [0.25])
    assert answer["parameters"] == {"variant": "constant", "fallback": True}
    status, answer = serving.call(
        "POST",
        PATH,
        body(-1.0).replace(b"[-1.0]", b"[-1.0,-2.0]").replace(b'["AA"]', b'["AA","AA"]').replace(b"[1,1]", b"[2,1]"),
    )
    assert answer["outputs"][0]["data"] == [0.25, 0.25]


def test_a_row_in_plain_json_says_when_a_fallback_answers(serving: Serving) -> None:
    route(serving, serving.variant(2), fallbacks=(Fallback(answer=(OutputValue("probability", 0.25),)),))
    row = {"x": 1.0, "carrier": "AA", "tail": "u1"}
    status, answer = serving.call("POST", "/predict/late", msgspec.json.encode(row))
    assert (status, "fallback" in answer) == (200, False)
    rows: Any = serving.call("POST", "/predict/late", msgspec.json.encode([{**row, "x": -1.0}]))[1]
    assert [(each["fallback"], each["variant"]) for each in rows] == [(True, "constant")]


def test_what_cannot_stand_beside_an_endpoint_brings_no_inputs_of_its_own(serving: Serving) -> None:
    """Of a fallback that takes an input as another type, and one that gives other outputs."""
    for number, (datatype, output) in enumerate([("INT64", "probability"), ("FP32", "other")], start=3):
        package = scorer([TensorSpec("x", datatype, (-1, 1)), TensorSpec("foreign", "FP32", (-1, 1))], output)
        odd = Variant(f"v{number}", "late", number, serving.store(package), 0)
        route(serving, serving.variant(1), fallbacks=(Fallback(odd),))
        assert f"late: fallback v{number}" in serving.handler.failures
        _, told = serving.call("GET", "/v2/models/late")
        assert "foreign" not in {spec["name"] for spec in told["inputs"]}
        assert ask(serving)[0] == 200


def scorer(inputs: Sequence[TensorSpec], output: str) -> bytes:
    """A package that takes these and gives one number for a row."""
    import onnx
    from onnx import TensorProto, helper

    types = {"INT64": TensorProto.INT64, "FP32": TensorProto.FLOAT}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["number", "foreign"], ["both"]),
            helper.make_node("Reshape", ["both", "flat"], [output]),
        ],
        "odd",
        [helper.make_tensor_value_info(spec.name, types[spec.datatype], [None, 1]) for spec in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None])],
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    signature = {
        "inputs": [{"name": spec.name, "datatype": spec.datatype, "shape": [-1, 1]} for spec in inputs],
        "outputs": [{"name": output, "datatype": "FP32", "shape": [-1]}],
    }
    told = {"bailiwick.format": "1", "bailiwick.signature": msgspec.json.encode(signature).decode()}
    helper.set_model_props(model, told)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((OutputValue("other", 1.0),), "the outputs are: probability"),
        ((OutputValue("probability", "high"),), "is not"),
    ],
)
def test_a_constant_that_no_variant_could_give_is_told_of(
    serving: Serving, answer: tuple[OutputValue, ...], said: str
) -> None:
    route(serving, serving.variant(1), fallbacks=(Fallback(answer=answer),))
    assert said in serving.handler.failures["late: fallback constant"]
    assert ask(serving, -1.0)[0] == 500


def test_requests_that_fail_together_fall_back_each_by_itself(serving: Serving) -> None:
    route(serving, serving.variant(2), fallbacks=(Fallback(answer=(OutputValue("probability", 0.5),)),))
    compiled = serving.handler.routes.endpoints["late"]
    bodies = [body(x) for x in (1.0, -1.0, 3.0, 4.0)]
    found = serving.together([Asked(compiled, {}, each, perf_counter_ns(), OPEN_INFERENCE) for each in bodies])
    assert [msgspec.json.decode(each.body)["outputs"][0]["data"] for each in found] == [
        [2011.0],
        [0.5],
        [2013.0],
        [2014.0],
    ]


def test_a_variant_that_keeps_failing_is_left_alone_then_tried_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [perf_counter_ns()]
    monkeypatch.setattr("bailiwick.serving.guard.perf_counter_ns", lambda: now[0])
    rule = BreakerRule(percent=50, least=10, open_seconds=5, probes=2)
    constant = Fallback(answer=(OutputValue("probability", 0.5),))
    route(serving, serving.variant(2), fallbacks=(constant,), breaker=rule)

    def answer(x: float) -> float:
        status, found = ask(serving, x)
        assert status == 200
        value: float = found["outputs"][0]["data"][0]
        return value

    for _ in range(10):
        assert answer(-1.0) == 0.5
    assert b'bailiwick_breaker_state{endpoint="late",variant="v2",worker="0"} 1.0' in serving.metrics.exposition()
    assert answer(1.0) == 0.5  # it could answer, and is not asked
    assert serving.call("GET", "/v2/health/ready")[1]["breakers"] == {"late: v2": "open"}
    now[0] += 5 * SECOND_NS
    assert answer(-1.0) == 0.5  # tried, and failed again
    assert answer(1.0) == 0.5
    now[0] += 5 * SECOND_NS
    assert [answer(1.0) for _ in range(3)] == [2011.0] * 3
    assert serving.call("GET", "/v2/health/ready")[1]["breakers"] == {}
    rows = shipped(serving)
    alone = [row for row in rows if row["status"] == 503]
    assert len(alone) == 2
    assert {(row["version"], row["epoch"]) for row in alone} == {(2, serving.revision)}


def test_without_a_fallback_a_declared_breaker_says_503_at_once(serving: Serving) -> None:
    route(serving, serving.variant(2), breaker=BreakerRule(least=5, open_seconds=600))
    assert [ask(serving, -1.0)[0] for _ in range(6)] == [500] * 5 + [503]
    route(serving, serving.variant(1), breaker=BreakerRule(least=5, open_seconds=600))
    assert ask(serving)[0] == 200


def test_only_the_units_of_a_failing_variant_fall_back(serving: Serving) -> None:
    constant = Fallback(answer=(OutputValue("probability", 0.5),))
    route(
        serving,
        serving.variant(2, 5_000),
        serving.variant(1, 5_000),
        fallbacks=(constant,),
        breaker=BreakerRule(least=5),
    )
    units = [f"u{n}" for n in range(40)]
    before = {unit: version(ask(serving, unit=unit)) for unit in units}
    mine = [unit for unit in units if before[unit] == "2"]
    for unit in mine * 3:
        ask(serving, -1.0, unit=unit)
    after = {unit: version(ask(serving, unit=unit)) for unit in units}
    assert {after[unit] for unit in mine} == {"0"}
    assert {after[unit] for unit in units if unit not in mine} == {"1"}


def test_a_breaker_forgets_as_its_window_slides() -> None:
    breaker = Breaker(BreakerRule(percent=50, least=4, window_seconds=2))
    second, states = SECOND_NS, []

    def heard(*, well: bool, now: int, times: int = 1) -> None:
        for _ in range(times):
            breaker.heard(well=well, now=now)
        states.append(breaker.state.name)

    heard(well=False, now=0, times=3)
    heard(well=False, now=3 * second)
    heard(well=False, now=4 * second, times=3)
    assert not breaker.lets_through(4 * second)
    heard(well=True, now=5 * second)  # a call from before
    assert [breaker.lets_through(9 * second) for _ in range(4)] == [True, True, True, False]
    assert breaker.lets_through(20 * second)  # what was tried never came back
    heard(well=True, now=20 * second, times=3)
    assert states == ["CLOSED", "CLOSED", "OPEN", "OPEN", "CLOSED"]


# -- who is let in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["address", "token", "header:x-client"])
def test_each_client_has_a_quota_of_its_own(serving: Serving, by: str) -> None:
    route(serving, serving.variant(1), quota=Quota(0.5, 3, by))
    name = {"address": PEER.decode(), "token": "authorization"}.get(by, "x-client")

    def status(client: str, path: str = PATH) -> tuple[int, list[bytes]]:
        response = serving.handler.handle("POST", path, {name.encode(): client.encode()}, body())
        return response.status, [value for key, value in response.headers if key == b"retry-after"]

    assert [status("a")[0] for _ in range(4)] == [200, 200, 200, 429]
    assert status("a", "/v2/models/late/versions/1/infer")[0] == 429  # a version's own URL is no way round
    assert status("b") == (200, [])
    assert status("a") == (429, [b"2"])
    assert serving.metrics.over_quota["late"] == 3
    assert b'bailiwick_inference_requests_total{endpoint="late",status="429"' in serving.metrics.exposition()


def test_a_quota_fills_up_again() -> None:
    quotas, quota = Quotas(), Quota(10, 2)
    assert [quotas.take("late", quota, b"a", 0) for _ in range(2)] == [0, 0]
    assert quotas.take("late", quota, b"a", 0) == pytest.approx(0.1)
    assert quotas.take("other", quota, b"a", 0) == 0
    assert quotas.take("late", quota, b"a", SECOND_NS // 10) == 0
    assert [quotas.take("late", quota, b"a", 100 * SECOND_NS) for _ in range(3)] == [0, 0, pytest.approx(0.1)]
    quotas.close()


def test_processes_of_a_machine_take_from_one_quota(tmp_path: Path) -> None:
    one, other = Quotas(tmp_path), Quotas(tmp_path)
    quota = Quota(1, 3)
    assert [each.take("late", quota, b"a", 10 * SECOND_NS) for each in (one, other, one)] == [0, 0, 0]
    assert other.take("late", quota, b"a", 10 * SECOND_NS) == 1.0
    assert other.take("late", quota, b"b", 10 * SECOND_NS) == 0
    one.close()
    again = Quotas(tmp_path)
    assert again.take("late", quota, b"a", 10 * SECOND_NS) == 1.0
    assert again.take("late", quota, b"a", 2 * SECOND_NS) == 0  # the machine has started anew, and so has its clock
    again.close()
    other.close()


def test_of_more_clients_than_there_is_room_for_the_silent_are_forgotten() -> None:
    quotas, quota = Quotas(), Quota(0.001, 2)
    for client in range(SETS * WAYS * 2):
        assert quotas.take("late", quota, b"%d" % client, client) == 0
    now = SETS * WAYS * 2
    assert [quotas.take("late", quota, b"%d" % (now - 1), now) > 0 for _ in range(2)] == [False, True]
    known = sum(quotas.take("late", quota, b"%d" % client, now) == 0 for client in range(now - 1000, now - 1))
    assert known == 999
    again = sum(quotas.take("late", quota, b"%d" % client, now) > 0 for client in range(now - 1000, now - 1))
    assert again > 900  # the latest are remembered
    quotas.close()


def test_a_request_whose_deadline_has_passed_is_not_run(serving: Serving) -> None:
    serving.route(serving.variant(1))
    compiled = serving.handler.routes.endpoints["late"]

    def status(stated: bytes, age_ms: int) -> int:
        arrived = perf_counter_ns() - age_ms * 1_000_000
        asked = Asked(compiled, {b"x-request-deadline-ms": stated}, body(), arrived, OPEN_INFERENCE)
        return serving.together([asked])[0].status

    assert [status(b"5000", 0), status(b"5", 20), status(b"50", 20)] == [200, 504, 200]
    assert [status(stated, 0) for stated in (b"", b"soon", b"0", b"-1", b"1e3", b"9" * 30)] == [400] * 6
    assert serving.metrics.expired["late"] == 1
    assert len(shipped(serving)) == 2


def test_an_endpoint_may_have_a_deadline_of_its_own(serving: Serving) -> None:
    route(serving, serving.variant(1), deadline_ms=10)
    compiled = serving.handler.routes.endpoints["late"]
    asked = Asked(compiled, {}, body(), perf_counter_ns() - 20_000_000, OPEN_INFERENCE)
    assert serving.together([asked])[0].status == 504
    assert ask(serving)[0] == 200


def test_old_routes_on_disk_are_served_and_new_ones_keep_all_packages(serving: Serving, tmp_path: Path) -> None:
    variant, shadow = serving.variant(1), serving.variant(2, 0)
    route(serving, variant, shadows=(Shadow(shadow, 100),))
    serving.follower._keep(1)
    table = serving.cache.load()
    assert table is not None
    assert table.endpoints[0].packages == {variant.package, shadow.package}
    old = msgspec.json.decode((serving.home / "serve" / "routes.json").read_bytes())
    del old["endpoints"][0]["policy"]
    (serving.home / "serve" / "routes.json").write_bytes(msgspec.json.encode(old))
    again = serving.cache.load()
    assert again is not None
    assert again.endpoints[0].policy == Policy()


def test_of_more_than_may_wait_the_important_and_the_first_are_answered(serving: Serving) -> None:
    route(serving, serving.variant(1), queue=3, priority_header="x-priority")
    compiled = serving.handler.routes.endpoints["late"]
    priorities = [b"low", b"normal", b"low", b"high", b"normal", b"high"]
    asked = [Asked(compiled, {b"x-priority": each}, body(), perf_counter_ns(), OPEN_INFERENCE) for each in priorities]
    assert serving.handler.surplus(asked[:3]) == {}
    refused = serving.handler.surplus(asked)
    assert sorted(refused) == [0, 2, 4]
    assert {each.status for each in refused.values()} == {503}
    assert serving.metrics.turned_away["late"] == 3


# -- slow models ---------------------------------------------------------------------------------------------------------


class Slow:
    """Takes its time, in a thread; answers x + 1."""

    apart = True
    platform = "python"
    lanes = 2

    def __init__(self, seconds: float) -> None:
        self.signature = Signature(
            (TensorSpec("x", "FP32", (-1, 1)), TensorSpec("carrier", "BYTES", (-1, 1))),
            (TensorSpec("probability", "FP32", (-1,)),),
        )
        self.blocks = blocks_of(self.signature.inputs)
        self.seconds = seconds
        self.runs = 0

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        self.runs += 1
        time.sleep(self.seconds)
        return [feed["x"].ravel() + 1]

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


def slow_routes(serving: Serving, seconds: float, **policy: Any) -> Slow:
    model = Slow(0)
    endpoint = Endpoint("late", "s", 1, (Variant("v1", "late", 1, "f" * 64, 10_000),), "", "", policy=Policy(**policy))
    serving.handler.routes = compile_routes(1, {"late": compile_endpoint(endpoint, {"f" * 64: model})})
    model.seconds = seconds
    return model


async def in_thread(work: Any) -> Any:
    return await asyncio.to_thread(work)


def ask_apart(serving: Serving, count: int, headers: Sequence[dict[bytes, bytes]] = ({},)) -> list[Response]:
    compiled = serving.handler.routes.apart[PATH]

    async def all_of_them() -> list[Response]:
        sent = (
            Asked(compiled, headers[n % len(headers)], body(), perf_counter_ns(), OPEN_INFERENCE) for n in range(count)
        )
        return list(await asyncio.gather(*(serving.handler.handle_apart(each, in_thread) for each in sent)))

    return asyncio.run(all_of_them())


def test_a_model_that_is_too_slow_is_not_waited_for(serving: Serving) -> None:
    constant = Fallback(answer=(OutputValue("probability", 0.5),))
    model = slow_routes(serving, 0.4, fallbacks=(constant,), slow_ms=50, breaker=BreakerRule(least=4, open_seconds=600))
    answers = ask_apart(serving, 8)
    assert {msgspec.json.decode(each.body)["outputs"][0]["data"][0] for each in answers} == {0.5}
    rows = shipped(serving)
    assert {row["status"] for row in rows if row["variant"] == "v1"} == {504}
    assert "took longer than 50 ms" in rows[0]["error"]
    assert serving.handler._guard.breakers.not_closed() == {"late: v1": "open"}
    before = model.runs
    assert ask_apart(serving, 3)[0].status == 200
    assert model.runs == before  # it is not even asked


def test_a_full_queue_is_503_with_retry_after_and_importance_counts(serving: Serving) -> None:
    slow_routes(serving, 0.05, queue=4, priority_header="x-priority")
    answers = ask_apart(serving, 20)
    statuses = [each.status for each in answers]
    assert statuses.count(200) == 6  # two run at once, four wait
    assert statuses.count(503) == 14
    assert {value for each in answers for name, value in each.headers if name == b"retry-after"} == {b"1"}
    assert serving.metrics.turned_away["late"] == 14
    mixed: list[dict[bytes, bytes]] = [{b"x-priority": b"low"}] * 8 + [{b"x-priority": b"high"}] * 2
    answers = ask_apart(serving, 10, mixed)
    assert [each.status for each in answers[8:]] == [200, 200]
    assert [each.status for each in answers[:8]].count(200) == 4
