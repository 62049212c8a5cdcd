"""What an input example says of the inputs of a model that has no signature, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bailiwick.pyfunc.inferring import as_taught, inferred
from bailiwick.pyfunc.mlmodel import Column, LoggedModel, read_example, read_mlmodel


def logged(folder: Path, kind: str, example: Any) -> LoggedModel:
    said = {
        "flavors": {"python_function": {}},
        "saved_input_example_info": {"artifact_path": "input_example.json", "type": kind},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(said))
    (folder / "input_example.json").write_text(example if isinstance(example, str) else json.dumps(example))
    return inferred(folder, read_mlmodel(folder))


TABLE = {
    "columns": ["whole", "part", "gap", "word", "truth"],
    "data": [[1, 1, 1, "a", True], [2, 0.5, None, None, False]],
}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_table_with_names_says_what_they_are(tmp_path: Path, wrapped: bool) -> None:
    found = logged(tmp_path, "dataframe", {"inputs": TABLE, "params": {"top": 1}} if wrapped else TABLE)
    assert found.inputs == (
        Column("whole", "INT64", kind="long"),
        Column("part", "FP64", kind="double"),
        Column("gap", "FP64", kind="double"),
        Column("word", "BYTES", kind="string"),
        Column("truth", "BOOL", kind="boolean"),
    )
    assert not found.tensors
    assert read_example(tmp_path, found)[1] == {"whole": 2, "part": 0.5, "gap": None, "word": None, "truth": False}


def test_an_array_says_its_shape(tmp_path: Path) -> None:
    found = logged(tmp_path, "ndarray", {"inputs": [[1.5, 2], [3, 4]]})
    assert found.inputs == (Column("input", "FP64", (-1, 2), "tensor", unnamed=True),)
    assert found.tensors
    assert len(read_example(tmp_path, found)) == 2
    found = logged(tmp_path, "ndarray", {"inputs": {"a": [1, 2], "b": [[[True]], [[False]]]}})
    assert found.inputs == (Column("a", "INT64", (-1,), "tensor"), Column("b", "BOOL", (-1, 1, 1), "tensor"))


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        ("dataframe", {"data": [[1, 2]]}),
        ("dataframe", {"columns": [0, 1], "data": [[1, 2]]}),
        ("dataframe", {"columns": ["a", "a"], "data": [[1, 2]]}),
        ("dataframe", {"columns": ["a", "b"], "data": [[1]]}),
        ("dataframe", {"columns": ["a"], "data": []}),
        ("dataframe", {"columns": ["a"], "data": [[None]]}),
        ("dataframe", {"columns": ["a"], "data": [[1], ["x"]]}),
        ("dataframe", {"columns": ["a"], "data": [[True], [None]]}),
        ("dataframe", {"columns": ["a"], "data": [[[1]]]}),
        ("dataframe", "{"),
        ("dataframe", [1]),
        ("ndarray", {"inputs": [[1], [2, 3]]}),
        ("ndarray", {"inputs": []}),
        ("ndarray", {"inputs": 5}),
        ("ndarray", {"inputs": [None]}),
        ("ndarray", {"inputs": [1e400, 10**30]}),
        ("json_object", {"columns": ["a"], "data": [[1]]}),
        ("json_object", [{"a": 1}]),
        ("sparse_matrix_csr", {"data": [1]}),
    ],
)
def test_what_says_nothing_leaves_the_model_as_it_is(tmp_path: Path, kind: str, example: Any) -> None:
    assert logged(tmp_path, kind, example).inputs == ()


def test_without_an_example_there_is_nothing_to_infer(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": {}}}))
    assert inferred(tmp_path, read_mlmodel(tmp_path)).inputs == ()


NOTHING = LoggedModel({"sklearn": {}}, (), tensors=False, outputs=(), example="", mlflow_version="")


def test_columns_that_a_model_was_taught_are_its_inputs() -> None:
    found = as_taught(NOTHING, {"count": 2, "names": ["a", "b"], "texts": [1]})
    assert found.inputs == (Column("a", "FP64", kind="double"), Column("b", "BYTES", kind="string"))
    found = as_taught(NOTHING, {"count": 3, "names": [], "texts": []})
    assert (found.inputs, found.tensors) == ((Column("input", "FP64", (-1, 3), "tensor", unnamed=True),), True)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"count": True, "names": [], "texts": []},
        {"count": 0, "names": [], "texts": []},
        {"count": 1 << 40, "names": [], "texts": []},
        {"count": 2, "names": [], "texts": [0]},
        {"count": 2, "names": ["a"], "texts": []},
        {"count": 2, "names": ["a", "a"], "texts": []},
        {"count": 2, "names": ["a", 1], "texts": []},
        {"count": 2, "names": "ab", "texts": []},
        {"count": 1, "names": ["a"], "texts": {"0": 1}},
    ],
)
def test_what_makes_no_sense_is_not_believed(said: dict[str, Any]) -> None:
    assert as_taught(NOTHING, said) is NOTHING
