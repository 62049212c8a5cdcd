"""OpenAPI 3.1, made from the route table and the structs it names; nothing is written twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bailiwick._version import __version__
from bailiwick.core.actor import Permission
from bailiwick.server.api.errors import ErrorBody
from bailiwick.server.api.route import Nothing, Route

_TEMPLATE = "#/components/schemas/{name}"
Json = dict[str, Any]


def openapi(routes: Sequence[Route]) -> Json:
    """The whole document as JSON values."""
    named = [kind for route in routes for kind in (route.response, route.body, route.query) if kind is not None]
    unique = list(dict.fromkeys([ErrorBody, *named]))
    schemas, components = msgspec.json.schema_components(unique, ref_template=_TEMPLATE)
    schema_of = dict(zip(unique, schemas, strict=True))
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bailiwick",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Error": {"description": "What went wrong, and what to do.", "content": _json(schema_of[ErrorBody])}
            },
        },
    }


def _operation(route: Route, schema_of: dict[Any, Json], components: Json) -> Json:
    answer: Json = {"description": route.summary}
    if route.response is not None:
        answer["content"] = _json(schema_of[route.response])
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [_tag(route.path)],
        "parameters": [*_path_parameters(route), *_query_parameters(schema_of[route.query], components)],
        "responses": {str(route.status): answer, "default": {"$ref": "#/components/responses/Error"}},
        "security": [],
    }
    if isinstance(route.permission, Permission):
        operation["security"] = [{"token": []}]
        operation["x-permission"] = route.permission.value
    if route.body is not Nothing:
        operation["requestBody"] = {"required": True, "content": _json(schema_of[route.body])}
    return operation


def _path_parameters(route: Route) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1} if name == "number" else {"type": "string"},
        }
        for name in route.parameters
    ]


def _query_parameters(reference: Json, components: Json) -> list[Json]:
    schema = components[reference["$ref"].rpartition("/")[2]]
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _tag(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[2] if parts[:2] == ["api", "v1"] else "operations"
