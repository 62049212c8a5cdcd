"""Requests that share a run: each answered as it would be alone, whatever the others are. Each defect of peers is a test."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bailiwick.core.errors import Unavailable
from bailiwick.endpoints.model import Endpoint, Variant
from bailiwick.serving.frames import Prediction, read_frames, read_payload
from bailiwick.serving.gathering import SlowModels, portions, run_portion
from bailiwick.serving.handler import Response
from bailiwick.serving.http.form import Asked, Taken
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.protocol import Refused, parse_infer
from bailiwick.serving.router import MOST_ROWS, CompiledEndpoint, compile_endpoint
from bailiwick.serving.rowwise import FEW, PAIR, answers_row_by_row, worth_gathering
from bailiwick.serving.runtime import ModelFailed
from bailiwick.serving.tensors import Signature, TensorSpec
from tests_support.serving import CODES, Serving, signed

Row = tuple[float, str]


def body(rows: Sequence[Row], **more: object) -> bytes:
    size = len(rows)
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [size, 1], "data": [x for x, _ in rows]},
        {"name": "carrier", "datatype": "BYTES", "shape": [size, 1], "data": [carrier for _, carrier in rows]},
    ]
    return msgspec.json.encode({"inputs": inputs, **more})


def expected(rows: Sequence[Row], version: int = 1) -> list[float]:
    return [x + CODES.get(carrier, 0.0) + 1000.0 * version for x, carrier in rows]


def together(serving: Serving, *bodies: bytes, path: str = "/v2/models/late/infer") -> list[tuple[int, dict[str, Any]]]:
    compiled = serving.handler.routes.infer_paths[path]
    found = serving.together([Asked(compiled, {}, each, perf_counter_ns(), OPEN_INFERENCE) for each in bodies])
    return [(response.status, msgspec.json.decode(response.body)) for response in found]


def data(answer: dict[str, Any]) -> list[float]:
    values: list[float] = answer["outputs"][0]["data"]
    return values


def recorded(serving: Serving) -> list[Prediction]:
    raw = b"".join(path.read_bytes() for path in sorted(serving.spool.folder.glob("*.log")))
    definitions: dict[int, Any] = {}
    read = [read_payload(payload, definitions) for _, payload in read_frames(raw)]
    return [each for each in read if isinstance(each, Prediction)]


@pytest.fixture
def one(serving: Serving) -> Serving:
    serving.route(serving.variant(1))
    return serving


def test_each_caller_gets_its_own_rows_and_all_share_one_run(one: Serving) -> None:
    """MLServer #1306, #1911: one caller receives everybody's rows, the others none."""
    sent = [[(1.0, "AA")], [(2.0, "UA"), (3.0, "?")], [(4.0, "AA")], [(5.0, "UA")]]
    answers = together(one, *(body(rows, id=f"r{place}") for place, rows in enumerate(sent)))
    assert [status for status, _ in answers] == [200] * 4
    assert [data(answer) for _, answer in answers] == [expected(rows) for rows in sent]
    assert [answer["id"] for _, answer in answers] == ["r0", "r1", "r2", "r3"]
    assert (one.metrics.runs["late"], one.metrics.runs_requests["late"]) == (1, 4)
    kept = recorded(one)
    assert [each.request_id for each in kept] == ["r0", "r1", "r2", "r3"]
    assert [np.frombuffer(each.outputs[0], np.float32).tolist() for each in kept] == [expected(rows) for rows in sent]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 90).map(float), st.sampled_from(["AA", "UA", "?"])), min_size=1, max_size=9),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0, 2500, 10_000]),
)
def test_any_way_to_divide_rows_into_requests_gives_the_same_rows(
    serving: Serving, sent: list[list[Row]], weight: int
) -> None:
    serving.route(*(v for v in (serving.variant(2, weight), serving.variant(1, 10_000 - weight)) if v.weight))
    bodies = [body(rows, id=f"r{place}") for place, rows in enumerate(sent)]
    alone = [serving.call("POST", "/v2/models/late/infer", each) for each in bodies]
    assert together(serving, *bodies) == alone


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (body([(-1.0, "AA")]), 500),  # the model fails on it
        (body([(1.0, "AA"), (-1.0, "AA")]), 500),
        (b"{", 400),
        (body([(1.0, "AA")]).replace(b"FP32", b"FP64"), 400),
        (body([(1e300, "AA")]), 400),
    ],
)
def test_what_is_wrong_with_one_request_is_told_to_that_one_only(one: Serving, bad: bytes, status: int) -> None:
    """MLServer #1312, and any batcher that fails a batch as one."""
    answers = together(one, body([(1.0, "AA")]), bad, body([(2.0, "UA")]), body([(3.0, "UA")]))
    assert [each for each, _ in answers] == [200, status, 200, 200]
    assert [data(answers[place][1]) for place in (0, 2, 3)] == [[1011.0], [1022.0], [1023.0]]
    assert [each.status for each in recorded(one)] == ([200, 500, 200, 200] if status == 500 else [200] * 3)


def test_requests_that_lack_an_input_are_told_so_and_nobody_else(serving: Serving) -> None:
    serving.route(serving.variant(2, 5000, extra=True), serving.variant(1, 5000))
    rows: list[Row] = [(1.0, "AA")]
    with_extra = msgspec.json.decode(body(rows))
    with_extra["inputs"].append({"name": "extra", "datatype": "FP32", "shape": [1, 1], "data": [5]})
    bodies = [body(rows, id=f"r{n}") for n in range(8)]
    whole = [msgspec.json.encode({**with_extra, "id": f"w{n}"}) for n in range(8)]
    answers = together(serving, *bodies, *whole)
    assert {status for status, _ in answers[:8]} == {200, 400}
    assert {status for status, _ in answers[8:]} == {200}
    assert answers == [serving.call("POST", "/v2/models/late/infer", each) for each in (*bodies, *whole)]


def test_null_of_one_caller_stays_with_it(one: Serving) -> None:
    sent = msgspec.json.decode(body([(1.0, "AA")]))
    sent["inputs"][0]["data"] = [None]
    plain = body([(1.0, "AA")])
    answers = together(one, plain, msgspec.json.encode(sent), plain, plain)
    assert [data(answer) for _, answer in answers] == [[1011.0], [None], [1011.0], [1011.0]]


def two_outputs() -> bytes:
    """`probability` = x, `twice` = 2x."""
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["probability"]),
        helper.make_node("Add", ["probability", "probability"], ["twice"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("probability", "twice")]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        outputs,
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    signature = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1]} for name in ("probability", "twice")],
    }
    helper.set_model_props(model, {"bailiwick.signature": msgspec.json.encode(signature).decode()})
    return bytes(model.SerializeToString())


def test_each_caller_gets_the_outputs_it_asks_for(serving: Serving) -> None:
    """MLServer #514: batching ignores the requested outputs."""
    serving.route(Variant("v1", "late", 1, serving.store(two_outputs()), 10_000))

    def asked(x: float, *names: str) -> bytes:
        inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]}]
        return msgspec.json.encode({"inputs": inputs, "outputs": [{"name": name} for name in names]})

    answers = together(serving, asked(1), asked(2, "twice"), asked(3, "twice", "probability"), asked(4, "none"))
    found = [
        [(each["name"], each["data"]) for each in answer["outputs"]] if status == 200 else status
        for status, answer in answers
    ]
    assert found == [
        [("probability", [1.0]), ("twice", [2.0])],
        [("twice", [4.0])],
        [("twice", [6.0]), ("probability", [3.0])],
        400,
    ]


def taken(compiled: CompiledEndpoint, rows: int, name: str = "r", x: float = 1.0) -> Taken:
    request = body([(x, "AA")] * rows)
    return Taken(
        compiled, compiled.binder.bind(parse_infer(request)), None, name, request, perf_counter_ns(), 0, OPEN_INFERENCE
    )


def test_no_run_has_more_rows_than_it_may_and_no_request_is_cut(one: Serving) -> None:
    """BentoML #3710: more than max_batch_size; #3859: a client's own batch counts as one; #4856: one fails."""
    compiled = one.handler.routes.endpoints["late"]
    sizes = [1, MOST_ROWS, 7, MOST_ROWS - 7, 1, MOST_ROWS * 3, 1, MOST_ROWS]
    runs = portions([taken(compiled, size) for size in sizes])
    held = [[each.batch.rows for each in run] for run in runs]
    assert sorted(size for run in held for size in run) == sorted(sizes)
    assert all(sum(run) <= MOST_ROWS or len(run) == 1 for run in held)
    assert [7, MOST_ROWS - 7] in held
    for run in runs:
        assert [len(done.outputs[0]) for done in run_portion(run, None)] == [each.batch.rows for each in run]


def test_versions_are_never_mixed(serving: Serving) -> None:
    serving.route(serving.variant(1))
    old = serving.handler.routes.endpoints["late"]
    serving.route(serving.variant(2))
    new = serving.handler.routes.endpoints["late"]
    asked = [Asked(each, {}, body([(1.0, "AA")]), perf_counter_ns(), OPEN_INFERENCE) for each in (old, new, old, new)]
    answers = [msgspec.json.decode(each.body) for each in serving.together(asked)]
    assert [answer["model_version"] for answer in answers] == ["1", "2", "1", "2"]
    assert [data(answer) for answer in answers] == [[1011.0], [2011.0], [1011.0], [2011.0]]


def mean_package() -> bytes:
    """probability = x minus the mean of the rows it is run with: what it answers depends on who else asks."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["centred"]),
            helper.make_node("Reshape", ["centred", "flat"], ["probability"]),
        ],
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    return signed(model, ["x"])


def test_a_model_that_looks_at_all_rows_at_once_is_never_batched(serving: Serving) -> None:
    serving.route(Variant("v1", "late", 1, serving.store(mean_package()), 10_000))
    bodies = [
        msgspec.json.encode({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]}]})
        for x in (1.0, 5.0, 7.0, 9.0)
    ]
    assert [data(answer) for _, answer in together(serving, *bodies)] == [[0.0]] * 4
    assert serving.handler.routes.endpoints["late"].most_rows == 0


def test_a_full_spool_answers_none_of_them(new_serving: Any) -> None:
    serving = new_serving(spool_bytes=3_000)
    serving.route(serving.variant(1))
    answers = together(serving, *(body([(1.0, "AA")] * 20) for _ in range(9)))
    assert {status for status, _ in answers} == {503}
    assert recorded(serving) == []


# -- slow models ---------------------------------------------------------------------------------------------------------


class SlowModel:
    """Adds one; fails on negative values. Says how many rows each run had."""

    apart = True
    platform = "python"
    lanes = 1

    def __init__(self, seconds: float = 0.05) -> None:
        self.signature = Signature((TensorSpec("x", "FP32", (-1, 1)),), (TensorSpec("y", "FP32", (-1,)),))
        self.blocks = blocks_of(self.signature.inputs)
        self.seconds, self.runs, self.at_once, self.most_at_once = seconds, [0], 0, 0
        self.runs.clear()
        self.lock = threading.Lock()

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        values = feed["x"].ravel()
        self.runs.append(len(values))
        time.sleep(self.seconds)
        with self.lock:
            self.at_once -= 1
        if (values == -2).any():
            raise Unavailable("It is not there.")
        if (values == -1).any():
            raise ModelFailed("It is negative.")
        return [values + 1]

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


def slow(seconds: float = 0.05, lanes: int = 1) -> tuple[SlowModel, CompiledEndpoint]:
    model = SlowModel(0)
    model.lanes = lanes
    variant = Variant("v1", "slow", 1, "a" * 64, 10_000)
    compiled = compile_endpoint(Endpoint("slow", "s", 1, (variant,)), {"a" * 64: model})
    model.seconds, model.most_at_once = seconds, 0
    model.runs.clear()
    return model, compiled


def bound(compiled: CompiledEndpoint, *xs: float, priority: int = 1, deadline: int = 0) -> Taken:
    sent = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(xs), 1], "data": list(xs)}]}
    batch = compiled.binder.bind(parse_infer(msgspec.json.encode(sent)))
    return Taken(
        compiled, batch, None, "r", b"", perf_counter_ns(), 0, OPEN_INFERENCE, priority=priority, deadline=deadline
    )


async def in_thread(work: Any) -> Any:
    return await asyncio.to_thread(work)


def run_slow(requests: Sequence[Taken]) -> list[Any]:
    lines = SlowModels(Metrics(0, dict))

    async def all_of_them() -> list[Any]:
        asked = (lines.run(each, in_thread) for each in requests)
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(all_of_them())
    assert (lines.waiting, lines._lines, lines._tasks) == (0, {}, set())
    return found


def test_what_comes_while_a_slow_model_runs_shares_the_next_run() -> None:
    model, compiled = slow()
    done = run_slow([bound(compiled, float(n), n + 0.5) for n in range(20)])
    assert [each.outputs[0].tolist() for each in done] == [[n + 1, n + 1.5] for n in range(20)]
    assert model.runs == [2, 38]
    assert model.most_at_once == 1


def test_a_lone_request_never_waits() -> None:
    """BentoML #3200, #4265, MLServer #1936: a window or a knob that delays or refuses who is alone."""
    model, compiled = slow(seconds=0)
    began = time.monotonic()
    for _ in range(20):
        assert run_slow([bound(compiled, 1.0)])[0].outputs[0].tolist() == [2.0]
    assert time.monotonic() - began < 2
    assert model.runs == [1] * 20


def test_as_many_runs_go_on_at_once_as_there_are_processes() -> None:
    model, compiled = slow(lanes=3)
    run_slow([bound(compiled, float(n)) for n in range(12)])
    assert model.runs == [1, 1, 1, 9]
    assert model.most_at_once == 3


def test_a_run_that_fails_is_made_again_for_each_alone() -> None:
    model, compiled = slow(seconds=0.01)
    done = run_slow([bound(compiled, float(n)) for n in (0, 1, -1, 3)])
    assert [each.outputs[0].tolist() if not each.error else each.error for each in done] == [
        [1.0],
        [2.0],
        "It is negative.",
        [4.0],
    ]
    assert model.runs == [1, 3, 1, 1, 1]


def test_what_running_raises_reaches_those_it_concerns() -> None:
    _, compiled = slow(seconds=0.01)
    done = run_slow([bound(compiled, float(n)) for n in (0, -2)])
    assert done[0].outputs[0].tolist() == [1.0]
    assert isinstance(done[1], Unavailable)


def test_a_model_that_cannot_be_tried_is_not_batched() -> None:
    class Picky(SlowModel):
        def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
            raise ModelFailed("Nothing is right for it.")

    assert answers_row_by_row(SlowModel(0))
    assert not answers_row_by_row(Picky(0))


def test_a_request_whose_deadline_passes_while_it_waits_is_not_run() -> None:
    model, compiled = slow()
    late = perf_counter_ns() + 20_000_000
    done = run_slow([bound(compiled, float(n), deadline=late) for n in range(3)])
    assert done[0].outputs[0].tolist() == [1.0]
    assert [(each.status, each.message) for each in done[1:]] == [
        (504, "The deadline passed before the model could run.")
    ] * 2
    assert model.runs == [1]


def test_who_matters_more_goes_first_and_may_turn_others_out() -> None:
    model, compiled = slow()
    lines = SlowModels(Metrics(0, dict))
    order: list[str] = []

    async def ask(name: str, priority: int) -> None:
        try:
            each = bound(compiled, *[1.0] * 200, priority=priority)  # no two fit into one run
            await lines.run(each, in_thread)
            order.append(name)
        except Refused as error:
            order.append(f"{name}: {error.status}")

    async def story() -> None:
        asked = [asyncio.create_task(ask(*each)) for each in (("first", 2), ("low", 2), ("normal", 1), ("lower", 2))]
        await asyncio.sleep(0.01)
        assert lines.waiting == 3
        assert not lines.turn_out(2)
        assert lines.turn_out(0)
        asked.append(asyncio.create_task(ask("high", 0)))
        await asyncio.gather(*asked)

    asyncio.run(story())
    assert order == ["lower: 503", "first", "high", "normal", "low"]
    assert model.runs == [200] * 4


def test_how_many_are_worth_gathering_depends_on_what_a_row_costs() -> None:
    assert worth_gathering(SlowModel(0.001)) == PAIR
    assert worth_gathering(SlowModel(0)) in {PAIR, FEW}


def test_a_few_are_answered_as_they_are_alone(one: Serving) -> None:
    compiled = replace(one.handler.routes.endpoints["late"], worth_gathering=FEW)
    bodies = (body([(1.0, "AA")]), b"{", body([(-1.0, "AA")]))
    found = one.together([Asked(compiled, {}, each, perf_counter_ns(), OPEN_INFERENCE) for each in bodies])
    assert [each.status for each in found] == [200, 400, 500]
    assert one.metrics.runs["late"] == 2


def test_responses_keep_their_places(one: Serving) -> None:
    compiled = one.handler.routes.endpoints["late"]
    bodies = [body([(float(n), "AA")]) if n % 3 else b"[]" for n in range(40)]
    found: list[Response] = one.together([Asked(compiled, {}, each, 0, OPEN_INFERENCE) for each in bodies])
    for n, response in enumerate(found):
        assert response.status == (200 if n % 3 else 400)
        if n % 3:
            assert data(msgspec.json.decode(response.body)) == [1010.0 + n]
