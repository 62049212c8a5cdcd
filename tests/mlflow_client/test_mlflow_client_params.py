"""Values that MLflow takes for a param are taken, and become what MLflow makes of them; all others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.pyfunc.params import held, read_params
from tests_support import mlflow_client

DEFAULTS: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "string": "a",
    "datetime": "2023-07-01",
}
VALUES: list[Any] = [
    None, True, 0, 5, -(1 << 31), 1 << 40, 1 << 70, 0.5, 5.0, 1e300, "", "a", "5", "true", "2023-07-01", "2023-07", "2023",
    "2023-07-01T10:00:00", "2023-07-01 10:00:00.123456", "2023-07-01T10:00:00Z", "2023-07-01T10:00:00+02:00",
    "2023-07-01T10:00:00.123456789", "2023-13-01", "NaT", "soon", [], [1], [1, 0.5], ["a"], [None, 1], [True], [[1]],
    ["2023-07-01", None], {}, {"name": "x"}, {"name": "x", "size": 1}, {"name": 1}, {"name": "x", "other": 1},
    {"name": "x", "inner": {"on": True}}, {"name": "x", "inner": {"on": 1}}, {"name": "x", "inner": {}},
    {"name": "x", "many": [0.5]}, {"name": "x", "many": ["a"]}, {"name": "x", "many": 0.5},
]  # fmt: skip
NOTED = {"type": "object", "properties": {
    "name": {"type": "string", "required": True},
    "size": {"type": "long", "required": False},
    "many": {"type": "array", "items": {"type": "double"}, "required": False},
    "inner": {"type": "object", "properties": {"on": {"type": "boolean", "required": True}}, "required": False},
}}  # fmt: skip


class Nowhere:
    """No server is asked."""

    url = "http://127.0.0.1:9"

    def __init__(self, folder: Path) -> None:
        self.home = folder


def test_they_are_what_mlflow_makes_of_them(tmp_path: Path) -> None:
    specs: list[dict[str, Any]] = [
        {"name": "p", "type": kind, "default": default if shape is None else [default], "shape": shape}
        for kind, default in DEFAULTS.items()
        for shape in (None, [-1])
    ]
    specs.append({"name": "p", "default": {"name": "x"}, "shape": None, **NOTED})
    cases = [(spec, value) for spec in specs for value in VALUES]
    asked = tmp_path / "cases.json"
    asked.write_text(json.dumps(cases))
    found = mlflow_client.tell(mlflow_client.interpreter("3"), "params_oracle", Nowhere(tmp_path), str(asked))
    other = [
        (spec["type"], spec["shape"], value, theirs, ours)
        for (spec, value), theirs, ours in zip(cases, found, map(verdict, cases), strict=True)
        if theirs != ours
    ]
    assert not other


def verdict(case: tuple[dict[str, Any], Any]) -> list[Any]:
    spec, value = case
    try:
        return [True, held(read_params([spec]), {"p": value})["p"]]
    except InvalidInput:
        return [False, None]


@pytest.mark.parametrize("text", ["[1, 2]", '{"name": "x"}'])
def test_only_a_text_of_json_may_be_a_list_or_an_object_here(text: str) -> None:
    spec = {"name": "p", "type": "long", "default": [1], "shape": [-1]} if text[0] == "[" else {"name": "p", **NOTED}
    assert held(read_params([spec]), {"p": text}) == {"p": json.loads(text)}
