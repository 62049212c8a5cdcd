"""No request, however strange, is answered by a fault of ours: every route, with messages made from its own type."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.server.asgi import create_app
from bailiwick.server.mlflow.message import Message
from bailiwick.server.mlflow.route import MlflowRoute
from bailiwick.server.mlflow.routes import ROUTES
from tests_support.control import TestClient, local
from tests_support.populated import empty

KNOWN = [
    "0",
    "1",
    "run",
    "m",
    "v1",
    "champion",
    "Staging",
    "latest",
    "a/b",
    "../x",
    "metrics.m > 0",
    "name LIKE '%'",
    "m ASC",
]
TEXTS = st.sampled_from(KNOWN) | st.text(max_size=20) | st.text(min_size=5_000, max_size=5_001)
NUMBERS = st.integers(-3, 3) | st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30])
JUNK: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS | st.just([]) | st.just({}) | st.just([[{}]])
)


def fitting(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return st.one_of([fitting(part) for part in typing.get_args(hint)])
    if typing.get_origin(hint) is typing.Annotated:
        return fitting(typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return st.lists(fitting(typing.get_args(hint)[0]), max_size=3)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(TEXTS, fitting(typing.get_args(hint)[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Message):
        return bodies(hint)
    simple = {str: TEXTS, int: NUMBERS, float: NUMBERS | st.floats(), bool: st.booleans(), type(None): st.none()}
    return simple.get(hint, JUNK)


def bodies(kind: type[Message]) -> st.SearchStrategy[dict[str, Any]]:
    """Messages of a type: mostly right, some fields missing, some of another type."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {name: fitting(hints[name]) | fitting(hints[name]) | JUNK for name in kind.__struct_fields__}
    return st.fixed_dictionaries({}, optional=fields)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A control plane of its own, with whatever the fuzzing leaves behind."""
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    platform = empty(folder / "home")
    with local(create_app(platform)) as opened:
        yield opened
    platform.close()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_input_is_answered_by_a_fault(client: TestClient, route: MlflowRoute, data: st.DataObject) -> None:
    path = data.draw(paths(route))
    if route.method in {"GET", "HEAD"}:
        answer = client.request(route.method, path, params=queried(data.draw(bodies(route.message))))
    else:
        body = data.draw(bodies(route.message).map(encoded) | st.binary(max_size=50))
        answer = client.request(route.method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error_code", "message"}


FIELDS = {
    "mlflowGetExperiment": ["experimentId"],
    "mlflowGetRun": ["runId", "runUuid"],
    "mlflowGetMetricHistoryBulkInterval": ["runIds", "metricKey", "startStep", "endStep", "maxResults"],
    "mlflowListArtifacts": ["runId", "path", "pageToken"],
    "mlflowSearchModelVersions": ["filter", "maxResults", "orderBy", "pageToken"],
    "mlflowSearchRuns": ["experimentIds", "filter", "runViewType", "maxResults", "orderBy", "pageToken"],
    "mlflowSearchDatasets": ["experimentIds"],
}


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_graphql_variable_is_answered_by_a_fault(client: TestClient, name: str, data: st.DataObject) -> None:
    given_fields = {each: TEXTS | NUMBERS | st.lists(TEXTS, max_size=3) | JUNK for each in FIELDS[name]}
    asked = data.draw(st.fixed_dictionaries({}, optional=given_fields) | JUNK)
    kind = "mutation" if name == "mlflowSearchDatasets" else "query"
    query = f"{kind} ($data: Mlflow{name.removeprefix('mlflow')}Input) {{ {name}(input: $data) {{ __typename }} }}"
    body = json.dumps({"query": query, "variables": {"data": asked}}).encode()
    answer = client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400}, answer.text


def paths(route: MlflowRoute) -> st.SearchStrategy[str]:
    """The route's path with values for its parameters."""
    template = route.paths[0]
    names = [part.partition("}")[0] for part in template.split("{")[1:]]
    values = st.fixed_dictionaries({name: TEXTS.filter(bool) for name in names})

    def filled(chosen: dict[str, str]) -> str:
        path = template
        for name, value in chosen.items():
            path = path.replace("{" + name + "}", quote(value.encode("utf-8", "replace"), safe=""))
        return path

    return values.map(filled)


def queried(body: dict[str, Any]) -> list[tuple[str, str]]:
    """A body as a query string has it."""
    pairs = []
    for name, value in body.items():
        for each in value if isinstance(value, list) else [value]:
            text = each if isinstance(each, str) else json.dumps(each)
            pairs.append((name, text.encode("utf-8", "replace").decode()))
    return pairs


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
