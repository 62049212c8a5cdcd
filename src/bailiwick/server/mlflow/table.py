"""Finding the route of a path: one dictionary look-up for most, patterns for those with parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bailiwick.server.mlflow.errors import BAD_REQUEST, NO_ENDPOINT, NOT_OFFERED, MlflowError
from bailiwick.server.mlflow.route import MlflowRoute
from bailiwick.server.mlflow.server_info import not_offered

_PARAMETER = re.compile(r"{(\w+)(:path)?}")


class Match(NamedTuple):
    """A route and the values of its path's parameters."""

    route: MlflowRoute
    path: Mapping[str, str]


class RouteTable:
    """Made once; refuses two routes for one method and path."""

    def __init__(self, routes: Iterable[MlflowRoute]) -> None:
        self._fixed: dict[str, dict[str, MlflowRoute]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, MlflowRoute]]] = []
        patterns: dict[str, dict[str, MlflowRoute]] = {}
        for route in routes:
            for path in route.paths:
                methods = (patterns if "{" in path else self._fixed).setdefault(path, {})
                if route.method in methods:
                    raise AssertionError(f"{route.method} {path} is in the MLflow route table twice")
                methods[route.method] = route
        self._patterns = [(_compiled(path), methods) for path, methods in patterns.items()]

    def find(self, method: str, path: str) -> Match:
        """Raises MlflowError for a path or method that is not served, and for a part of MLflow that is not offered."""
        allowed: list[str] = []
        for methods, values in self._candidates(path):
            route = methods.get("GET" if method == "HEAD" else method)
            if route is not None:
                return Match(route, values)
            allowed += methods
        if allowed:
            said = f"{method[:20]} is not allowed for {path[:200]}; use {', '.join(sorted(allowed))}."
            raise MlflowError(BAD_REQUEST, said, status=405)
        part = not_offered(path)
        if part:
            raise MlflowError(NOT_OFFERED, f"Bailiwick does not offer {part} of MLflow's generative-AI functions.")
        raise MlflowError(NO_ENDPOINT, f"{method[:20]} {path[:200]} is not part of the MLflow protocol as served here.")

    def prompt(self, method: str, path: str) -> MlflowRoute | None:
        """The route of a path without parameters, where it is one that is answered at once; None for any other."""
        route = self._fixed.get(path, {}).get(method)
        return route if route is not None and route.prompt else None

    def serves(self, path: str) -> bool:
        """Whether the path is one of these routes, by any method."""
        return any(True for _ in self._candidates(path))

    def _candidates(self, path: str) -> Iterable[tuple[dict[str, MlflowRoute], Mapping[str, str]]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            yield fixed, {}
            return
        for pattern, methods in self._patterns:
            found = pattern.fullmatch(path)
            if found:
                yield methods, found.groupdict()


def _compiled(path: str) -> re.Pattern[str]:
    parts, at = [], 0
    for found in _PARAMETER.finditer(path):
        parts += [re.escape(path[at : found.start()]), f"(?P<{found[1]}>{'.+' if found[2] else '[^/]+'})"]
        at = found.end()
    return re.compile("".join([*parts, re.escape(path[at:])]), re.DOTALL)
