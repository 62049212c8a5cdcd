"""What is read of a logged model without loading it, from files that anyone may have written; and the package of one."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from bailiwick.core.errors import BailiwickError, Corrupted, InvalidInput, LimitExceeded, Unavailable
from bailiwick.pyfunc.archive import Manifest, files_of, is_archive, read_manifest, safe_path, unpack, write_archive
from bailiwick.pyfunc.interpreter import Interpreters, Needs, described, needed, read_needs
from bailiwick.pyfunc.mlmodel import read_example, read_mlmodel
from bailiwick.pyfunc.params import ParamSpec


def mlmodel(folder: Path, inputs: object = None, **more: Any) -> Path:
    document = {"flavors": {"sklearn": {"pickled_model": "model.pkl"}}, **more}
    if inputs is not None:
        document["signature"] = {"inputs": inputs if isinstance(inputs, str) else json.dumps(inputs)}
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    return folder


def test_types_become_those_of_the_protocol(tmp_path: Path) -> None:
    types = ["boolean", "integer", "long", "float", "double", "string", "datetime"]
    found = read_mlmodel(mlmodel(tmp_path, [{"type": kind, "name": kind, "required": True} for kind in types]))
    assert [each.datatype for each in found.inputs] == ["BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES", "BYTES"]
    assert not found.tensors


def test_params_are_known(tmp_path: Path) -> None:
    signature = {"inputs": "[]", "params": json.dumps([{"name": "top", "type": "long", "default": 3, "shape": None}])}
    assert read_mlmodel(mlmodel(tmp_path, signature=signature)).params == (ParamSpec("top", "long", 3),)


def test_a_tensor_without_a_name_is_called_input(tmp_path: Path) -> None:
    spec = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2, 3]}}]
    found = read_mlmodel(mlmodel(tmp_path, spec))
    assert [(each.name, each.datatype, each.shape, each.width) for each in found.inputs] == [
        ("input", "FP32", (-1, 2, 3), 6)
    ]
    assert found.tensors


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("{", "not JSON"),
        ("5", "not a list"),
        ([{"type": "double", "name": "x"}] * 2, "same name"),
    ],
)
def test_a_signature_that_is_none_is_refused_in_words(tmp_path: Path, inputs: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_mlmodel(mlmodel(tmp_path, inputs))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([{"type": "binary", "name": "x"}], "no tensor can carry"),
        ([{"type": "double", "name": "y"}, {"type": "array", "name": "x"}], "'x' is of type 'array'"),
        ([{"type": "double"}], "no name"),
        ([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [4, 4]}}], "only the first dimension"),
        ([{"type": "tensor", "tensor-spec": {"dtype": "complex", "shape": [-1]}}], "dtype 'complex'"),
        ([{"type": "double", "name": f"c{index}"} for index in range(5000)], "5,000 inputs"),
    ],
)
def test_a_signature_that_no_tensor_can_carry_says_why(tmp_path: Path, inputs: Any, message: str) -> None:
    found = read_mlmodel(mlmodel(tmp_path, inputs))
    assert (found.inputs, found.tensors) == ((), False)
    assert message in found.beyond


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [1]\nb: *a", "aliases are not taken"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
        ("[]", "no mapping"),
        ("flavors: 5", "names no flavors"),
        ("\x00", "not YAML"),
        ("x" * (5 << 20), "at most"),
    ],
)
def test_an_mlmodel_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises((InvalidInput, LimitExceeded), match=message):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize(
    ("example", "rows"),
    [
        ({"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ([{"a": 1, "b": "x"}], [{"a": 1, "b": "x"}]),
        ({"inputs": {"a": [1], "b": ["x"]}}, [{"a": 1, "b": "x"}]),
        (
            {"inputs": {"columns": ["a", "b"], "data": [[1, "x"]]}, "params": {"top": 3}},
            [{"a": 1, "b": "x"}],
        ),
        ({"inputs": [{"a": 1, "b": "x"}, {"a": 2}], "params": {}}, [{"a": 1, "b": "x"}]),
        ([{"columns": 1}], []),
        ("text", []),
        ({"columns": 5}, []),
        (None, []),
    ],
)
def test_examples_of_every_form_are_read(tmp_path: Path, example: Any, rows: list[Any]) -> None:
    columns = [{"type": "long", "name": "a"}, {"type": "string", "name": "b"}]
    said = {"saved_input_example_info": {"artifact_path": "example.json"}}
    model = read_mlmodel(mlmodel(tmp_path, columns, **said))
    (tmp_path / "example.json").write_text(json.dumps(example))
    assert read_example(tmp_path, model) == rows


def test_an_example_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('[{"a": 1}]')
    folder = tmp_path / "m"
    folder.mkdir()
    said = {"saved_input_example_info": {"artifact_path": "../secret.json"}}
    model = read_mlmodel(mlmodel(folder, [{"type": "long", "name": "a"}], **said))
    assert read_example(folder, model) == []


# -- the package -------------------------------------------------------------------------------------------------------


def manifest(folder: Path, **changed: Any) -> Manifest:
    given: dict[str, Any] = {"format": "1", "signature": {}, "flavours": {}, "inputs": (), "tensors": False}
    return Manifest(**{**given, "environment": "", "python": "", "files": files_of(folder), **changed})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "er" / f"{'long' * 40}é.bin").write_bytes(b"\x00" * 1000)
    return folder


def packed(path: Path, model: Path, **changed: Any) -> Path:
    with path.open("wb") as file:
        write_archive(file, model, manifest(model, **changed))
    return path


def test_a_package_comes_back_as_it_went_in(tmp_path: Path, model: Path) -> None:
    package = packed(tmp_path / "p", model)
    assert is_archive(package)
    found = unpack(package, tmp_path / "out")
    assert found == read_manifest(package) == manifest(model)
    assert files_of(tmp_path / "out") == files_of(model)
    (model / "a.txt").touch()
    assert packed(tmp_path / "q", model).read_bytes() == package.read_bytes()


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def test_a_package_that_is_not_what_it_says_is_refused(tmp_path: Path, model: Path) -> None:
    said = msgspec.json.encode(manifest(model))
    evil = said.replace(b'"a.txt"', b'"../a.txt"')
    first = (member("bailiwick.json"), said)
    cases = [
        tar(tmp_path / "1", first),
        tar(tmp_path / "2", first, (member("model/a.txt"), b"b")),
        tar(tmp_path / "3", first, (member("model/other"), b"a")),
        tar(tmp_path / "4", first, (member("model/a.txt", tarfile.SYMTYPE, "/etc/passwd"), b"")),
        tar(tmp_path / "5", (member("bailiwick.json"), evil), (member("model/../a.txt"), b"a")),
        tar(tmp_path / "6", (member("model/a.txt"), b"a"), first),
        tar(tmp_path / "7", (member("bailiwick.json"), said.replace(b'"format":"1"', b'"format":"9"'))),
        tar(tmp_path / "8", (member("bailiwick.json"), b"{")),
        packed(tmp_path / "9", model),
    ]
    cases[-1].write_bytes(cases[-1].read_bytes()[:3000])
    for number, case in enumerate(cases):
        with pytest.raises(BailiwickError):
            unpack(case, tmp_path / f"out{number}")
    assert not (tmp_path / "a.txt").exists()


def test_what_is_no_plain_file_is_not_packaged(model: Path) -> None:
    (model / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="no plain file"):
        files_of(model)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\x00b", "a\\b", "."])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        safe_path(path)


def test_onnx_is_not_taken_for_an_archive(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"\x08\x08")
    assert not is_archive(tmp_path / "m")
    with pytest.raises(Corrupted):
        read_manifest(tmp_path / "m")


# -- interpreters ------------------------------------------------------------------------------------------------------


def test_what_a_model_needs_is_told_by_its_flavours() -> None:
    assert needed({"python_function": {}, "sklearn": {"serialization_format": "cloudpickle"}}) == ["sklearn"]
    assert needed({"sklearn": {"serialization_format": "skops"}}) == ["mlflow"]
    assert needed({"python_function": {}}) == ["mlflow"]


@pytest.mark.parametrize(
    "line",
    [
        "-r other.txt",
        "--index-url https://evil.example",
        "pkg @ https://evil.example/pkg.whl",
        "git+https://evil.example/pkg",
        "./local",
        "pkg==1.0 --hash=sha256:0",
        "pkg; os_name == 'x' @ https://evil.example",
        "-e .",
    ],
)
def test_only_names_and_versions_are_installed(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"# made by hand\nnumpy==2.0\n{line}\n")
    (tmp_path / "python_env.yaml").write_text("python: 3.11.7\n")
    needs = read_needs(tmp_path)
    assert needs.requirements == ("numpy==2.0", line)
    with pytest.raises(InvalidInput, match="only names of packages"):
        Interpreters(tmp_path / "environments").build(needs)
    assert not list((tmp_path / "environments").glob("[0-9a-f]*"))


def test_an_environment_is_made_once_and_never_trusted(tmp_path: Path) -> None:
    interpreters = Interpreters(tmp_path / "environments")
    needs = Needs((), "", "0" * 64)
    made = interpreters.build(needs)
    assert made.python.exists()
    assert not made.trusted
    before = made.python.stat().st_ctime_ns
    assert interpreters.build(needs) == made == interpreters.choose({"python_function": {}}, needs.digest)
    assert made.python.stat().st_ctime_ns == before


def test_a_python_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no python3\.5 here"):
        Interpreters(tmp_path / "environments").build(Needs((), "3.5.2", "1" * 64))
    with pytest.raises(InvalidInput, match="not a program that can be run"):
        Interpreters(tmp_path, chosen=str(tmp_path / "none"))


def test_what_an_interpreter_lies_in_is_told_without_running_it(tmp_path: Path) -> None:
    base, venv = tmp_path / "base", tmp_path / "venv"
    for folder in (base / "bin", base / "lib", venv / "bin", venv / "lib"):
        folder.mkdir(parents=True)
    (venv / "bin" / "python").write_text("never run")
    (venv / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\n")
    found = described(venv / "bin" / "python")
    assert {base / "bin", base / "lib", venv / "bin", venv / "lib", venv / "pyvenv.cfg"} <= set(found.libraries)
