"""Models of which nothing says what they take are called with what MLflow's own scoring server calls them with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests_support import mlflow_client
from tests_support.place import Place
from tests_support.server import until


@dataclass
class Documents:
    """A server with every model deployed, and what MLflow itself made of each request."""

    place: Place
    told: dict[str, list[tuple[str, str, int, str]]]
    versions: dict[str, Any]

    def ask(self, name: str, kind: str, body: str) -> tuple[int, Any]:
        data = (self.place.home.parent / "table.parquet").read_bytes() if "parquet" in kind else body.encode()
        status, answer = self.place.post(f"/endpoints/{name}/invocations", data, kind)
        return status, json.loads(answer) if status != 415 else answer


@pytest.fixture(scope="module", params=["2", "3"])
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documents]:
    python = mlflow_client.interpreter(request.param)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BAILIWICK_MODELS_PYTHON", str(python))
        place = Place(tmp_path_factory.mktemp("place"))
        found = mlflow_client.tell(python, "documents", place)
        versions = {}
        for name in found:
            versions[name] = place.command("models", "package", name, "1")
            place.command("endpoints", "deploy", name, "--model", name, "--version", "1")
        for name in found:
            until(lambda name=name: place.post(f"/endpoints/{name}/invocations", b"{")[0] == 400, f"endpoint {name}")  # type: ignore[misc]
        yield Documents(place, {name: [tuple(each) for each in asked] for name, asked in found.items()}, versions)
        assert place.server.stop()[0] == 0


def plain(found: Any) -> Any:
    """What is no number is null in what we answer, and NaN in what MLflow does."""
    if isinstance(found, float) and (found != found or found in {float("inf"), float("-inf")}):
        return None
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    return [plain(each) for each in found] if isinstance(found, list) else found


def test_every_request_gets_what_mlflow_answers(documents: Documents) -> None:
    compared = 0
    for name, asked in documents.told.items():
        for kind, body, status, text in asked:
            answered, said = documents.ask(name, kind, body)
            assert answered == status, (name, kind, body, said, text)
            if status == 200:
                assert said == plain(json.loads(text)), (name, kind, body)
                compared += 1
            else:
                assert set(said) == {"error_code", "message", "stack_trace"}
    assert compared > 80
