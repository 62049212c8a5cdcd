"""Queries that would cost too much are refused before they are looked at closely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import graphql
else:
    graphql = deferred("graphql")

MAX_QUERY_LENGTH = 64 << 10
MAX_TOKENS = 10_000
MAX_ROOT_FIELDS = 10
MAX_ALIASES = 10
"""Within one selection."""
MAX_DEPTH = 10
MAX_SELECTIONS = 1_000
"""With fragments counted wherever they are spread."""
MAX_FRAGMENTS = 50
MAX_ERRORS = 10


def checked(query: str, schema: graphql.GraphQLSchema) -> graphql.DocumentNode:
    """The parsed query. Raises GraphQLError, or InvalidQuery for several of them, when it is not answered."""
    if len(query) > MAX_QUERY_LENGTH:
        raise graphql.GraphQLError(f"A query has at most {MAX_QUERY_LENGTH} characters here, not {len(query)}.")
    try:
        document = graphql.parse(query, max_tokens=MAX_TOKENS)
    except RecursionError:
        raise graphql.GraphQLError("The query is nested too deeply.") from None
    _check_size(document)
    # what there is to ask for is MLflow's own schema; without introspection no query is about more than its records
    rules = [*graphql.specified_rules, graphql.NoSchemaIntrospectionCustomRule]
    found = graphql.validate(schema, document, rules, max_errors=MAX_ERRORS)
    if found:
        raise InvalidQuery(found)
    return document


class InvalidQuery(Exception):
    """Asks for what the schema does not have."""

    def __init__(self, errors: list[graphql.GraphQLError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


def _check_size(document: graphql.DocumentNode) -> None:
    fragments = {
        each.name.value: each for each in document.definitions if isinstance(each, graphql.FragmentDefinitionNode)
    }
    if len(fragments) > MAX_FRAGMENTS:
        raise _too_much("fragments", MAX_FRAGMENTS, len(fragments))
    tally = _Tally(fragments)
    for each in document.definitions:
        if isinstance(each, graphql.FragmentDefinitionNode):  # whether spread or not, it is validated
            tally.count(each.selection_set, 2)
        elif isinstance(each, graphql.OperationDefinitionNode):
            tally.count(each.selection_set, 1)
    if tally.roots > MAX_ROOT_FIELDS:
        raise _too_much("root fields", MAX_ROOT_FIELDS, tally.roots)
    if tally.aliases > MAX_ALIASES:
        raise _too_much("aliases", MAX_ALIASES, tally.aliases)


@dataclass(slots=True)
class _Tally:
    """Fields of operations, most aliases of one selection, and everything selected."""

    fragments: Mapping[str, graphql.FragmentDefinitionNode]
    roots: int = 0
    aliases: int = 0
    selections: int = 0

    def count(self, selected: graphql.SelectionSetNode, depth: int) -> None:
        """Raises GraphQLError as soon as the query is too deep or too long."""
        if depth > MAX_DEPTH:
            raise _too_deep()
        fields = list(self._fields(selected, 1))
        self.aliases = max(self.aliases, sum(1 for each in fields if each.alias))
        if depth == 1:
            self.roots += len(fields)
        for each in fields:
            if each.selection_set:
                self.count(each.selection_set, depth + 1)

    def _fields(self, selected: graphql.SelectionSetNode, nesting: int) -> Iterator[graphql.FieldNode]:
        """Those of fragments too, which belong to the selection they are in."""
        if nesting > MAX_DEPTH:
            raise _too_deep()
        for each in selected.selections:
            self.selections += 1
            if self.selections > MAX_SELECTIONS:
                raise graphql.GraphQLError(f"Query exceeds maximum total selections of {MAX_SELECTIONS}")
            if isinstance(each, graphql.FieldNode):
                yield each
            elif isinstance(each, graphql.InlineFragmentNode):
                yield from self._fields(each.selection_set, nesting + 1)
            elif isinstance(each, graphql.FragmentSpreadNode) and each.name.value in self.fragments:
                yield from self._fields(self.fragments[each.name.value].selection_set, nesting + 1)


def _too_deep() -> graphql.GraphQLError:
    return graphql.GraphQLError(f"Query exceeds maximum depth of {MAX_DEPTH}")


def _too_much(what: str, most: int, found: int) -> graphql.GraphQLError:
    return graphql.GraphQLError(f"GraphQL queries should have at most {most} {what}, got {found} {what}.")
