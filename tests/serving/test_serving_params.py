"""Params: given in every protocol, kept apart between callers, the same for whoever answers in another's place, on record."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import pytest

from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import Endpoint, Fallback, Policy, RouteTable, Shadow, Variant
from bailiwick.endpoints.past import PastPredictions
from bailiwick.endpoints.recording import Pseudonyms, Recording
from bailiwick.pyfunc.params import ParamSpec
from bailiwick.serving.grpc.service import InferenceService
from bailiwick.serving.http.form import Asked
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.messages.classes import message
from bailiwick.serving.models import ModelSet
from bailiwick.serving.packing import blocks_of
from bailiwick.serving.runtime import ModelFailed
from bailiwick.serving.runtimes.residency import Residency
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.tensors import Signature, TensorSpec, parse_signature
from bailiwick.store.delta import DeltaTables
from tests_support.serving import Serving

INFER = "/v2/models/late/infer"
FACTOR = {"name": "factor", "type": "double", "default": 2.0}
PLUS = {"name": "plus", "type": "double", "default": [0.0], "shape": [-1]}


class Scaled:
    """x times `factor`, and all of `plus`; fails where x is negative. `runs` has how often and with what it was run."""

    apart = False
    platform = "python"
    runs: list[tuple[int, dict[str, Any]]]

    def __init__(self, package: Path, _threads: int = 1) -> None:
        said = json.loads(package.read_bytes())
        self.signature = parse_signature(
            json.dumps(
                {
                    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
                    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
                    "params": said["params"],
                }
            )
        )
        self.blocks = blocks_of(self.signature.inputs)
        self.defaults = {each.name: each.default for each in self.signature.params}
        self.fails = said["fails"]
        self.runs = []

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        return self.run_with(feed, {})

    def run_with(self, feed: Mapping[str, np.ndarray], params: Mapping[str, Any]) -> Sequence[np.ndarray]:
        x = next(iter(feed.values())).reshape(-1)
        self.runs.append((len(x), dict(params)))
        if self.fails:
            raise ModelFailed("it always does")
        with_all = {"factor": 2.0, "plus": [0.0], **self.defaults, **params}
        return [(x * np.float32(with_all["factor"]) + np.float32(sum(with_all["plus"]))).astype(np.float32)]

    def warm_up(self) -> None:
        """Nothing is to be made ready."""

    def close(self) -> None:
        """Nothing is held."""


class Place:
    """A handler whose packages are `Scaled`."""

    def __init__(self, serving: Serving, residency: Residency | None = None) -> None:
        self.serving = serving
        self.made: dict[str, Scaled] = {}
        self._numbers = itertools.count()
        serving.follower._models = ModelSet(serving.follower._fetch, self.opened, residency)

    def opened(self, package: Path, threads: int = 1) -> Scaled:
        made = self.made[package.name.partition(".")[0]] = Scaled(package, threads)
        return made

    def variant(self, version: int, *params: Any, weight: int = 10_000, fails: bool = False) -> Variant:
        data = json.dumps({"params": params, "fails": fails, "number": next(self._numbers)}).encode()
        return Variant(f"v{version}", "late", version, self.serving.store(data), weight)

    def runtime(self, variant: Variant) -> Scaled:
        return self.made[variant.package]

    def route(self, *variants: Variant, recording: Recording | None = None, **policy: Any) -> None:
        self.serving.revision += 1
        endpoint = Endpoint(
            "late",
            "salt",
            self.serving.revision,
            variants,
            "unit",
            "",
            policy=Policy(**policy),
            recording=recording or Recording(),
        )
        self.serving.follower.install(RouteTable(1, self.serving.revision, (endpoint,)))

    def ship(self) -> PredictionLog:
        log = PredictionLog(DeltaTables(str(self.serving.home / "tables")), "default")
        Shipper(self.serving.home / "spool", log, Pseudonyms(b"k" * 32)).ship()
        return log

    def shipped(self) -> list[Any]:
        rows = self.ship().predictions("late").to_pylist()
        return [None if row["params"] is None else json.loads(row["params"]) for row in rows]


@pytest.fixture
def place(serving: Serving) -> Iterator[Place]:
    yield Place(serving)
    serving.follower.stop()


def infer(*xs: float, unit: str = "", **more: Any) -> dict[str, Any]:
    rows = len(xs)
    inputs: list[dict[str, Any]] = [{"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": list(xs)}]
    if unit:
        inputs.append({"name": "unit", "datatype": "BYTES", "shape": [rows, 1], "data": [unit] * rows})
    return {"inputs": inputs, **more}


def oip(place: Place, params: Any) -> tuple[int, Any]:
    status, answer = place.serving.infer(infer(1, 3, parameters=params))
    return status, answer["outputs"][0]["data"] if status == 200 else answer["error"]


def scored(form: Any) -> Callable[[Place, Any], tuple[int, Any]]:
    def ask(place: Place, params: Any) -> tuple[int, Any]:
        status, answer = place.serving.call("POST", "/invocations", form | {"params": params})
        return status, answer["predictions"] if status == 200 else answer["message"]

    return ask


def rows(place: Place, params: Any) -> tuple[int, Any]:
    body = {"rows": [{"x": 1}, {"x": 3}], "params": params or {}}
    status, answer = place.serving.call("POST", "/predict/late", body)
    found: Any = answer
    return status, [each["outputs"]["y"] for each in found] if status == 200 else answer["error"]


def called(place: Place, params: Any) -> tuple[int, Any]:
    sent = message("inference.ModelInferRequest")(model_name="late")
    sent.inputs.add(name="x", datatype="FP32", shape=[2, 1]).contents.fp32_contents.extend([1, 3])
    for name, value in (params or {}).items():
        if isinstance(value, list):
            sent.parameters[name].string_param = json.dumps(value)
        elif isinstance(value, str):
            sent.parameters[name].string_param = value
        else:
            sent.parameters[name].double_param = value
    service = InferenceService(place.serving.handler)
    asked = service.asked(sent.SerializeToString())
    outcome = place.serving.handler.run(asked)
    if not isinstance(outcome, bytes):
        return getattr(outcome, "status", 0), str(outcome)
    answer = message("inference.ModelInferResponse").FromString(outcome)
    return 200, np.frombuffer(answer.raw_output_contents[0], "<f4").tolist()


EVERY_FORM = pytest.mark.parametrize(
    "ask",
    [
        oip,
        scored({"dataframe_split": {"columns": ["x"], "data": [[1], [3]]}}),
        scored({"dataframe_records": [{"x": 1}, {"x": 3}]}),
        scored({"instances": [[1], [3]]}),
        scored({"inputs": {"x": [1, 3]}}),
        rows,
        called,
    ],
    ids=["oip", "split", "records", "instances", "inputs", "predict", "grpc"],
)


@EVERY_FORM
def test_params_are_given_in_every_protocol(place: Place, ask: Callable[[Place, Any], tuple[int, Any]]) -> None:
    place.route(place.variant(1, FACTOR, PLUS))
    assert ask(place, None) == (200, [2, 6])
    assert ask(place, {"factor": 3}) == (200, [3, 9])
    assert ask(place, {"factor": 0.5, "plus": [1, 2]}) == (200, [3.5, 4.5])
    status, said = ask(place, {"factor": "many"})
    assert status == 400
    assert "Invalid parameters found: 'factor': Can not safely convert" in said
    assert place.shipped()[::2] == [
        {"factor": 2.0, "plus": [0.0]},
        {"factor": 3.0, "plus": [0.0]},
        {"factor": 0.5, "plus": [1.0, 2.0]},
    ]


def test_what_no_model_declares_means_nothing_but_to_people(place: Place) -> None:
    place.route(place.variant(1, FACTOR))
    assert oip(place, {"other": 1}) == (200, [2, 6])
    assert scored({"inputs": {"x": [1]}})(place, {"other": 1}) == (200, [2])
    assert rows(place, {"other": 1}) == (400, "Parameter 'other' is not known here; there are: factor.")
    assert place.serving.call("POST", "/predict/late", {"rows": {"x": 1}, "params": []})[0] == 400
    place.route(place.variant(2))
    status, answer = place.serving.call("POST", "/predict/late", {"rows": {"x": 1}, "params": {}})
    assert (status, "'rows' is not known" in answer["error"]) == (400, True)  # a row, as for any model without params


def test_a_text_is_no_list_in_mlflows_protocol(place: Place) -> None:
    place.route(place.variant(1, PLUS))
    assert oip(place, {"plus": "[5]"}) == (200, [7, 11])
    status, said = scored({"inputs": {"x": [1]}})(place, {"plus": "[5]"})
    assert (status, said) == (400, "Invalid parameters found: 'plus' is a text, and must be a list of double.")


@pytest.mark.parametrize("value", [b"1e400", b"Infinity", b'"\\ud800"', b"[" * 900])
def test_what_cannot_be_kept_is_400(place: Place, value: bytes) -> None:
    place.route(place.variant(1, FACTOR, {"name": "word", "type": "string"}))
    for name in (b"factor", b"word"):
        body = b'{"inputs": {"x": [NaN, 1]}, "params": {"%b": %b}}' % (name, value)
        status, _ = place.serving.call("POST", "/invocations", body)
        assert status == 400


def test_our_own_parameters_keep_their_meaning(place: Place) -> None:
    place.route(
        place.variant(1, FACTOR, weight=9_999), place.variant(2, FACTOR, weight=1), override_parameter="variant"
    )
    status, answer = place.serving.infer(infer(1, id="mine", parameters={"variant": "v2", "factor": 5}))
    assert (status, answer["id"], answer["model_version"]) == (200, "mine", "2")
    assert answer["outputs"][0]["data"] == [5]
    assert place.shipped() == [{"factor": 5.0}]


def test_the_variant_may_be_asked_for_by_a_parameter_over_grpc(place: Place) -> None:
    dark = place.variant(2, {**FACTOR, "default": 10.0}, weight=0)
    place.route(place.variant(1, FACTOR), dark, override_parameter="variant")
    assert called(place, None) == (200, [2, 6])
    assert called(place, {"variant": "v2"}) == (200, [10, 30])
    assert called(place, {"variant": "v2", "factor": 3}) == (200, [3, 9])
    assert called(place, {"variant": "v3"})[0] == 400


def test_a_head_that_comes_again_brings_its_params_again(place: Place) -> None:
    place.route(place.variant(1, FACTOR, PLUS))

    def sent(factor: float, *xs: float) -> Any:
        said = infer(*xs, parameters={"factor": factor})
        del said["inputs"][0]["data"]
        said["inputs"][0]["parameters"] = {"binary_data_size": 4 * len(xs)}
        head = msgspec.json.encode(said)
        return place.serving.call(
            "POST",
            INFER,
            head + np.array(xs, "<f4").tobytes(),
            inference_header_content_length=str(len(head)),
        )[1]["outputs"][0]["data"]

    for factor in (3, 3, 5, 3, 5):
        assert sent(factor, 1, 2) == [factor, 2 * factor]


# -- isolation -------------------------------------------------------------------------------------------------------------


def test_requests_of_other_params_never_share_a_run(place: Place) -> None:
    variant = place.variant(1, FACTOR)
    place.route(variant)
    compiled = place.serving.handler.routes.infer_paths[INFER]
    factors = [1, 5, 1, None, 5, 1, 5.0, 7]
    asked = [
        Asked(
            compiled,
            {},
            msgspec.json.encode(infer(at, parameters=None if factor is None else {"factor": factor})),
            perf_counter_ns(),
            OPEN_INFERENCE,
        )
        for at, factor in enumerate(factors)
    ]
    before = len(place.runtime(variant).runs)
    found = [msgspec.json.decode(each.body)["outputs"][0]["data"] for each in place.serving.together(asked)]
    assert found == [[at * (2.0 if factor is None else factor)] for at, factor in enumerate(factors)]
    runs = place.runtime(variant).runs[before:]
    assert sorted((rows, tuple(params.values())) for rows, params in runs) == [
        (1, ()),
        (1, (5.0,)),
        (1, (7.0,)),
        (2, (5.0,)),
        (3, (1.0,)),
    ]


def test_nor_do_those_that_wait_for_a_slow_model(place: Place) -> None:
    variant = place.variant(1, FACTOR)
    place.route(variant)
    runtime = place.runtime(variant)
    runtime.apart = True
    compiled = place.serving.handler.routes.infer_paths[INFER]
    before = len(runtime.runs)

    async def all_of_them() -> list[Any]:
        async def elsewhere(work: Any) -> Any:
            await asyncio.sleep(0)
            return work()

        bodies = [msgspec.json.encode(infer(at, parameters={"factor": at % 2 + 1})) for at in range(12)]
        asked = [Asked(compiled, {}, each, perf_counter_ns(), OPEN_INFERENCE) for each in bodies]
        return await asyncio.gather(*(place.serving.handler.run_apart(each, elsewhere) for each in asked))

    outcomes = asyncio.run(all_of_them())
    assert [msgspec.json.decode(each)["outputs"][0]["data"] for each in outcomes] == [
        [at * (at % 2 + 1.0)] for at in range(12)
    ]
    assert all(params in ({"factor": 1.0}, {"factor": 2.0}) for _, params in runtime.runs[before:])


def test_a_model_that_is_loaded_when_it_is_needed_is_given_them_too(serving: Serving) -> None:
    residency = Residency(1 << 30, serving.follower._fetch, Scaled)
    place = Place(serving, residency)
    place.route(place.variant(1, FACTOR))
    assert oip(place, {"factor": 4}) == (200, [4, 12])
    serving.follower.stop()


# -- who answers -----------------------------------------------------------------------------------------------------------


def test_each_version_of_a_split_fills_in_its_own(place: Place) -> None:
    other = {**FACTOR, "default": 10.0}
    place.route(place.variant(1, FACTOR, weight=5_000), place.variant(2, other, PLUS, weight=5_000))
    sent = infer(*[1.0] * 40)
    sent["inputs"].append({"name": "unit", "datatype": "BYTES", "shape": [40, 1], "data": [f"u{n}" for n in range(40)]})
    status, answer = place.serving.infer(sent | {"parameters": {"plus": [1]}})
    assert status == 200
    assert set(answer["outputs"][0]["data"]) == {2.0, 11.0}
    log = place.ship().predictions("late").to_pylist()
    assert {(row["version"], row["out_y"], row["params"]) for row in log} == {
        (1, 2.0, '{"factor":2.0}'),
        (2, 11.0, '{"factor":10.0,"plus":[1.0]}'),
    }


def test_what_any_version_of_a_split_refuses_is_refused(place: Place) -> None:
    whole = {**FACTOR, "type": "long", "default": 2}
    place.route(place.variant(1, FACTOR, weight=9_999), place.variant(2, whole, weight=1))
    assert oip(place, {"factor": 3}) == (200, [3, 9])
    assert oip(place, {"factor": 2.5})[0] == 400


def test_a_package_of_before_says_no_more_than_names_and_keeps_what_it_was_logged_with(place: Place) -> None:
    variant = place.variant(1, "factor")
    place.route(variant)
    place.runtime(variant).defaults.clear()
    assert oip(place, {"other": 1}) == (200, [2, 6])
    status, said = scored({"inputs": {"x": [1]}})(place, {"factor": 5})
    assert (status, "'factor': it cannot be given" in said) == (400, True)


def test_a_fallback_answers_with_the_same_params_or_not_at_all(place: Place) -> None:
    whole = {**FACTOR, "type": "long", "default": 2}
    strict, good = place.variant(8, whole, weight=0), place.variant(9, FACTOR, weight=0)
    place.route(place.variant(1, FACTOR, fails=True), fallbacks=(Fallback(strict), Fallback(good)))
    status, answer = place.serving.infer(infer(1, parameters={"factor": 2.5}))
    assert (status, answer["model_version"], answer["outputs"][0]["data"]) == (200, "9", [2.5])
    assert place.shipped() == [{"factor": 2.5}] * 2


def test_a_shadow_is_run_with_the_same_params(place: Place) -> None:
    shadow = place.variant(2, FACTOR, PLUS, weight=0)
    place.route(place.variant(1, FACTOR), shadows=(Shadow(shadow, 10_000),))
    assert place.serving.infer(infer(1, parameters={"factor": 3, "plus": [1]}))[1]["outputs"][0]["data"] == [3]
    place.serving.handler.close()
    assert place.runtime(shadow).runs[-1] == (1, {"factor": 3.0, "plus": [1.0]})
    (copy,) = place.ship().shadows("late").to_pylist()
    assert (copy["out_y"], json.loads(copy["params"])) == (4.0, {"factor": 3.0, "plus": [1.0]})


def test_to_a_model_that_cannot_be_given_any_they_mean_nothing(place: Place) -> None:
    class Deaf:
        """Of a graph, which declares params and takes none."""

        apart, platform = False, "onnx_onnxv1"
        signature = Signature(
            (TensorSpec("x", "FP32", (-1, 1)),),
            (TensorSpec("y", "FP32", (-1,)),),
            (ParamSpec("factor", "double", 2.0),),
        )
        blocks = blocks_of(signature.inputs)

        def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
            return [next(iter(feed.values())).reshape(-1)]

        def warm_up(self) -> None:
            """It is."""

        def close(self) -> None:
            """It holds nothing."""

    place.serving.follower._models = ModelSet(place.serving.follower._fetch, lambda *_: Deaf())
    place.route(place.variant(1))
    assert oip(place, {"factor": 3}) == (200, [1, 3])
    assert oip(place, {"factor": "x"})[0] == 400


# -- on record -------------------------------------------------------------------------------------------------------------


def test_a_past_prediction_says_what_it_was_made_with(place: Place) -> None:
    place.route(place.variant(1, FACTOR))
    place.serving.infer(infer(1, id="one", parameters={"factor": 3}))
    log = place.ship()
    past = PastPredictions(DeltaTables(str(place.serving.home / "tables")), log, Pseudonyms(b"k" * 32))
    assert past.find(["late"], "one:0").params == {"factor": 3.0}


@pytest.mark.parametrize(
    ("recording", "kept", "withheld"),
    [
        (Recording(omitted=("factor",)), {"plus": [1.0]}, "factor"),
        (Recording(hashed=("factor",)), {"plus": [1.0]}, "factor"),
        (Recording(columns=("x", "factor")), {"factor": 3.0}, "plus"),
        (Recording(share=0), None, "*"),
    ],
)
@pytest.mark.parametrize("form", ["json", "bytes", "scoring"])
def test_the_policy_says_which_are_kept(
    place: Place, recording: Recording, kept: Any, withheld: str, form: str
) -> None:
    place.route(place.variant(1, FACTOR, PLUS), recording=recording)
    params = {"factor": 3, "plus": [1]}
    if form == "json":
        assert oip(place, params) == (200, [4, 10])
    elif form == "scoring":
        assert scored({"inputs": {"x": [1, 3]}})(place, params) == (200, [4, 10])
    else:
        sent = infer(1, 3, parameters=params)
        del sent["inputs"][0]["data"]
        sent["inputs"][0]["parameters"] = {"binary_data_size": 8}
        head = msgspec.json.encode(sent)
        status, _ = place.serving.call(
            "POST",
            INFER,
            head + np.array([1, 3], "<f4").tobytes(),
            inference_header_content_length=str(len(head)),
        )
        assert status == 200
    spooled = b"".join(path.read_bytes() for path in place.serving.spool.folder.glob("*.log"))
    bodies = spooled.partition(b'"inputs":[{"name":"x","datatype":"FP32","shape":[2,1]')[2]
    if "factor" in (*recording.omitted,) or recording.share == 0:
        assert b"factor" not in bodies
    log = place.ship().predictions("late").to_pylist()
    assert [None if row["params"] is None else json.loads(row["params"]) for row in log] == [kept] * 2
    assert {row["withheld"] for row in log} == {withheld}


# -- told ------------------------------------------------------------------------------------------------------------------


def test_metadata_and_the_openapi_tell_them(place: Place) -> None:
    place.route(place.variant(1, FACTOR, PLUS))
    told = place.serving.call("GET", "/v2/models/late")[1]["properties"]["params"]
    assert json.loads(told) == [FACTOR, PLUS]
    paths = place.serving.call("GET", "/openapi.json")[1]["paths"]

    def body(path: str) -> Any:
        return paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    expected = {
        "factor": {"type": ["number", "null"], "default": 2.0},
        "plus": {"type": "array", "items": {"type": ["number", "null"]}, "default": [0.0]},
    }
    assert body("/predict/late")["oneOf"][-1]["properties"]["params"]["properties"] == expected
    assert body("/endpoints/late/invocations")["properties"]["params"]["properties"] == expected
    assert body(INFER)["properties"]["parameters"]["properties"] == expected
