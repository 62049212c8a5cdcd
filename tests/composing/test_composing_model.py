"""What a declared composition may say, and what its arithmetic computes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.composing import arithmetic
from bailiwick.composing.archive import read_manifest, unpack, write_archive
from bailiwick.composing.model import Combine, Composition, Step, combined, in_order, read_declaration, signature_of
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import Corrupted, InvalidInput

X = {"name": "x", "datatype": "FP32", "shape": [-1, 1]}
P = {"name": "probability", "datatype": "FP32", "shape": [-1]}


def step(name: str, *inputs: dict[str, Any], outputs: list[dict[str, Any]] | None = None, **mapped: str) -> Step:
    signature = {"inputs": list(inputs) or [X], "outputs": outputs or [P]}
    return Step(name, "late", 1, sha256_hex(name.encode()), "onnx", signature, mapped)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ([], "a mapping"),
        ({"model": "m", "steps": {}}, "needs `model`"),
        ({"steps": {"a": "x@1"}}, "needs `model`"),
        ({"model": "m", "steps": {"a": "x@1"}, "extra": 1}, "Key of the composition 'extra'"),
        ({"model": "m", "steps": {"1a": "x@1"}}, "letters, digits"),
        ({"model": "m", "steps": {"a": 5}}, "needs `model: NAME@VERSION`"),
        ({"model": "m", "steps": {"a": {"model": "x@1", "inputs": {"x": 5}}}}, "maps its inputs"),
        ({"model": "m", "steps": {"a": {"model": "x@1", "weights": 5}}}, "Key of step 'a'"),
        ({"model": "m", "steps": {"a": "x@1", "b": "y@1"}}, "one of: average"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"mean": ["a"]}}, "'mean' is not known"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"average": ["b"]}}, "Step of `average`"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"average": []}}, "names no step"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"average": 5}}, "a list of steps"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"weighted": ["a"]}}, "a mapping of steps"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"weighted": {"a": -1}}}, "0 or more"),
        (
            {"model": "m", "steps": {"a": "x@1"}, "combine": {"cascade": [{"step": "a", "sure": 0.9}]}},
            "last step has none",
        ),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"cascade": [{"step": "a"}, {"step": "a"}]}}, "a list of"),
        ({"model": "m", "steps": {"a": "x@1"}, "combine": {"stack": "__import__('os')"}}, "not arithmetic"),
        ({"model": "m", "steps": {f"s{n}": "x@1" for n in range(51)}}, "at most 50"),
    ],
)
def test_a_declaration_that_cannot_be_meant_says_why(tree: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read_declaration(tree)


def test_steps_come_after_those_that_they_read_and_circles_are_refused() -> None:
    whole = Composition((step("b", x="a.probability"), step("a")), Combine("give", ("b",)))
    assert [each.name for each in in_order(whole)] == ["a", "b"]
    assert signature_of(whole) == {"inputs": [X], "outputs": [P]}
    circle = Composition((step("b", x="a.probability"), step("a", x="b.probability")), Combine("give", ("b",)))
    with pytest.raises(InvalidInput, match="circle"):
        in_order(circle)
    for wrong, reason in ((step("b", x="a.score"), "Output of step 'a'"), (step("b", y="z"), "Input of step 'b'")):
        with pytest.raises(InvalidInput, match=reason):
            in_order(Composition((wrong, step("a")), Combine("give", ("b",))))


def test_columns_are_shared_in_the_wider_type_or_not_at_all() -> None:
    wide, text = {**X, "datatype": "FP64", "nullable": False}, {**X, "datatype": "BYTES"}
    whole = Composition((step("a"), step("b", wide)), Combine("average", ("a", "b")))
    assert signature_of(whole)["inputs"] == [wide]
    with pytest.raises(InvalidInput, match="Column 'x' is FP32"):
        signature_of(Composition((step("a"), step("b", text)), Combine("average", ("a", "b"))))
    labels = [{**P, "datatype": "BYTES"}]
    with pytest.raises(InvalidInput, match="no output 'probability'"):
        signature_of(Composition((step("a"), step("b", outputs=labels)), Combine("vote", ("a", "b"))))


def test_answers_are_combined_as_declared() -> None:
    answers = {"a": np.array([0.2, 0.9], np.float32), "b": np.array([0.6, 0.7], np.float32)}
    assert combined(Combine("average", ("a", "b")), answers).tolist() == pytest.approx([0.4, 0.8])
    assert combined(Combine("weighted", ("a", "b"), (3.0, 1.0)), answers).tolist() == pytest.approx([0.3, 0.85])
    assert combined(Combine("vote", ("a", "b")), answers).tolist() == [0.5, 1.0]
    stacked = Combine("stack", ("a", "b"), expression="min(1, max(a, -b) / 2 + sigmoid(0) * 0.5)")
    assert combined(stacked, answers).tolist() == pytest.approx([0.35, 0.7])
    assert combined(Combine("stack", ("a",), expression="0.25 + 0 * a"), answers).tolist() == [0.25, 0.25]


TREES = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda each: f"({each[0]} {each[1]} {each[2]})"),
        inner.map(lambda each: f"abs(-{each})"),
        st.tuples(inner, inner).map(lambda each: f"max({each[0]}, {each[1]})"),
    ),
    max_leaves=12,
)


@given(TREES, st.floats(0, 1), st.floats(0, 1))
def test_an_expression_computes_what_python_computes(text: str, a: float, b: float) -> None:
    found = arithmetic.parse(text).evaluate({"a": np.array([a], np.float32), "b": np.array([b], np.float32)})
    expected = eval(text, {"a": a, "b": b, "abs": abs, "max": max})
    assert float(np.ravel(found)[0]) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    "text", ["a.b", "a if b else 0", "[a]", "f(a)", "abs(a, b)", "a ** b", "1e999", "'x'", "a <", "+".join("a" * 900)]
)
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        arithmetic.parse(text)


def test_an_archive_is_the_same_for_the_same_parts_and_checked_to_the_last_byte(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"package")
    one = Step("a", "late", 1, sha256_hex(b"package"), "onnx", {"inputs": [X], "outputs": [P]})
    whole = Composition((one,), Combine("give", ("a",)))
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        write_archive(file, whole, {one.package: part})
    assert files[0].getvalue() == files[1].getvalue()
    package = tmp_path / "package"
    package.write_bytes(files[0].getvalue())
    (tmp_path / "out").mkdir()
    assert unpack(package, tmp_path / "out").composition == read_manifest(package).composition == whole
    assert (tmp_path / "out" / one.package).read_bytes() == b"package"
    data = files[0].getvalue()
    for number, broken in enumerate(
        (data.replace(b"package", b"packagf"), data[:1024], b"", data.replace(b'"format":"1"', b'"format":"9"'))
    ):
        package.write_bytes(broken)
        (tmp_path / f"out{number}").mkdir()
        with pytest.raises(Corrupted):
            unpack(package, tmp_path / f"out{number}")
