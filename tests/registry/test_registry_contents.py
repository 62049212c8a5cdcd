"""What a version's files say of themselves is noted; what they say to do harm is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import InvalidInput
from bailiwick.registry.contents import MAX_MLMODEL_BYTES, describe_files, pinned_packages, read_mlmodel
from bailiwick.registry.model import ContentState
from bailiwick.registry.ports import LoggedModel, NoGate, StoredFile
from bailiwick.registry.service import RegistryService
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.testing.registry import FakeArtifacts, FakeOrigins

RUN, MODEL = "r" * 32, "m-" + "a" * 32
ROOT = f"mlflow-artifacts:/1/{RUN}/artifacts"
DAY = 86_400_000

SAVED = """\
artifact_path: model
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.9
  sklearn:
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.5.0
mlflow_version: 3.17.2
model_id: m-0123
model_size_bytes: 8554
model_uuid: m-0123
run_id: 0123
saved_input_example_info: {artifact_path: input_example.json, type: dataframe}
signature:
  inputs: '[{"type": "double", "name": "hour", "required": true}, {"type": "string", "name": "carrier", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]'
  params: '[{"name": "threshold", "type": "double", "default": 0.5, "shape": null}]'
utc_time_created: '2026-11-25 19:01:27.802855'
"""


def test_an_mlmodel_tells_flavours_signature_and_environment() -> None:
    told = read_mlmodel(SAVED.encode())
    assert told.pop("signature") == {
        "inputs": [
            {"name": "hour", "type": "double", "required": True},
            {"name": "carrier", "type": "string", "required": False},
        ],
        "outputs": [{"name": "0", "datatype": "float64", "shape": [-1, 2]}],
        "params": [{"name": "threshold", "type": "double", "default": 0.5}],
    }
    assert told == {
        "flavors": {"python_function": "", "sklearn": "1.5.0"},
        "mlflow_version": "3.17.2",
        "python_version": "3.11.9",
        "loader": "mlflow.sklearn",
        "model_uuid": "m-0123",
        "model_id": "m-0123",
        "run_id": "0123",
        "made": "2026-11-25 19:01:27.802855",
        "input_example": True,
    }


def test_only_pinned_packages_are_facts() -> None:
    text = b"scikit-learn==1.5.0\nnumpy>=1\n# c\ntorch[cuda] == 2.1 ; python_version < '4'\n-r other.txt\nx===1.0+cu\n"
    assert pinned_packages(text) == {"scikit-learn": "1.5.0", "torch": "2.1", "x": "1.0+cu"}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)

HOSTILE = {
    "nothing": b"",
    "no mapping": b"- a\n- b\n",
    "no flavours": b"flavors: {}\n",
    "flavours that are no mapping": b"flavors: [sklearn]\n",
    "no YAML": b"flavors: {sklearn: [}\n",
    "no text": bytes(range(256)),
    "half a surrogate": b'flavors: {"\\ud800": {}}\n---\n',
    "an object of Python's": b"!!python/object/apply:os.system ['touch /tmp/x']\n",
    "many aliases": BOMB.encode(),
    "deep": b"a: " + b"[" * 5_000,
    "wide": b"flavors: {sklearn: {}}\na: [" + b"1," * 60_000 + b"1]\n",
    "two documents": b"flavors: {sklearn: {}}\n---\nb: 1\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mlmodel_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_mlmodel(HOSTILE[name])
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 400


@pytest.mark.parametrize(
    ("text", "flavors"),
    [
        (b"flavors: {sklearn: !!python/name:os.system {}}\n", {"sklearn": ""}),
        (b"flavors: {sklearn: {sklearn_version: [1]}, onnx: null}\n", {"sklearn": "", "onnx": ""}),
        (b"flavors: {sklearn: {sklearn_version: 2026-13-45}}\n", {"sklearn": "2026-13-45"}),
        (b"x: &x {y: 1}\nflavors: {sklearn: *x, other: *x}\n", {"sklearn": "", "other": ""}),
    ],
)
def test_odd_values_stay_text(text: bytes, flavors: dict[str, str]) -> None:
    assert read_mlmodel(text)["flavors"] == flavors


@pytest.mark.parametrize(
    "signature", ["'[1, 2]'", "'not json'", "'{}'", "[a]", "'" + "[" * 2_000 + "'", '\'[{"type": {"a": 1}}]\'', "5"]
)
def test_a_signature_that_is_none_costs_only_the_signature(signature: str) -> None:
    told = read_mlmodel(f"flavors: {{sklearn: {{}}}}\nsignature: {{inputs: {signature}}}\n".encode())
    assert told["flavors"] == {"sklearn": ""}
    json.dumps(told["signature"])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_it_holds_it_is_read_or_refused(data: bytes) -> None:
    for text in (data, b"flavors: {sklearn: {}}\nsignature: {inputs: '" + data + b"'}\n"):
        try:
            json.dumps(read_mlmodel(text))
        except InvalidInput:
            continue


def test_a_large_mlmodel_is_not_read() -> None:
    def read(path: str) -> Iterator[bytes]:
        raise AssertionError(path)

    told = describe_files([StoredFile("MLmodel", "a" * 64, MAX_MLMODEL_BYTES + 1)], read)
    assert told["content"] == {
        "files": 1,
        "problem": f"Its MLmodel file has {MAX_MLMODEL_BYTES + 1} bytes; at most {MAX_MLMODEL_BYTES} are read.",
    }
    assert told["size_bytes"] == MAX_MLMODEL_BYTES + 1


def test_a_file_that_has_grown_since_it_was_listed_is_not_read_whole() -> None:
    def read(path: str) -> Iterator[bytes]:
        while True:
            yield path.encode() * 100_000

    assert "more than" in describe_files([StoredFile("MLmodel", "a" * 64, 5)], read)["content"]["problem"]


FILES = {"MLmodel": SAVED.encode(), "model.pkl": b"pickle", "requirements.txt": b"scikit-learn==1.5.0\n"}


def _registry(records: Records, admin: Actor, artifacts: FakeArtifacts) -> RegistryService:
    origins = FakeOrigins(runs={("default", RUN): ROOT}, models={("default", MODEL): LoggedModel(f"{ROOT}/m", RUN)})
    made = RegistryService(records, NoGate(), origins=origins, artifacts=artifacts)
    made.create_model(admin, "late")
    return made


def test_files_kept_by_digest_are_known_at_once(records: Records, admin: Actor) -> None:
    artifacts = FakeArtifacts()
    artifacts.put("default", f"{ROOT}/model", FILES)
    made = _registry(records, admin, artifacts).create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    assert made.content_state == ContentState.KNOWN
    assert made.flavors == {"python_function": "", "sklearn": "1.5.0"}
    assert made.environment == {"packages": {"scikit-learn": "1.5.0"}, "python": "3.11.9"}
    assert made.content["requirements_digest"] == sha256_hex(FILES["requirements.txt"])
    assert made.content["input_example"] is True
    assert (made.size_bytes, len(made.digest)) == (sum(map(len, FILES.values())), 64)


def test_files_that_must_be_read_are_pending_until_they_are_measured(records: Records, admin: Actor) -> None:
    artifacts = FakeArtifacts(reading=True)
    artifacts.put("default", f"{ROOT}/model", FILES)
    registry = _registry(records, admin, artifacts)
    made = registry.create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    assert (made.content_state, made.digest, made.flavors, made.signature) == (ContentState.PENDING, "", {}, {})
    (unread,) = registry.unread()
    assert (unread.workspace, unread.model, unread.number) == ("default", "late", 1)
    assert registry.unread(after=unread) == []
    measured = registry.measure(admin, "late", 1)
    assert (measured.content_state, measured.flavors) == (
        ContentState.KNOWN,
        {"python_function": "", "sklearn": "1.5.0"},
    )
    assert registry.unread() == []
    registry.check_content(measured)
    artifacts.put("default", f"{ROOT}/model", {"MLmodel": b"other"})
    assert registry.measure(admin, "late", 1) == measured


def test_files_that_come_later_are_waited_for_a_day(records: Records, admin: Actor, clock: FakeClock) -> None:
    artifacts = FakeArtifacts()
    registry = _registry(records, admin, artifacts)
    for _ in range(2):
        registry.create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    assert registry.measure(admin, "late", 1).content_state == ContentState.PENDING
    artifacts.put("default", f"{ROOT}/model", FILES)
    assert registry.measure(admin, "late", 1).content_state == ContentState.KNOWN
    artifacts.put("default", f"{ROOT}/model", {})
    clock.advance(DAY + 1)
    assert registry.measure(admin, "late", 2).content_state == ContentState.MISSING
    assert registry.unread() == []


def test_files_of_another_store_stay_unknown(records: Records, admin: Actor) -> None:
    made = _registry(records, admin, FakeArtifacts()).create_version(admin, "late", source="s3://bucket/model")
    assert (made.content_state, made.digest, made.content) == (ContentState.ELSEWHERE, "", {})


def test_packaging_counts_for_more_than_what_a_file_says(records: Records, admin: Actor) -> None:
    artifacts = FakeArtifacts(reading=True)
    artifacts.put("default", f"{ROOT}/model", FILES)
    registry = _registry(records, admin, artifacts)
    registry.create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    signature: dict[str, Any] = {"inputs": [{"name": "hour", "datatype": "FP32", "shape": [-1, 1]}]}
    registry.attach_package(admin, "late", 1, package="a" * 64, signature=signature, parity={"passed": True})
    measured = registry.measure(admin, "late", 1)
    assert (measured.signature, measured.content_state) == (signature, ContentState.KNOWN)
    assert measured.flavors == {"python_function": "", "sklearn": "1.5.0", "onnx": ""}


def test_a_copy_is_known_as_what_it_copies_is(records: Records, admin: Actor) -> None:
    artifacts = FakeArtifacts()
    artifacts.put("default", f"{ROOT}/model", FILES)
    registry = _registry(records, admin, artifacts)
    first = registry.create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    copy = registry.create_version(admin, "late", source="models:/late/1")
    assert (copy.content, copy.digest, copy.content_state) == (first.content, first.digest, first.content_state)


def test_purging_removes_the_files_unless_another_version_has_them(records: Records, admin: Actor) -> None:
    artifacts = FakeArtifacts()
    artifacts.put("default", f"{ROOT}/model", FILES)
    registry = _registry(records, admin, artifacts)
    registry.create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    registry.create_version(admin, "late", source="models:/late/1")
    for number, left in ((1, len(FILES)), (2, 0)):
        registry.delete_version(admin, "late", number)
        gone = registry.purge_version(admin, "late", number, reason="erased")
        assert (gone.content, gone.storage, gone.source) == ({}, "", gone.source)
        assert len(artifacts.files("default", f"{ROOT}/model") or ()) == left
    assert [each.number for each in registry.versions_of_source("default", run_id=RUN)] == [2, 1]
