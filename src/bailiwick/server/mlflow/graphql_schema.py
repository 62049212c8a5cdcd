"""How each GraphQL field is read from what the REST handlers answer.

What is not set is given as proto messages give it: an empty text, 0, false, an empty list.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from bailiwick.core.deferred import deferred
from bailiwick.server.mlflow.graphql_types import SDL
from bailiwick.server.mlflow.route import MlflowCall

if TYPE_CHECKING:
    import graphql
else:
    graphql = deferred("graphql")

T = TypeVar("T")
Info: TypeAlias = "graphql.GraphQLResolveInfo[Asking]"
Reader: TypeAlias = "Callable[[Any, Info], Any]"

LARGEST_DOUBLE = sys.float_info.max
_UNSET: Mapping[str, Any] = {"String": "", "LongString": "0", "Boolean": False, "Int": 0}
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What stands in an answer's `apiError`; every other field of that answer is null."""

    code: str
    message: str


class Together(Generic[T]):
    """What belongs to records that are shown together, read for all of them when it is first asked for."""

    def __init__(self, read: Callable[[list[str]], Mapping[str, T]]) -> None:
        self._read = read
        self._awaited: dict[str, None] = {}
        self._known: dict[str, T | None] = {}

    def expect(self, keys: list[str]) -> None:
        """These may be asked for."""
        self._awaited.update(dict.fromkeys(keys))

    def of(self, key: str) -> T | None:
        """None where there is nothing."""
        if key not in self._known:
            wanted = list({**self._awaited, key: None})
            self._known.update({**dict.fromkeys(wanted), **self._read(wanted)})
            self._awaited.clear()
        return self._known[key]


@dataclass(slots=True)
class Asking:
    """One request while it is answered; `until` is by the monotonic clock."""

    call: MlflowCall[Any]
    until: float
    experiments: Together[Any]
    versions: Together[Any]
    late: bool = False

    def is_late(self) -> bool:
        """Whether the time is over; once it is, nothing more is shown, which brings the answer to its end."""
        self.late = self.late or time.monotonic() > self.until
        return self.late


def readable_schema() -> graphql.GraphQLSchema:
    """The schema with readers on every field but those of Query and Mutation, which whoever answers sets."""
    built = graphql.build_schema(SDL)
    for kind in built.type_map.values():
        if isinstance(kind, graphql.GraphQLObjectType) and not kind.name.startswith("__"):
            for name, shown in kind.fields.items():
                shown.resolve = _reader(kind.name, snake(name), shown.type)
    run = _fields(built, "MlflowRunExtension")
    run["experiment"].resolve = lambda source, info: info.context.experiments.of(source.info.experiment_id)
    run["modelVersions"].resolve = lambda source, info: info.context.versions.of(source.info.run_id) or []
    _fields(built, "MlflowExperiment")["workspace"].resolve = lambda _source, info: info.context.call.workspace
    return built


def roots(built: graphql.GraphQLSchema) -> Mapping[str, list[graphql.GraphQLField]]:
    """The fields of Query and Mutation by name; searching runs is in both."""
    found: dict[str, list[graphql.GraphQLField]] = {}
    for kind in ("Query", "Mutation"):
        for name, shown in _fields(built, kind).items():
            found.setdefault(name, []).append(shown)
    return found


def snake(name: str) -> str:
    """A GraphQL name as the REST API has it."""
    return _CAPITAL.sub("_", name).lower()


def _fields(built: graphql.GraphQLSchema, name: str) -> dict[str, graphql.GraphQLField]:
    kind = built.type_map[name]
    assert isinstance(kind, graphql.GraphQLObjectType)
    fields: dict[str, graphql.GraphQLField] = kind.fields
    return fields


def _reader(owner: str, name: str, kind: graphql.GraphQLOutputType) -> Reader:
    if name == "api_error":
        return lambda source, _info: source if isinstance(source, Refusal) else None
    if owner == "ApiError":
        return lambda source, _info: getattr(source, name, None)
    if isinstance(kind, graphql.GraphQLScalarType | graphql.GraphQLEnumType):
        read = _scalar(name, kind.name)
    else:
        read = _composite(name, [] if isinstance(kind, graphql.GraphQLList) else {})
    if owner.endswith("Response"):
        return lambda source, info: None if isinstance(source, Refusal) else read(source, info)
    return read


def _scalar(name: str, kind: str) -> Reader:
    unset = _UNSET.get(kind)
    shown = _SHOWN.get(kind)

    def read(source: Any, _info: Info) -> Any:
        value = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
        if value is None:
            return unset
        return shown(value) if shown else value

    return read


def _composite(name: str, unset: Any) -> Reader:
    def read(source: Any, info: Info) -> Any:
        if info.context.is_late():
            return None
        value = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
        return unset if value is None else value

    return read


def _double(value: float | str) -> float | None:
    """GraphQL has neither NaN nor the infinities: null, and the largest double, which is what MLflow's pages know."""
    if isinstance(value, str):
        return {"Infinity": LARGEST_DOUBLE, "-Infinity": -LARGEST_DOUBLE}.get(value)
    return value


_SHOWN: Mapping[str, Callable[[Any], Any]] = {"LongString": str, "Float": _double}
