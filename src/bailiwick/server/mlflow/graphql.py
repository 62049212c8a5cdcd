"""`/graphql`, by which MLflow's pages read: each field of a query is a REST call of the same name, answered by its handler."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from bailiwick.core.actor import Permission
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import BailiwickError
from bailiwick.server.mlflow import artifacts, datasets, experiments, metrics, model_versions, runs
from bailiwick.server.mlflow.errors import INVALID, MlflowError, as_mlflow
from bailiwick.server.mlflow.graphql_guards import InvalidQuery, checked
from bailiwick.server.mlflow.graphql_schema import Asking, Info, Refusal, Together, readable_schema, roots, snake
from bailiwick.server.mlflow.message import Message, read_fields
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.server.mlflow.tracking_json import RunJson, experiment_json, page_size

if TYPE_CHECKING:
    import graphql
else:
    graphql = deferred("graphql")

MAX_BODY_BYTES = 1 << 20
MAX_SECONDS = 30.0
"""A query that multiplies what it asks for ends here, without an answer."""
MAX_RUNS = 1_000
MAX_VERSIONS = 10_000
"""On one page, whatever `maxResults` says; the token of the next one is in the answer."""

Handler = Callable[[MlflowCall[Any]], Any]


class Query(Message):
    """A GraphQL request; by GET, `variables` are JSON in a text."""

    required = ("query",)
    query: str | None = None
    variables: dict[str, Any] | str | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")


def answer(call: MlflowCall[Query]) -> bytes:
    """Data and errors, always with status 200 once the request is understood: errors are texts, as MLflow gives them."""
    asked = call.message
    variables = _variables(asked.variables)
    prepared = _prepared()
    try:
        document = checked(asked.query or "", prepared)
    except graphql.GraphQLError as error:
        return _encoded(None, [error])
    except InvalidQuery as invalid:
        return _encoded(None, invalid.errors)
    asking = _asking(call)
    result = graphql.execute_sync(
        prepared,
        document,
        context_value=asking,
        variable_values=variables,
        operation_name=asked.operation_name or None,
    )
    errors = result.errors or []
    for each in errors:
        if each.path and not isinstance(each.original_error, graphql.GraphQLError | None):
            raise each.original_error  # a fault of ours is no part of an answer
    if asking.late:
        return _encoded(None, [graphql.GraphQLError(f"Answering took more than {MAX_SECONDS:g} s; ask for less.")])
    return _encoded(result.data, errors)


def _variables(given: dict[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given or "{}", type=dict[str, Any] | None)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            raise MlflowError(INVALID, "Parameter 'variables' must be a JSON object.") from None
    return given or {}


def _encoded(data: Any, errors: Iterable[graphql.GraphQLError]) -> bytes:
    return msgspec.json.encode({"data": data, "errors": [error.message for error in errors] or None})


# -- fields ------------------------------------------------------------------------------------------------------------


@cache
def _prepared() -> graphql.GraphQLSchema:
    """The schema with all that answers it, made at the first request."""
    made = readable_schema()
    found = roots(made)
    for name, (message, handler) in _CALLS.items():
        for shown in found[name]:
            shown.resolve = _field(message, handler)
    for name in ("test", "testMutation"):
        found[name][0].resolve = lambda _source, _info, **given: {"output": given.get("inputString")}
    return made


def _field(message: type[Message], handler: Handler) -> Callable[..., Any]:
    def resolve(_source: None, info: Info, **given: Any) -> Any:
        asking: Asking = info.context
        if asking.is_late():
            return None
        try:
            asked = read_fields(_in_snake_case(given.get("input") or {}), message)
            shown = handler(replace(asking.call, message=asked))
        except (MlflowError, BailiwickError) as error:
            return _refusal(error, info)
        _expect(asking, shown)
        return shown

    return resolve


def _in_snake_case(given: Mapping[str, Any]) -> dict[str, Any]:
    """Raises MlflowError for a NUL, which GraphQL has more ways to write than JSON."""
    for name, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and "\x00" in text:
                raise MlflowError(INVALID, f"{name} holds a NUL character, which no record can keep.")
    return {snake(name): value for name, value in given.items()}


def _refusal(error: MlflowError | BailiwickError, info: Info) -> Refusal:
    """In `apiError` where the query asks for that, among the errors where it does not. A fault of the server is raised."""
    told = error if isinstance(error, MlflowError) else as_mlflow(error)
    if told.status >= 500:
        raise error
    if any(_selects_api_error(node.selection_set, info) for node in info.field_nodes):
        return Refusal(told.code, told.message)
    raise graphql.GraphQLError(told.message)


def _selects_api_error(selected: graphql.SelectionSetNode | None, info: Info) -> bool:
    """Only surely: what has a directive may be skipped."""
    for each in selected.selections if selected else ():
        if each.directives:
            continue
        if isinstance(each, graphql.FieldNode):
            if each.name.value == "apiError":
                return True
        elif isinstance(each, graphql.InlineFragmentNode):
            if _selects_api_error(each.selection_set, info):
                return True
        elif isinstance(each, graphql.FragmentSpreadNode) and _selects_api_error(
            info.fragments[each.name.value].selection_set, info
        ):
            return True
    return False


# -- what runs are shown with ------------------------------------------------------------------------------------------


def _asking(call: MlflowCall[Query]) -> Asking:
    def read_experiments(ids: list[str]) -> Mapping[str, Any]:
        found = call.platform.tracking.experiments_of(call.workspace, ids)
        return {name: experiment_json(each) for name, each in found.items()}

    def read_versions(run_ids: list[str]) -> Mapping[str, Any]:
        return model_versions.of_runs(call, run_ids)

    return Asking(call, time.monotonic() + MAX_SECONDS, Together(read_experiments), Together(read_versions))


def _expect(asking: Asking, shown: Any) -> None:
    for run in _runs_in(shown):
        asking.experiments.expect([run.info.experiment_id])
        asking.versions.expect([run.info.run_id])


def _runs_in(shown: Any) -> Iterator[RunJson]:
    if isinstance(shown, runs.Made):
        yield shown.run
    elif isinstance(shown, runs.Runs):
        yield from shown.runs or ()


def _search_runs(call: MlflowCall[runs.SearchRuns]) -> runs.Runs:
    call.message.max_results = min(page_size(call.message.max_results), MAX_RUNS)
    return runs.search(call)


def _search_versions(call: MlflowCall[model_versions.SearchVersions]) -> dict[str, Any]:
    return model_versions.found(call, default=MAX_VERSIONS, most=MAX_VERSIONS)


_CALLS: Mapping[str, tuple[type[Message], Handler]] = {
    "mlflowGetExperiment": (experiments.OneExperiment, experiments.get),
    "mlflowGetRun": (runs.RunMessage, runs.get),
    "mlflowGetMetricHistoryBulkInterval": (metrics.GetSamples, metrics.get_samples),
    "mlflowListArtifacts": (artifacts.ListOfRun, artifacts.list_of_run),
    "mlflowSearchModelVersions": (model_versions.SearchVersions, _search_versions),
    "mlflowSearchRuns": (runs.SearchRuns, _search_runs),
    "mlflowSearchDatasets": (datasets.SearchDatasets, datasets.search_datasets),
}

ROUTES = tuple(
    MlflowRoute(method, "/graphql", Query, Permission.READ, answer, version="", max_bytes=MAX_BODY_BYTES)
    for method in ("GET", "POST")
)
