"""Rules behind the same face as ONNX Runtime: what zen-engine says of each row, typed; nulls, no hits, and bad values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zen
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.core.settings import Settings
from bailiwick.endpoints.model import Variant
from bailiwick.rules.package import made_package
from bailiwick.rules.signature import Declared
from bailiwick.serving.models import ModelSet
from bailiwick.serving.protocol import Refused
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import ModelFailed
from bailiwick.serving.runtimes.opening import kind_of, opener
from bailiwick.serving.runtimes.rules import LONGEST_TEXT, RulesRuntime
from tests_support.decisions import Tree, discount, encoded, expressions, graph, scoring, table
from tests_support.serving import Serving


def stored(folder: Path, tree: Tree, declared: Declared | None = None) -> Path:
    path = folder / "package"
    path.write_bytes(made_package(encoded(tree), declared)[0])
    return path


def feed(runtime: RulesRuntime, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    fed: dict[str, np.ndarray] = {}
    for block in runtime.blocks:
        columns = [[row[spec.name] for row in rows] for spec in block.specs]
        blank: Any = "" if block.specs[0].datatype == "BYTES" else float("nan")
        values = [[blank if value is None else value for value in column] for column in columns]
        fed[block.name] = np.array(values, block.specs[0].dtype).T.reshape(len(rows), len(block.specs))
    return fed


NUMBERS = st.one_of(
    st.none(), st.floats(-1e15, 1e15, allow_nan=False), st.sampled_from([10.0, 10.1, 100.0, 100.01, 0.1])
)
COUNTRIES = st.one_of(st.none(), st.sampled_from(["US", "CA", "x", "'", "null"]), st.text(min_size=1, max_size=5))
TREES: list[tuple[Tree, Declared]] = [
    (discount(), Declared()),
    (graph(expressions("A", total="amount * 3"), table([{"t": "> 30", "c": "'US'", "o": "1.5"}, {"t": "[1..20]", "c": "", "o": "total"}], {"t": "total", "c": "$nodes.Request.country"}, {"o": "fee"}, name="B")), Declared({"country": "BYTES"})),
    (graph(expressions(size="amount > 10 ? 'big' : 'small'", loud="upper(country) + '!'", both="country == 'US' and amount > 3")), Declared({}, {"loud": "BYTES"})),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(TREES),
    st.lists(st.fixed_dictionaries({"amount": NUMBERS, "country": COUNTRIES}), min_size=1, max_size=6),
)
def test_every_row_is_answered_as_the_engine_itself_answers_it(
    tmp_path_factory: pytest.TempPathFactory, tree: tuple[Tree, Declared], rows: list[dict[str, Any]]
) -> None:
    runtime = RulesRuntime(stored(tmp_path_factory.mktemp("rules"), *tree))
    engine = zen.ZenEngine().create_decision(json.dumps(tree[0]))
    for row in rows:
        try:
            expected = engine.evaluate(row)["result"]
        except RuntimeError:
            expected = None
        try:
            found = [output[0] for output in runtime.run(feed(runtime, [row]))]
        except ModelFailed:
            assert not expected or any(expected.get(spec.name) is None for spec in runtime.signature.outputs)
        else:
            assert expected is not None
            assert found == [expected[spec.name] for spec in runtime.signature.outputs]
    try:
        together = runtime.run(feed(runtime, rows))
    except ModelFailed:
        return
    for place, row in enumerate(rows):
        assert [output[place] for output in together] == [output[0] for output in runtime.run(feed(runtime, [row]))]


def test_a_row_that_no_rule_hits_gets_the_default_or_names_itself(tmp_path: Path) -> None:
    row = {"amount": 5.0, "country": "US"}
    without = RulesRuntime(stored(tmp_path, discount()))
    without.warm_up()
    with pytest.raises(ModelFailed, match="Row 1: no rule gives output 'tier', and it has no default"):
        without.run(feed(without, [{"amount": 50.0, "country": "US"}, row]))
    runtime = RulesRuntime(stored(tmp_path, discount(), Declared(defaults={"tier": "none", "discount": 0})))
    assert [output.tolist() for output in runtime.run(feed(runtime, [row]))] == [["none"], [0.0]]
    assert [output.dtype for output in runtime.run(feed(runtime, [row]))] == [np.dtype(object), np.dtype(np.float64)]
    runtime.close()


def test_a_float32_is_the_decimal_that_it_is_written_as(tmp_path: Path) -> None:
    tree = graph(table([{"a": "> 0.1", "t": "true"}, {"t": "false"}], {"a": "amount"}, {"t": "above"}))
    runtime = RulesRuntime(stored(tmp_path, tree, Declared({"amount": "FP32"})))
    assert runtime.run({"amount": np.array([[0.1], [0.11]], np.float32)})[0].tolist() == [False, True]


def test_whole_numbers_truths_and_dotted_names_arrive_as_they_are(tmp_path: Path) -> None:
    tree = graph(expressions(a="customer.age + 1", b="not customer.blocked"))
    runtime = RulesRuntime(stored(tmp_path, tree, Declared({"customer.age": "INT64"}, {"a": "INT64"})))
    fed = {"customer.age": np.array([[2**53 - 1]]), "customer.blocked": np.array([[True]])}
    assert [output.tolist() for output in runtime.run(fed)] == [[2**53], [False]]


def test_a_value_of_another_type_than_declared_is_an_error(tmp_path: Path) -> None:
    runtime = RulesRuntime(stored(tmp_path, graph(expressions(a="amount * 2")), Declared({}, {"a": "BYTES"})))
    with pytest.raises(ModelFailed, match="output 'a' is BYTES, and the rules give '4'"):
        runtime.run({"amount": np.array([[2.0]])})
    failing = RulesRuntime(
        stored(tmp_path, graph(expressions(a="amount + upper(amount)")), Declared({"amount": "FP64"}))
    )
    with pytest.raises(ModelFailed, match="Row 0: node 'Numbers': Failed to evaluate expression"):
        failing.run({"amount": np.array([[2.0]])})


def test_values_that_rules_cannot_hold_are_the_clients_fault(tmp_path: Path) -> None:
    runtime = RulesRuntime(stored(tmp_path, discount()))
    for amount, country in ((np.inf, "US"), (1e30, "US"), (1.0, "x" * (LONGEST_TEXT + 1))):
        with pytest.raises(Refused):
            runtime.run(feed(runtime, [{"amount": amount, "country": country}]))


def test_what_is_no_package_of_rules_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "package"
    path.write_bytes(b'{"bailiwick.rules":"1","decision":{}}')
    opened = opener(PythonModels.of(Settings(home=tmp_path)))
    assert kind_of(path) == "rules"
    with pytest.raises(InvalidInput, match="cannot be read"):
        ModelSet(lambda _: path, opened).load("x")


def test_rules_are_served_recorded_and_described_like_any_model(serving: Serving) -> None:
    serving.follower._models = ModelSet(serving.follower._fetch, opener(PythonModels.of(Settings(home=serving.home))))
    package, _, _ = made_package(encoded(scoring()), Declared({"x": "FP32"}))
    serving.route(Variant("v1", "late", 1, serving.store(package), 10_000), key="", time="")
    body = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [3, 1], "data": [9, None, 6]},
            {"name": "carrier", "datatype": "BYTES", "shape": [3, 1], "data": ["AA", "AA", "never seen"]},
        ]
    }
    status, answer = serving.infer(body)
    assert (status, answer["outputs"][0]["data"]) == (200, [0.9, 0.1, 0.6])
    assert serving.call("GET", "/v2/models/late")[1]["platform"] == "rules_jdm"
    body["inputs"][0]["data"] = [9, 3e38, 6]
    status, answer = serving.infer(body)
    assert status == 400
    assert "input x" in answer["error"]
