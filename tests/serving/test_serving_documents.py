"""Models of which nothing says what they take: in every protocol a request is a document, and its answer another."""

from __future__ import annotations

import contextlib
import io
import json
import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.core.settings import Settings
from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import BreakerRule, Endpoint, Fallback, OutputValue, Policy, RouteTable, Shadow, Variant
from bailiwick.endpoints.recording import Pseudonyms
from bailiwick.pyfunc.worker.channel import Refusal
from bailiwick.pyfunc.worker.documents import Reader
from bailiwick.pyfunc.worker.telling import written
from bailiwick.serving.binder import Binder
from bailiwick.serving.documents import answer_of, table_document
from bailiwick.serving.grpc.service import InferenceService
from bailiwick.serving.http import documents
from bailiwick.serving.http.form import Asked
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.messages.classes import message
from bailiwick.serving.models import ModelSet
from bailiwick.serving.protocol import Refused
from bailiwick.serving.python_runtime import PythonModels, PythonRuntime
from bailiwick.serving.router import compile_endpoint
from bailiwick.serving.runtime import ModelFailed
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.tensors import Signature, TensorSpec
from bailiwick.store.delta import DeltaTables
from tests_support.logged_models import document_package
from tests_support.server import until
from tests_support.serving import Serving

TEXT = str(pd.Series(["x"]).dtype)  # as this pandas has it

TOLD = """
import os
import numpy as np
import pandas as pd
class Model:
    def predict(self, asked):
        if isinstance(asked, pd.DataFrame):
            if "die" in asked: os._exit(3)
            kinds = {str(name): str(kind) for name, kind in asked.dtypes.items()}
            return [{"kinds": kinds, "row": [str(each) for each in row]} for row in asked.to_numpy().tolist()]
        if isinstance(asked, dict) and "message" in asked: return "heard"
        if isinstance(asked, dict): return {name: np.asarray(each).tolist() for name, each in asked.items()}
        return np.asarray(asked) * 2
"""
DOUBLED = """
class Model:
    def predict(self, asked):
        return (asked["x"] * 2).tolist()
"""
BROKEN = """
class Model:
    def predict(self, asked):
        raise ZeroDivisionError("it always does")
"""


class Place:
    """A handler that opens packages of Python."""

    def __init__(self, serving: Serving, folder: Path) -> None:
        self.serving = serving
        self.folder = folder
        self.models = PythonModels.of(Settings(home=folder / "home", models_seconds=20))
        self._made = 0
        serving.follower._models = ModelSet(serving.follower._fetch, self.models.open)

    def package(self, code: str, example: str = "") -> Path:
        self._made += 1
        return document_package(self.folder / f"package{self._made}", code, example=example)

    def variant(self, code: str, version: int = 1, *, example: str = "", weight: int = 10_000) -> Variant:
        package = self.package(code, example)
        return Variant(f"v{version}", "late", version, self.serving.store(package.read_bytes()), weight)

    def route(self, *variants: Variant, key: str = "", **policy: Any) -> None:
        self.serving.revision += 1
        endpoint = Endpoint("late", "salt", self.serving.revision, variants, key, "", policy=Policy(**policy))
        self.serving.follower.install(RouteTable(1, self.serving.revision, (endpoint,)))
        until(lambda: not self.serving.handler.loading or self._again(endpoint), "the model", 60)
        assert not self.serving.handler.failures, self.serving.handler.failures

    def _again(self, endpoint: Endpoint) -> bool:
        self.serving.follower.install(RouteTable(1, self.serving.revision, (endpoint,)))
        return not self.serving.handler.loading

    def ask(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}

        answer = self.serving.handler.handle("POST", path, sent, data)
        return answer.status, json.loads(answer.body) if answer.body[:1] in b"{[" else answer.body

    def recorded(self) -> list[dict[str, Any]]:
        log = PredictionLog(DeltaTables(str(self.serving.home / "tables")), "default")
        Shipper(self.serving.home / "spool", log, Pseudonyms(b"k" * 32)).ship()
        rows: list[dict[str, Any]] = log.predictions("late").to_pylist()
        return rows


@pytest.fixture
def place(serving: Serving, tmp_path: Path) -> Iterator[Place]:
    yield Place(serving, tmp_path)
    serving.follower.stop()


def test_a_tensor_of_documents_gets_a_tensor_of_answers(place: Place) -> None:
    place.route(place.variant(DOUBLED))
    status, about = place.serving.call("GET", "/v2/models/late")
    assert status == 200
    assert about["inputs"] == [{"name": "request", "datatype": "BYTES", "shape": [-1]}]
    assert about["outputs"] == [{"name": "response", "datatype": "BYTES", "shape": [-1]}]
    asked = ['{"dataframe_records":[{"x":1},{"x":2.5}]}', '{"dataframe_split":{"columns":["x"],"data":[[4]]}}']
    body = {"inputs": [{"name": "request", "datatype": "BYTES", "shape": [2], "data": asked}]}
    status, answer = place.ask("/v2/models/late/infer", body)
    assert (status, answer["outputs"][0]["data"]) == (200, ["[2.0,5.0]", "[8]"])
    status, answer = place.ask(
        "/v2/models/late/infer", {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}
    )
    assert status == 400
    assert "request" in answer["error"]
    rows = place.recorded()
    assert [(row["in_request"], row["out_response"]) for row in rows] == list(
        zip(asked, ["[2.0,5.0]", "[8]"], strict=True)
    )


def test_it_is_asked_over_grpc(place: Place) -> None:
    place.route(place.variant(DOUBLED))
    sent = message("inference.ModelInferRequest")(model_name="late")
    sent.inputs.add(name="request", datatype="BYTES", shape=[1]).contents.bytes_contents.append(
        b'{"dataframe_records":[{"x":3}]}'
    )
    outcome = place.serving.handler.run(InferenceService(place.serving.handler).asked(sent.SerializeToString()))
    assert isinstance(outcome, bytes)
    answer = message("inference.ModelInferResponse").FromString(outcome)
    assert answer.raw_output_contents[0] == b"\x03\0\0\0[6]"


def test_rows_of_people_are_documents_of_their_own(place: Place) -> None:
    place.route(place.variant(TOLD), key="who")
    status, one = place.ask("/predict/late", {"x": 1.5, "who": "ann"}, x_request_id="mine")
    assert (status, one["id"]) == (200, "mine:0")
    assert one["outputs"]["response"] == {"kinds": {"x": "float64", "who": TEXT}, "row": ["1.5", "ann"]}
    status, several = place.ask("/predict/late", [{"x": 1, "who": "ann"}, {"y": "z", "who": "bob"}])
    assert status == 200
    assert [each["outputs"]["response"]["kinds"] for each in several] == [
        {"x": "int64", "who": TEXT},
        {"y": TEXT, "who": TEXT},
    ]
    status, arrays = place.ask("/predict/late", [[1, 2], [3, 4]])
    assert (status, [each["outputs"]["response"] for each in arrays]) == (200, [[2, 4], [6, 8]])
    assert {row["unit"] for row in place.recorded()} >= {"ann", "bob"}
    wrong: tuple[Any, ...] = ([], 3, "x")
    for body in wrong:
        assert place.ask("/predict/late", body)[0] == 400


def test_scoring_takes_every_form_and_tables_as_files(place: Place) -> None:
    place.route(place.variant(TOLD))

    def scored(body: Any, kind: str = "application/json") -> Any:
        status, answer = place.ask("/invocations", body, content_type=kind)
        assert status == 200, answer
        return answer["predictions"]

    assert scored({"inputs": [[1, 2]]}) == [[2, 4]]
    assert scored(b'{"inputs": [NaN, 1]}') == [None, 2]
    typed = {"dataframe_split": {"columns": ["a"], "data": [[1]]}, "dtypes": {"a": "float32"}}
    assert scored(typed)[0]["kinds"] == {"a": "float32"}
    assert scored({"inputs": {"a": [[1], [2]], "b": "t"}}) == {"a": [[1], [2]], "b": "t"}
    assert scored(b"a,b\n1,x\n,y\n", "text/csv")[1] == {"kinds": {"a": "float64", "b": TEXT}, "row": ["nan", "y"]}
    table = pd.DataFrame(
        {
            "small": np.array([1], "int8"),
            "half": np.array([0.5], "float32"),
            "when": pd.to_datetime(["2026-01-02T03:04:05"]),
            "zone": pd.to_datetime(["2026-01-02"]).tz_localize("Europe/Rome"),
            "kind": pd.Categorical(["u"]),
            "text": ["☃"],
        }
    )
    written_as = io.BytesIO()
    table.to_parquet(written_as)
    (found,) = scored(written_as.getvalue(), "application/vnd.apache.parquet")
    assert found["kinds"] == {
        "small": "int8",
        "half": "float32",
        "when": "datetime64[ns]",
        "zone": "datetime64[ns, UTC]",
        "kind": "category",
        "text": TEXT,
    }
    assert found["row"][2:4] == ["2026-01-02 03:04:05", "2026-01-01 23:00:00+00:00"]


def test_what_is_for_a_language_model_is_answered_as_it_is(place: Place) -> None:
    place.route(place.variant('class Model:\n    def predict(self, asked): return {"heard": asked}'))
    body = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5}
    assert place.ask("/invocations", body) == (200, {"heard": body})


UNREADABLE = [
    ("application/json", b"{"),
    ("application/json", b"[1]"),
    ("application/json", b"3"),
    ("application/json", b"{}"),
    ("application/json", b'{"inputs": [1], "instances": [1]}'),
    ("application/json", b'{"inputs": [1], "params": 3}'),
    ("application/json", b'{"inputs": [[1], [2, 3]]}'),
    ("application/json", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}'),
    ("application/json", b'{"dataframe_split": {"columns": ["a"], "data": [[1]], "dtypes": {}}}'),
    ("application/json", b'{"dataframe_records": 3}'),
    ("application/json", b'{"inputs": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    ("application/json", b'{"inputs": "\xff"}'),
    ("text/csv", b"\xff"),
    ("text/csv", b""),
    ("text/csv", b'a,b\n1,"x\n'),
    ("application/vnd.apache.parquet", b"PAR1"),
]


def test_what_cannot_be_read_is_a_400_and_no_prediction(place: Place) -> None:
    place.route(place.variant(TOLD))
    for kind, body in UNREADABLE:
        status, answer = place.ask("/invocations", body, content_type=kind)
        assert (status, answer["error_code"]) == (400, "BAD_REQUEST"), body
    assert place.ask("/invocations", {"inputs": [1]})[0] == 200
    assert len(place.recorded()) == 1


def test_refusals_have_the_words_that_clients_look_for(place: Place) -> None:
    place.route(place.variant(TOLD))
    for form, said, words in (
        ("dataframe_split", [1], "Dataframe split format must be a dictionary. Got list"),
        ("dataframe_split", {"columns": []}, "must have 'data' field"),
        (
            "dataframe_split",
            {"index": [1, 2], "data": [[1], [2], [3]]},
            "Provided dataframe_split field is not a valid",
        ),
        ("dataframe_records", {"a": 1}, "Dataframe records format must be a list of records. Got dictionary."),
    ):
        status, answer = place.ask("/invocations", {form: said})
        assert (status, words in answer["message"]) == (400, True), answer
    answer = place.ask("/invocations", {"dataframe_records": [], "dataframe_split": {"data": []}})[1]
    assert "The input must be a JSON dictionary with exactly one of the input fields" in answer["message"]


def test_a_raising_model_is_at_fault_until_it_has_answered_something(place: Place) -> None:
    place.route(place.variant(DOUBLED))
    wrong = {"dataframe_records": [{"y": 1}]}
    assert place.ask("/invocations", wrong)[0] == 500
    assert place.ask("/invocations", {"dataframe_records": [{"x": 1}]}) == (200, {"predictions": [2]})
    status, answer = place.ask("/invocations", wrong)
    assert (status, "KeyError" in answer["message"]) == (400, True)
    assert [row["status"] for row in place.recorded()] == [500, 200, 400]


def test_an_example_that_it_answers_vouches_for_a_model(place: Place) -> None:
    place.route(place.variant(DOUBLED, example='{"dataframe_records":[{"x":1}]}'))
    assert place.ask("/invocations", {"dataframe_records": [{"y": 1}]})[0] == 400


def test_a_model_that_does_not_answer_its_own_example_is_not_warmed_up(place: Place) -> None:
    runtime = place.models.open(place.package(BROKEN, '{"dataframe_records":[{"x":1}]}'))
    with pytest.raises(ModelFailed, match="it always does"):
        runtime.warm_up()
    runtime.close()


def test_a_process_that_ends_is_the_models_fault(place: Place) -> None:
    place.route(place.variant(TOLD))
    assert place.ask("/invocations", {"inputs": [1]})[0] == 200
    assert place.ask("/invocations", {"dataframe_records": [{"die": 1}]})[0] == 500
    assert place.ask("/invocations", {"inputs": [1]})[0] == 200


def test_only_a_fault_of_the_model_is_answered_by_another(place: Place) -> None:
    said = Fallback(answer=(OutputValue("response", '"none"'),))
    rule = BreakerRule(percent=50, least=2, window_seconds=60, open_seconds=60, probes=1)
    place.route(place.variant(BROKEN), fallbacks=(said,), breaker=rule)
    assert place.ask("/invocations", {"inputs": [1]}) == (200, {"predictions": "none"})
    place.route(place.variant(DOUBLED, 2), fallbacks=(said,), breaker=rule)
    assert place.ask("/invocations", {"dataframe_records": [{"x": 1}]}) == (200, {"predictions": [2]})
    for _ in range(4):
        assert place.ask("/invocations", {"dataframe_records": [{"y": 1}]})[0] == 400
    assert place.ask("/invocations", {"dataframe_records": [{"x": 1}]}) == (200, {"predictions": [2]})


def test_versions_of_documents_and_of_columns_share_no_traffic(place: Place) -> None:
    of_documents = place.models.open(place.package(DOUBLED))
    columns = place.serving.variant(1)
    taken = Variant("v2", "late", 2, "documents", 5_000)
    split = Endpoint("late", "salt", 1, (Variant("v1", "late", 1, columns.package, 5_000), taken), "", "")
    opened = {
        split.variants[0].loading: place.models.open(place.serving.cache.package(columns.package)),
        taken.loading: of_documents,
    }
    with pytest.raises(InvalidInput, match="documents and columns"):
        compile_endpoint(split, opened)
    shadow = Shadow(Variant("s", "late", 2, "documents", 0), 10_000)
    one = Endpoint("late", "salt", 1, (columns,), "", "", policy=Policy(shadows=(shadow,)))
    made = compile_endpoint(
        one, {columns.loading: opened[split.variants[0].loading], shadow.variant.loading: of_documents}
    )
    assert "documents" in made.problems["shadow s"]
    of_documents.close()


def test_requests_are_never_run_together(place: Place) -> None:
    place.route(place.variant("class Model:\n    def predict(self, asked): return len(asked)"))
    compiled = place.serving.handler.find("late")
    assert compiled.most_rows == 0
    body = json.dumps(
        {"inputs": [{"name": "request", "datatype": "BYTES", "shape": [1], "data": ['{"inputs":[1,2,3]}']}]}
    ).encode()
    asked = [Asked(compiled, {}, body, 0, OPEN_INFERENCE) for _ in range(3)]
    answers = [json.loads(each.body) for each in place.serving.together(asked)]
    assert [each["outputs"][0]["data"] for each in answers] == [["3"]] * 3


def test_the_openapi_says_that_rows_are_free(place: Place) -> None:
    place.route(place.variant(DOUBLED))
    status, found = place.serving.call("GET", "/openapi.json")
    assert status == 200
    posted = found["paths"]["/predict/late"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "properties" not in posted["oneOf"][0]
    example = found["paths"]["/v2/models/late/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert json.loads(example["inputs"][0]["data"][0]) == {"dataframe_records": [{"column": 1.0}]}


def test_a_table_becomes_a_document_that_pandas_reads_alike() -> None:
    import pyarrow as pa

    table = pa.table(
        {
            "n": pa.array([1, None, 3], pa.int32()),
            "w": pa.array([1, 2, 3], pa.int16()),
            "f": pa.array([0.1, None, math.inf], pa.float32()),
            "l": [[1], None, [2, 3]],
            "d": pa.array(["1.50", "0", "2"], pa.string()).cast(pa.decimal128(5, 2)),
        }
    )
    frame, _ = Reader().read(table_document(table))
    assert [str(kind) for kind in frame.dtypes] == ["float64", "int16", "float32", "object", TEXT]
    assert frame["n"].tolist()[::2] == [1.0, 3.0]
    assert (frame["l"].tolist(), frame["d"].tolist()) == ([[1], None, [2, 3]], ["1.50", "0.00", "2.00"])
    with pytest.raises(ValueError, match="holds bytes"):
        table_document(pa.table({"b": [b"x"]}))


def test_answers_of_every_kind_are_json() -> None:
    import datetime as dt
    import enum

    class Colour(enum.StrEnum):
        RED = "red"

    circle: list[Any] = []
    circle.append(circle)
    found = {
        "a": np.float32(0.5),
        1: (np.int8(3), True, None),
        "t": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "n": np.datetime64("2026-01-02"),
        "x": [float("nan"), float("inf"), pd.NaT, pd.NA, np.datetime64("NaT")],
        "b": b"\0\xff",
        "s": {3},
        "c": Colour.RED,
        "f": pd.DataFrame({"q": [1, 2]}),
    }
    assert json.loads(written(found)) == {
        "a": 0.5,
        "1": [3, True, None],
        "t": "2026-01-02T00:00:00+00:00",
        "n": "2026-01-02",
        "x": [None] * 5,
        "b": "AP8=",
        "s": [3],
        "c": "red",
        "f": [{"q": 1}, {"q": 2}],
    }
    for odd in (circle, object(), lambda: 1):
        with pytest.raises(ValueError, match="the model answered with"):
            written(odd)


def test_a_runtime_of_documents_tells_a_wrong_one(place: Place) -> None:
    runtime = place.models.open(place.package(DOUBLED))
    assert isinstance(runtime, PythonRuntime)
    with pytest.raises(Refused, match="not JSON"):
        runtime.run({"request": np.array(["{"], dtype=object)})
    runtime.close()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from([*documents.FORMS, "csv", "dtypes", "messages", "x"]), PLAIN, max_size=3)


@given(PLAIN | DOCUMENTS)
def test_no_document_is_read_but_as_one_or_refused(found: Any) -> None:
    with contextlib.suppress(Refusal):
        Reader().read(json.dumps(found))


@given(PLAIN | DOCUMENTS)
def test_an_answer_of_plain_values_is_itself(found: Any) -> None:
    told = json.loads(written(found))
    assert told == json.loads(json.dumps(found), parse_constant=lambda _: None)
    assert json.loads(json.dumps(answer_of(written(found)))) == told


@given(st.binary(max_size=40) | DOCUMENTS.map(lambda found: json.dumps(found).encode()))
def test_no_body_is_taken_but_as_one_document_or_refused(body: bytes) -> None:
    class One:
        class runtime:  # noqa: N801 - as an arm has it
            signature = Signature((TensorSpec("request", "BYTES", (-1,)),), (), documents=True)

    compiled: Any = types.SimpleNamespace(
        arms=(One,), endpoint=Endpoint("late", "salt", 1, (), "", ""), binder=Binder(One.runtime.signature.inputs)
    )
    try:
        request, params, _ = documents.from_json(compiled, body)
    except Refused:
        return
    assert isinstance(params, dict)
    (tensor,) = request.inputs
    assert isinstance(tensor.data, list)
    said, sent = (json.loads(text, parse_constant=str) for text in (tensor.data[0], body))
    assert said.items() <= sent.items()
