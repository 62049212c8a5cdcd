"""The document describes exactly the routes there are, and every reference in it leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bailiwick.core.actor import Permission
from bailiwick.server.api.openapi import openapi
from bailiwick.server.api.route import PUBLIC, Nothing
from bailiwick.server.api.routes import ROUTES
from tests_support.control import TestClient


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi(ROUTES)


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_is_served(client: TestClient) -> None:
    assert client.get("/api/v1/openapi.json").json()["openapi"] == "3.1.0"


def test_it_has_every_route_and_no_other(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_reference_leads_to_a_component(document: dict[str, Any]) -> None:
    for reference in references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in target, reference
            target = target[part]


def test_component_names_are_ones_that_generators_accept(document: dict[str, Any]) -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])


def test_every_operation_is_named_once_and_says_what_it_does(document: dict[str, Any]) -> None:
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names))
    assert all(each["summary"] and each["responses"]["default"] for each in operations)


def test_every_path_parameter_is_declared(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))


def test_security_and_permission_follow_the_table(document: dict[str, Any]) -> None:
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        if route.permission is PUBLIC:
            assert operation["security"] == []
        else:
            assert isinstance(route.permission, Permission)
            assert operation["security"] == [{"token": []}]
            assert operation["x-permission"] == route.permission.value
        assert ("requestBody" in operation) == (route.body is not Nothing)
