"""Finding the user's code: fresh after each edit, apart from other projects, with errors that name what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.training.entrypoint import load_fit, source_digest


@pytest.fixture(autouse=True)
def _import_path() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def _write(folder: Path, answer: str, name: str = "mycode.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"def fit(train, valid, params, report):\n    return {answer!r}\n", encoding="utf-8")
    return folder


def _answer(folder: Path, entrypoint: str = "mycode:fit") -> object:
    return load_fit(entrypoint, folder)(None, None, {}, None)  # type: ignore[arg-type]


def test_edited_code_is_read_again(tmp_path: Path) -> None:
    _write(tmp_path, "first")
    before = source_digest("mycode:fit", tmp_path)
    assert _answer(tmp_path) == "first"
    _write(tmp_path, "second, longer")
    assert _answer(tmp_path) == "second, longer"
    assert source_digest("mycode:fit", tmp_path) != before


def test_two_projects_may_use_the_same_names(tmp_path: Path) -> None:
    one, two = _write(tmp_path / "one", "one"), _write(tmp_path / "two", "the other")
    assert [_answer(one), _answer(two), _answer(one)] == ["one", "the other", "one"]


def test_code_in_a_package_and_its_neighbours_are_found(tmp_path: Path) -> None:
    _write(tmp_path / "pack", "inner", "train.py")
    (tmp_path / "pack" / "__init__.py").write_text("from neighbour import NAME\n", encoding="utf-8")
    (tmp_path / "neighbour.py").write_text("NAME = 1\n", encoding="utf-8")
    assert _answer(tmp_path, "pack.train:fit") == "inner"


def test_modules_of_the_environment_are_never_forgotten(tmp_path: Path) -> None:
    _write(tmp_path, "x")
    _write(tmp_path, "mine", "json.py")
    import json

    _answer(tmp_path)
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("mycode", "is not of the form `module:function`"),
        ("mycod:fit", r"'mycod' is not known; choose one of: broken, mycode\. Did you mean 'mycode'"),
        ("mycode:train", "function 'train' is not known; choose one of: fit"),
        ("broken:fit", "'broken' in .* cannot be imported: No module named 'not_installed_anywhere'"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(tmp_path: Path, entrypoint: str, message: str) -> None:
    _write(tmp_path, "x")
    (tmp_path / "broken.py").write_text("import not_installed_anywhere\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=message):
        load_fit(entrypoint, tmp_path)
