"""MLflow's scoring protocol and the plain form: tables and rows in every shape, and exact words for those that do not fit."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.endpoints.log import PredictionLog
from bailiwick.serving.http.tables import MOST_CELLS
from bailiwick.serving.shipper import Shipper
from bailiwick.store.delta import DeltaTables
from tests_support.echoes import route_echo
from tests_support.serving import Serving

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"


@pytest.fixture
def one(serving: Serving) -> Serving:
    serving.route(serving.variant(1))
    return serving


def invoke(
    serving: Serving, body: object, kind: str = JSON, path: str = "/invocations"
) -> tuple[int, dict[str, str], Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = serving.handler.handle("POST", path, {b"content-type": kind.encode()}, data)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    plain = headers["content-type"].startswith("text/plain")
    return answer.status, headers, answer.body.decode() if plain else msgspec.json.decode(answer.body)


def parquet(columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns) if isinstance(columns, dict) else columns, sink, **options)
    return sink.getvalue()


def not_utf8(kind: pa.DataType) -> pa.Array:
    """A column of texts that Arrow takes for such, and are none."""
    offsets = pa.array([0, 2, 3], pa.int32() if kind == pa.string() else pa.int64()).buffers()[1]
    return pa.Array.from_buffers(kind, 2, [None, offsets, pa.py_buffer(b"\xffab")])


FAR = pa.array([1 << 62, 1]).cast(pa.timestamp("us"))
ROWS = [(1.0, "AA"), (2.5, "UA"), (None, "??")]
ANSWERS = [1011.0, 1022.5, None]
RECORDS = [{"x": x, "carrier": carrier} for x, carrier in ROWS]
COLUMNS = {"x": [x for x, _ in ROWS], "carrier": [carrier for _, carrier in ROWS]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"dataframe_split": {"columns": ["x", "carrier"], "data": ROWS}}, JSON),
        ({"dataframe_split": {"columns": ["carrier", "x"], "index": [5, 6, 7], "data": [r[::-1] for r in ROWS]}}, JSON),
        ({"dataframe_split": {"columns": ["x", "no", "carrier"], "data": [[x, 0, c] for x, c in ROWS]}}, JSON),
        ({"dataframe_records": RECORDS}, JSON),
        ({"dataframe_records": RECORDS, "params": {"temperature": 1}}, "application/json; charset=UTF-8"),
        ({"instances": RECORDS}, JSON),
        ({"inputs": COLUMNS}, JSON),
        ({"inputs": RECORDS}, JSON),
        (b'{"inputs": {"x": [1, 2.5, NaN], "carrier": ["AA", "UA", "??"]}}', JSON),
        (b"x,carrier\n1,AA\n2.5,UA\n,??\n", CSV),
        (b"\xef\xbb\xbf,carrier,x\r\n0,AA,1\r\n1,UA,2.5\r\n2,??,NaN\r\n", "text/csv; charset=utf-8"),
        (parquet(COLUMNS), PARQUET),
        (parquet(COLUMNS | {"x": pa.array([1, 2.5, None], pa.float32()), "more": [1, 2, 3]}), PARQUET),
        (
            parquet(
                {"x": pa.array([1, 2.5, float("nan")]), "carrier": pa.array(["AA", "UA", "??"], pa.large_string())}
            ),
            PARQUET,
        ),
        (parquet({"x": COLUMNS["x"], "carrier": pa.array(COLUMNS["carrier"]).dictionary_encode()}), PARQUET),
    ],
)
def test_tables_are_answered_in_every_form(one: Serving, body: object, kind: str) -> None:
    assert invoke(one, body, kind)[::2] == (200, {"predictions": ANSWERS})
    assert invoke(one, body, kind, "/endpoints/late/invocations")[::2] == (200, {"predictions": ANSWERS})


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"{", JSON, "Invalid input. Ensure that input is a valid JSON formatted string."),
        (b"[1]", JSON, "must be a JSON dictionary with exactly one of the input fields"),
        (b"1", JSON, "Received a number"),
        ({}, JSON, "It has the keys none"),
        ({"instances": [1], "inputs": [1]}, JSON, "exactly one of"),
        ({"messages": []}, JSON, "language models"),
        ({"dataframe_split": []}, JSON, "Dataframe split format must be a dictionary. Got list"),
        ({"dataframe_split": {"columns": ["x"]}}, JSON, "data must be a list of rows"),
        ({"dataframe_split": {"data": [[1]], "dtype": "x"}}, JSON, "it also has dtype"),
        (
            {"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}},
            JSON,
            "index must have one value for each of 3",
        ),
        ({"dataframe_split": {"columns": ["x", "x"], "data": [[1, 2]]}}, JSON, "a name twice"),
        (
            {"dataframe_split": {"columns": ["x", "carrier"], "data": [[1]]}},
            JSON,
            "row 0 has not one value for each of 2",
        ),
        ({"dataframe_split": {"columns": ["x", "carrier"], "data": []}}, JSON, "no rows"),
        ({"dataframe_split": {"columns": ["x"], "data": [[1]]}}, JSON, "lacks input carrier"),
        ({"dataframe_split": {"data": [[1, 2]]}}, JSON, "of several kinds, so name them: x, carrier"),
        ({"dataframe_records": {}}, JSON, "records format must be a list of records. Got dictionary."),
        ({"dataframe_records": [{"x": 1, "carrier": "AA"}, {"x": 1}]}, JSON, "Row 1 lacks 'carrier'"),
        ({"dataframe_records": [1]}, JSON, "Row 0 is not an object"),
        ({"dataframe_records": [{"z": 1}]}, JSON, "no column of the model"),
        ({"dataframe_records": [{"x": "1", "carrier": "AA"}]}, JSON, 'Input x is FP32; value 0 is "1"'),
        ({"dataframe_records": RECORDS, "params": [1]}, JSON, "params must be an object"),
        ({"inputs": {"x": [1, 2], "carrier": ["AA"]}}, JSON, "same number of rows"),
        ({"inputs": {}}, JSON, "same number of rows"),
        ({"inputs": 5}, JSON, "must be a list of rows"),
        ({"instances": [[1, 2]]}, JSON, "of several kinds"),
        (b"", CSV, "no header"),
        (b"x,carrier\n", CSV, "no rows"),
        (b"x,carrier\n1\n", CSV, "Line 2 of the CSV has 1 values; the header has 2"),
        (b"x,carrier\none,AA\n", CSV, "Line 2 of the CSV: 'one' in column x is not FP32"),
        (b"x,carrier\n1_0,AA\n", CSV, "'1_0' in column x is not FP32"),
        (b"x,x\n1,2\n", CSV, "two columns of one name"),
        (b"\xff\xfe", CSV, "not CSV"),
        (b'x,carrier\n1,"AA\n', CSV, "not CSV"),
        (b"x\n1\n", CSV, "lacks input carrier"),
        (b"PAR1", PARQUET, "not Parquet"),
        (parquet(COLUMNS)[:-9], PARQUET, "not Parquet"),
        (parquet({"x": ["a"], "carrier": ["AA"]}), PARQUET, "Input x is FP32"),
        (parquet({"x": pa.array([], pa.float64()), "carrier": pa.array([], pa.string())}), PARQUET, "no rows"),
        (parquet({"z": [1]}), PARQUET, "no column of the model"),
        (parquet({"x": [1, 2], "carrier": not_utf8(pa.string())}), PARQUET, "'carrier' has a text that is not UTF-8"),
        (parquet({"x": [1, 2], "carrier": not_utf8(pa.large_string())}), PARQUET, "has a text that is not UTF-8"),
        (parquet({"x": [1, 2], "carrier": pa.array([b"a", b"b"])}), PARQUET, "Input carrier is BYTES"),
        (parquet({"x": FAR, "carrier": ["AA", "UA"]}), PARQUET, "Column 'x' cannot be read"),
        (parquet({"x": [1, 2], "carrier": FAR}), PARQUET, "out of the range of the calendar"),
        (parquet(pa.table([[1], [2], ["AA"]], names=["x", "x", "carrier"])), PARQUET, "two columns of one name"),
    ],
)
def test_what_cannot_be_scored_is_400_in_mlflows_words(one: Serving, body: object, kind: str, message: str) -> None:
    status, _, answer = invoke(one, body, kind)
    assert status == 400
    assert (answer["error_code"], answer["stack_trace"]) == ("BAD_REQUEST", "")
    assert message in answer["message"]


def test_params_of_which_a_package_says_only_names_are_refused_and_others_ignored(serving: Serving) -> None:
    route_echo(serving, ("x", "FP32", [1]), params=["temperature"])
    body = {"dataframe_records": [{"x": 1.5}]}
    for params in (None, {}, {"other": 1}):
        assert invoke(serving, body | {"params": params}, JSON)[0] == 200
    status, _, answer = invoke(serving, body | {"params": {"other": 1, "temperature": 0.5}}, JSON)
    assert (status, "'temperature': it cannot be given" in answer["message"]) == (400, True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text/plain", "only supports the following content types"),
        ("application/json; charset=latin-1", "only supports UTF-8"),
        ("application/json; version=2", "Unrecognized content type parameters: version"),
    ],
)
def test_other_content_types_are_415_in_plain_text(one: Serving, kind: str, message: str) -> None:
    status, headers, answer = invoke(one, {"inputs": COLUMNS}, kind)
    assert (status, headers["content-type"]) == (415, "text/plain; charset=utf-8")
    assert message in answer


def test_a_small_parquet_that_stands_for_a_huge_table_is_refused(one: Serving) -> None:
    rows = MOST_CELLS
    huge = parquet({"x": pa.array(np.zeros(rows)), "carrier": pa.array(["AA"] * rows)}, compression="zstd")
    assert len(huge) < 1 << 20
    status, _, answer = invoke(one, huge, PARQUET)
    assert (status, answer["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")
    long = parquet({"x": pa.array(np.zeros(1000)), "carrier": pa.array(["A" * 100_000] * 1000)}, compression="zstd")
    assert len(long) < 1 << 20
    assert invoke(one, long, PARQUET)[0] == 413
    words = pa.array([f"{row}{'A' * 3_000_000}" for row in range(100)])
    plain = parquet({"x": pa.array(np.zeros(100)), "carrier": words}, compression="zstd", use_dictionary=False)
    assert len(plain) < 1 << 20
    status, _, answer = invoke(one, plain, PARQUET)
    assert (status, "when it is decompressed" in answer["message"]) == (413, True)


def test_a_csv_of_more_values_than_a_request_may_have_is_refused(one: Serving) -> None:
    names = ",".join(f"c{place}" for place in range(1000))
    status, _, answer = invoke(one, names.encode() + b"\n" + b"1\n" * 9000, CSV)
    assert (status, answer["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")


@pytest.mark.parametrize("path", ["/predict/late", "/endpoints/late/invocations", "/v2/models/late/infer"])
def test_slow_models_are_asked_in_every_protocol(one: Serving, path: str) -> None:
    bodies: dict[str, Any] = {
        "/predict/late": {"x": 1, "carrier": "AA"},
        "/endpoints/late/invocations": {"inputs": {"x": [1], "carrier": ["AA"]}},
        "/v2/models/late/infer": {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
                {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
            ]
        },
    }

    async def elsewhere(work: Callable[[], Any]) -> Any:
        return work()

    def ask(body: object) -> Any:
        sent = msgspec.json.encode(body)
        asked = one.handler.inference("POST", path, {}, sent)
        assert asked is not None
        return asyncio.run(one.handler.handle_apart(asked, elsewhere))

    assert b"1011.0" in ask(bodies[path]).body
    refused = ask({})
    assert refused.status == 400
    assert list(msgspec.json.decode(refused.body)) == (
        ["error_code", "message", "stack_trace"] if "invocations" in path else ["error"]
    )


def test_a_model_that_fails_and_one_that_is_not_there(one: Serving) -> None:
    status, _, answer = invoke(one, {"dataframe_records": [{"x": -1, "carrier": "AA"}]})
    assert (status, answer["error_code"]) == (500, "INTERNAL_ERROR")
    status, _, answer = invoke(one, {}, path="/endpoints/none/invocations")
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert one.handler.handle("GET", "/invocations", {}, b"").status == 405


def test_with_several_endpoints_each_is_called_by_its_name(serving: Serving) -> None:
    assert serving.handler.handle("GET", "/ping", {}, b"")[::2] == (404, b"\n")
    status, _, answer = invoke(serving, {})
    assert (status, answer["message"]) == (404, "There is no endpoint yet.")
    serving.route(serving.variant(1))
    first = serving.follower._compiled["late"]
    serving.follower._put_in_force(2, {"late": first, "early": first}, {})
    status, _, answer = invoke(serving, {"inputs": COLUMNS})
    assert status == 404
    assert "/endpoints/early/invocations, /endpoints/late/invocations" in answer["message"]
    assert invoke(serving, {"inputs": COLUMNS}, path="/endpoints/late/invocations")[0] == 200


def test_ping_health_and_version(one: Serving) -> None:
    for path in ("/ping", "/health"):
        assert one.handler.handle("GET", path, {}, b"")[::2] == (200, b"\n")
    answer = one.handler.handle("GET", "/version", {}, b"")
    assert (answer.status, answer.body.count(b".")) == (200, 2)
    assert one.handler.handle("POST", "/ping", {}, b"").status == 405


def test_tensors_of_one_model_as_instances_and_inputs(serving: Serving) -> None:
    route_echo(serving, ("x", "FP32", [2]))
    for body in (
        {"inputs": [[1, 2], [3, 4]]},
        {"instances": [[1, 2], [3, 4]]},
        {"inputs": {"x": [[1, 2], [3, 4]]}},
        {"instances": [{"x": [1, 2]}, {"x": [3, 4]}]},
        {"dataframe_split": {"columns": [0, 1], "data": [[1, 2], [3, 4]]}},
        {"dataframe_split": {"data": [[1, 2], [3, 4]]}},
    ):
        assert invoke(serving, body)[::2] == (200, {"predictions": [[1.0, 2.0], [3.0, 4.0]]}), body
    assert invoke(serving, {"inputs": [[1, 2, 3]]})[0] == 400
    assert invoke(serving, {"inputs": [[1, 2], [3]]})[0] == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"dataframe_split": {"columns": [0, 1, 2], "data": [[1, 2, 3], [4, 5, 6]]}}, JSON),
        ({"dataframe_records": [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": 6}]}, JSON),
        ({"inputs": {"0": [1, 4], "1": [2, 5], "2": [3, 6]}}, JSON),
        ({"instances": [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]}, JSON),
        (b"a,b,c\n1,2,3\n4,5,6\n", CSV),
        (parquet({"a": [1, 4], "b": [2.0, 5.0], "c": [3, 6]}), PARQUET),
    ],
)
def test_a_table_is_the_matrix_of_a_model_that_takes_one(serving: Serving, body: object, kind: str) -> None:
    route_echo(serving, ("x", "FP32", [3]))
    assert invoke(serving, body, kind)[::2] == (200, {"predictions": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]})


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"dataframe_records": [{"a": 1, "b": 2}]}, JSON, "no column of the model"),
        ({"dataframe_records": [{"x": [1, 2, 3], "a": 1, "b": 1, "c": 1}]}, JSON, ""),
        (b"a,b\n1,2\n", CSV, "no column of the model"),
        (b"a,b,c\n1,2,three\n", CSV, "'three' in column x is not FP32"),
    ],
)
def test_a_table_of_another_width_is_not(serving: Serving, body: object, kind: str, message: str) -> None:
    route_echo(serving, ("x", "FP32", [3]))
    status, _, answer = invoke(serving, body, kind)
    assert (status, message in answer.get("message", "")) == (400 if message else 200, True)


def test_several_outputs_are_records(serving: Serving) -> None:
    route_echo(serving, ("a", "FP32", [1]), ("b", "BYTES", [1]), ("c", "FP16", [2]))
    body = {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[0.1, "é", [1, 2]], [None, "", [3, 4]]]}}
    status, _, answer = invoke(serving, body)
    assert status == 200
    assert answer["predictions"] == [
        {"out_a": [0.1], "out_b": ["é"], "out_c": [1.0, 2.0]},
        {"out_a": [None], "out_b": [""], "out_c": [3.0, 4.0]},
    ]


def test_rows_of_numbers_stand_for_columns_of_one_datatype(serving: Serving) -> None:
    route_echo(serving, ("a", "FP32", [1]), ("b", "FP32", [1]))
    status, _, answer = invoke(serving, {"instances": [[1, 2], [3, 4]]})
    assert status == 200
    assert answer["predictions"] == [{"out_a": [1.0], "out_b": [2.0]}, {"out_a": [3.0], "out_b": [4.0]}]


def test_what_any_protocol_asked_is_on_record(one: Serving, tmp_path: Any) -> None:
    assert invoke(one, parquet(COLUMNS), PARQUET)[0] == 200
    assert invoke(one, b"x,carrier,tail\n1,AA,N1\n", CSV)[0] == 200
    assert one.call("POST", "/predict/late", {"x": 1, "carrier": "AA", "tail": "N2", "at": 7})[0] == 200
    log = PredictionLog(DeltaTables(str(tmp_path / "tables")), "default")
    assert Shipper(one.home / "spool", log).ship() == 5
    logged = log.predictions("late").to_pylist()
    assert [(row["in_x"], row["in_carrier"], row["out_probability"]) for row in logged] == [
        (1.0, "AA", 1011.0),
        (2.5, "UA", 1022.5),
        (None, "??", logged[2]["out_probability"]),
        (1.0, "AA", 1011.0),
        (1.0, "AA", 1011.0),
    ]
    assert [row["unit"] for row in logged[3:]] == ["N1", "N2"]
    assert logged[4]["time"] == 7


# -- the plain form --------------------------------------------------------------------------------------------------------


def predict(serving: Serving, body: object, **headers: str) -> tuple[int, Any]:
    return serving.call("POST", "/predict/late", body, **headers)


def test_a_row_is_answered_by_a_prediction_and_rows_by_a_list(one: Serving) -> None:
    status, answer = predict(one, {"x": 1, "carrier": "AA"}, x_request_id="abc")
    assert (status, answer) == (
        200,
        {"id": "abc:0", "model": "late", "version": 1, "variant": "v1", "outputs": {"probability": 1011.0}},
    )
    status, answer = predict(one, RECORDS, x_request_id="has space")
    assert status == 200
    assert [row["outputs"]["probability"] for row in answer] == ANSWERS
    assert [row["id"].rpartition(":")[2] for row in answer] == ["0", "1", "2"]


def test_a_row_may_say_true_and_false_where_the_model_takes_numbers(one: Serving) -> None:
    rows = [{"x": x, "carrier": "AA"} for x in (True, 1, False, 0, None)]
    status, answer = predict(one, rows)
    told = [row["outputs"]["probability"] for row in answer]
    assert status == 200
    assert (told[0], told[2], told[4]) == (told[1], told[3], None)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [True]}
    assert one.call("POST", "/v2/models/late/infer", {"inputs": [tensor]})[0] == 400


def test_each_row_says_which_version_answered_it(serving: Serving) -> None:
    serving.route(serving.variant(2, 5_000), serving.variant(1, 5_000))
    status, answer = predict(serving, [{"x": 1, "carrier": "AA", "tail": f"N{row}"} for row in range(20)])
    assert status == 200
    assert {row["version"] for row in answer} == {1, 2}
    assert all(row["outputs"]["probability"] == 11 + 1000 * row["version"] for row in answer)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"5", "a row, as an object"),
        ([], "no rows"),
        ([1], "Row 0 is not an object"),
        ({}, "no column of the model in the request; there are: x, carrier"),
        ({"x": 1}, "lacks input carrier"),
        ({"x": 1, "carrier": "AA", "typo": 1}, "Column 'typo' is not known here; there are: x, carrier."),
        ({"x": "1", "carrier": "AA"}, 'Input x is FP32; value 0 is "1"'),
        ({"x": [1, 2], "carrier": "AA"}, "Input x has data nested as [1, 2]"),
        ([{"x": 1, "carrier": "AA"}, {"x": 1, "carrier": "AA", "tail": "N1"}], "Row 0 lacks 'tail'"),
    ],
)
def test_a_row_that_does_not_fit_is_400(one: Serving, body: object, message: str) -> None:
    status, answer = predict(one, body)
    assert (status, list(answer)) == (400, ["error"])
    assert message in answer["error"]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
NAMES = st.sampled_from(["x", "carrier", "z", "columns", "data"])


def holding(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return inner | st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)


values = holding(holding(holding(scalars)))
FORMS: dict[str, Callable[[object], tuple[str, str, bytes]]] = {
    "plain": lambda value: ("/predict/late", JSON, json.dumps(value).encode()),
    "csv": lambda value: ("/invocations", CSV, str(value).encode("utf-8", "replace")),
    **{
        form: lambda value, form=form: ("/invocations", JSON, json.dumps({form: value}).encode())  # type: ignore[misc]
        for form in ("dataframe_split", "dataframe_records", "instances", "inputs")
    },
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(value=values, form=st.sampled_from(sorted(FORMS)))
def test_no_body_is_the_servers_fault(one: Serving, value: object, form: str) -> None:
    path, kind, body = FORMS[form](value)
    answer = one.handler.handle("POST", path, {b"content-type": kind.encode()}, body)
    negative = b"The model failed" in answer.body  # the model's fault: it takes no negative x
    assert answer.status in {200, 400} or (answer.status == 500 and negative), answer
    msgspec.json.decode(answer.body)
