"""Models of which nothing says what they take get packages that take documents, and are versions like any other."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from bailiwick.composing.model import read_declaration
from bailiwick.core.actor import Actor
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput
from bailiwick.data.sources import open_source
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.batch.story import score_source
from bailiwick.lifecycle.composing.story import compose
from bailiwick.lifecycle.explaining.model import Asked
from bailiwick.lifecycle.explaining.story import explain
from bailiwick.lifecycle.optimising.story import optimise
from bailiwick.lifecycle.packaging.documents import alike
from bailiwick.lifecycle.packaging.story import package_version
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.releasable import releasable
from bailiwick.lifecycle.transfer import export_version, import_version
from bailiwick.lifecycle.verification import verify_version
from bailiwick.pyfunc.archive import OF_DOCUMENTS, read_manifest
from bailiwick.registry.model import ModelVersion
from bailiwick.serving.models import ModelSet
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import ModelFailed
from bailiwick.serving.shipper import Shipper
from tests_support.logged_models import made_of, register, signature, write
from tests_support.serving import Serving

DOUBLED = """
class Model:
    def predict(self, asked):
        return (asked["x"] * 2).tolist()
"""
MEAN = """
class Model:
    def predict(self, asked):
        return [float(asked["x"].mean())]
"""
COUNTED = """
import itertools
class Model:
    def __init__(self): self.calls = itertools.count()
    def predict(self, asked): return {"call": next(self.calls), "half": 0.5}
"""
LISTS = json.dumps([{"type": "array", "items": {"type": "double"}, "name": "x", "required": True}])

Packaged = Callable[..., ModelVersion]


@pytest.fixture
def packaged(platform: Platform, admin: Actor) -> Packaged:
    def run(folder: Path, name: str = "late") -> ModelVersion:
        register(platform, admin, name, folder)
        return package_version(platform, admin, name, 1)

    return run


def logged(
    folder: Path, code: str, *, inputs: str | None = None, example: Any = None, kind: str = "", request: Any = None
) -> Path:
    """A folder as MLflow logs it."""
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(made_of(code)))
    flavours: Mapping[str, Any] = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"}}
    write(folder, flavours, inputs)
    document = yaml.safe_load((folder / "MLmodel").read_text())
    if example is not None:
        document["saved_input_example_info"] = {"artifact_path": "input_example.json", "type": kind}
        (folder / "input_example.json").write_text(json.dumps(example))
    if request is not None:
        document["saved_input_example_info"]["serving_input_path"] = "serving_input_example.json"
        (folder / "serving_input_example.json").write_text(json.dumps(request))
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    return folder


def asked(platform: Platform, version: ModelVersion, folder: Path, document: Any) -> Any:
    path = folder / "package"
    path.write_bytes(platform.blobs.get(version.package))
    runtime = PythonModels.of(platform.settings).open(path)
    try:
        found = runtime.run({"request": np.array([json.dumps(document)], dtype=object)})
    finally:
        runtime.close()
    return json.loads(found[0][0])


def test_without_a_signature_and_without_an_example_nothing_was_compared(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    version = packaged(logged(tmp_path / "m", DOUBLED))
    assert version.runtime == "python"
    assert version.signature["documents"] is True
    assert "without a signature" in version.parity["reason"]
    assert (version.parity["examples"], version.parity.get("passed")) == (0, None)
    assert asked(platform, version, tmp_path, {"dataframe_records": [{"x": 1.5}]}) == [3.0]
    assert read_manifest(tmp_path / "package").format == OF_DOCUMENTS
    checks = {check.what: check.passed for check in verify_version(platform, "default", "late", 1)}
    assert checks["package"]
    assert "parity" not in checks  # nothing was compared, so nothing is wrong


@pytest.mark.parametrize(
    ("example", "kind", "request_"),
    [
        ({"columns": ["x"], "data": [[None], [2]]}, "dataframe", {"dataframe_records": [{"x": 1}]}),
        ({"x": [1, 2]}, "json_object", {"dataframe_split": {"columns": ["x"], "data": [[1]]}}),
    ],
)
def test_the_logged_example_is_what_is_compared(
    platform: Platform, packaged: Packaged, tmp_path: Path, example: Any, kind: str, request_: Any
) -> None:
    version = packaged(logged(tmp_path / "m", DOUBLED, inputs=LISTS, example=example, kind=kind, request=request_))
    assert "type 'array'" in version.parity["reason"]
    assert (version.parity["examples"], version.parity["passed"]) == (1, True)
    assert asked(platform, version, tmp_path, {"dataframe_records": [{"x": 2}]}) == [4]
    assert json.loads(read_manifest(tmp_path / "package").example) == request_
    assert all(check.passed for check in verify_version(platform, "default", "late", 1))


def test_an_example_that_the_model_does_not_answer_is_refused(packaged: Packaged, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="its own input example: KeyError"):
        packaged(logged(tmp_path / "m", DOUBLED, example={"y": [1]}, kind="json_object"))


def test_a_model_that_answers_otherwise_each_time_says_so(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    code = COUNTED.replace("next(self.calls)", "__import__('random').random()")
    version = packaged(logged(tmp_path / "m", code, example=[1, 2], kind="json_object"))
    assert version.parity["passed"] is False
    assert "differently each time" in version.parity["differs"]
    assert not all(check.passed for check in verify_version(platform, "default", "late", 1))


def test_columns_that_are_answered_together_only_become_documents(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    """Each row alone gets a value, so row by row it seemed right; two rows got one."""
    rows = {"x": np.arange(20.0)}
    version = packaged(logged(tmp_path / "m", MEAN, inputs=signature(rows)))
    assert version.signature["documents"] is True
    assert "not one by one" in version.parity["reason"]
    assert asked(platform, version, tmp_path, {"dataframe_records": [{"x": 1}, {"x": 4}]}) == [2.5]


@pytest.mark.parametrize(
    "answer", ["{'choices': [1], 'said': {'x': 1}}", "[{'a': 1}, {'b': 2}]", "'one text'", "{1, 2}", "None"]
)
def test_answers_that_are_no_table_become_documents(packaged: Packaged, tmp_path: Path, answer: str) -> None:
    code = f"class Model:\n    def predict(self, asked): return {answer}"
    version = packaged(logged(tmp_path / "m", code, inputs=signature({"x": np.arange(20.0)})))
    assert version.signature["documents"] is True, version.parity


def test_it_is_exported_imported_and_deployed_like_any_other(
    platform: Platform, admin: Actor, packaged: Packaged, tmp_path: Path
) -> None:
    version = packaged(
        logged(
            tmp_path / "m", DOUBLED, example=[{"x": 1}], kind="json_object", request={"dataframe_records": [{"x": 1}]}
        )
    )
    archive = export_version(platform, "default", "late", 1, tmp_path / "late.zip")
    assert archive
    again = import_version(platform, admin, tmp_path / "late.zip", model="other")
    assert (again.package, again.signature) == (version.package, version.signature)
    assert releasable(platform, admin, "late", 1).package == version.package


def test_no_composition_and_no_optimising_takes_documents(
    platform: Platform, admin: Actor, packaged: Packaged, tmp_path: Path
) -> None:
    packaged(logged(tmp_path / "m", DOUBLED))
    declared = read_declaration(
        {"model": "both", "steps": {"one": "late@1", "two": "late@1"}, "combine": {"average": ["one", "two"]}}
    )
    with pytest.raises(InvalidInput, match="documents"):
        compose(platform, admin, declared)
    rows = Labelled(pa.table({"x": [1.0]}), "x")
    with pytest.raises(Conflict, match="ONNX"):
        optimise(platform, admin, "late", 1, rows)


def test_answers_are_alike_but_for_the_last_digits() -> None:
    assert alike({"a": [1.0, None, "x"]}, {"a": [1.0 + 1e-9, None, "x"]})
    others: tuple[Any, ...] = (
        {"a": [1.1, None, "x"]},
        {"b": []},
        {"a": [1.0, None]},
        {"a": [1.0, 0, "x"]},
        [1],
        {"a": [True, None, "x"]},
    )
    for other in others:
        assert not alike({"a": [1.0, None, "x"]}, other)


PRICED = """
class Model:
    def predict(self, asked):
        if not hasattr(asked, "columns"): return asked * 2
        prices = asked["rooms"] * 10.0 + (asked["city"] == "rome") * 5.0
        return [{"price": each, "currency": "EUR"} for each in prices]
"""


def test_a_document_of_one_row_is_explained_by_its_columns(
    platform: Platform, admin: Actor, packaged: Packaged, tmp_path: Path
) -> None:
    version = packaged(logged(tmp_path / "m", PRICED))
    serving = Serving(tmp_path / "serve")
    serving.follower._models = ModelSet(serving.follower._fetch, PythonModels.of(platform.settings).open)
    serving.store(platform.blobs.get(version.package))
    platform.endpoints.deploy(admin, "late", model="late", version=1, package=version.package)
    serving.follower.install(platform.endpoints.route_table("default"), patience_seconds=60)

    def ask(name: str, document: Any) -> None:
        tensor = {"name": "request", "datatype": "BYTES", "shape": [1], "data": [json.dumps(document)]}
        status, answer = serving.infer({"id": name, "inputs": [tensor]})
        assert status == 200, answer

    for place in range(12):
        ask(f"past{place}", {"dataframe_records": [{"rooms": place % 4, "city": ["rome", "oslo"][place % 2]}]})
    ask("mine", {"dataframe_split": {"columns": ["rooms", "city"], "data": [[3, "rome"]]}})
    ask("several", {"dataframe_records": [{"rooms": 1, "city": "rome"}] * 2})
    ask("array", {"inputs": [[1, 2.5]]})
    ask("deep", {"inputs": [[[1]]]})
    Shipper(serving.home / "spool", platform.logs.of("default"), platform.pseudonyms).ship()
    made = explain(platform, admin, "mine:0", Asked(kinds=("shap", "counterfactuals")))
    assert (made.output_name, made.output, made.recorded) == ("price", 35.0, 35.0)
    assert made.shap is not None
    given = {each.columns[0]: each.value for each in made.shap.contributions}
    assert set(given) == {"rooms", "city"}
    assert made.shap.base + sum(given.values()) == pytest.approx(35.0)
    assert given["rooms"] > given["city"] > 0
    assert made.counterfactuals is not None
    array = explain(platform, admin, "array:0", Asked(kinds=("shap",), output="response", index=1))
    assert (array.output, [each.columns[0] for each in array.shap.contributions]) == (5.0, ["0", "1"])  # type: ignore[union-attr]
    for name, said in (("several:0", "2 rows"), ("deep:0", "no table")):
        with pytest.raises(InvalidInput, match=said):
            explain(platform, admin, name)
    serving.follower.stop()
    serving.spool.close()


def test_tables_are_scored_row_by_row(platform: Platform, admin: Actor, packaged: Packaged, tmp_path: Path) -> None:
    version = packaged(logged(tmp_path / "m", PRICED))
    rows = pa.table({"rooms": [1, 2, None], "city": ["rome", None, "oslo"]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    scored = score_source(platform, admin, open_source("rows.parquet", tmp_path), version, str(tmp_path / "out"))
    assert scored.rows == 3
    made = pa.concat_tables([pq.read_table(each) for each in sorted((tmp_path / "out").glob("*.parquet"))])
    found = [json.loads(text) for text in made["response"].to_pylist()]
    assert found == [
        {"price": 15.0, "currency": "EUR"},
        {"price": 20.0, "currency": "EUR"},
        {"price": None, "currency": "EUR"},
    ]
    total = packaged(logged(tmp_path / "t", MEAN.replace('["x"]', '["rooms"]')), "total")
    with pytest.raises(ModelFailed, match="asked 3 rows and answered with a list of 1"):
        score_source(platform, admin, open_source("rows.parquet", tmp_path), total, str(tmp_path / "none"))
