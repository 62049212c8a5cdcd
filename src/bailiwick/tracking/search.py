"""Finding runs: a filter and an order become a query that walks one index and stops when the page is full.

Three ways, the first that fits (`benchmarks/tracking_search.py` measures them over 100,000 runs):

* a filter that few runs can meet is followed through the index on values, and what it finds is sorted;
* an order that begins with a metric, param, tag, start or end time is followed through its index, and each run is
  tested as it comes by; runs that lack the first thing to sort by come after those that have it, as a walk of their own;
* any other order sorts all runs of the experiments.

A page begins where a token says the one before it ended, so the hundredth page costs what the first does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from bailiwick.core.filters import Clause, Ordering
from bailiwick.core.paging import page_position, page_token
from bailiwick.store.prepared import Prepared, among
from bailiwick.tracking.conditions import KEPT, checked, kept_as, kept_condition, run_condition
from bailiwick.tracking.matching import OPERATORS
from bailiwick.tracking.model import View
from bailiwick.tracking.ordering import Key, Term, after, exact, kinds_of, order_of, sorted_by
from bailiwick.tracking.tables import HEAD_LENGTH, experiments, runs

FEW = 5_000
"""Rows that a filter may find and still be the one that is followed: sorting them costs about 10 ms."""

MAX_BRANCHES = 64
"""Experiments (times lifecycles) whose indexes are walked side by side, merged as they are read."""

_TYPES: dict[type, Any] = {int: Integer(), float: Double(), str: String()}


@dataclass(frozen=True, slots=True)
class RunSearch:
    """What is searched for. `experiment_ids` None means every experiment of the workspace, () none at all."""

    experiment_ids: tuple[str, ...] | None = None
    clauses: tuple[Clause, ...] = ()
    orderings: tuple[Ordering, ...] = ()
    view: View = View.ACTIVE_ONLY

    def identity(self) -> list[Any]:
        """What decides which runs the pages hold and in which order, as JSON values."""
        named = None if self.experiment_ids is None else sorted(set(self.experiment_ids))
        clauses = [[each.entity, each.key, each.comparator, each.value] for each in self.clauses]
        return [named, clauses, [[each.entity, each.key, each.ascending] for each in self.orderings], self.view]


@dataclass(frozen=True, slots=True)
class _Walk:
    """A stretch of the order in which the terms before `terms` have the values `fixed`; rows are those of `selects`."""

    fixed: tuple[Any, ...]
    terms: tuple[Term, ...]
    selects: tuple[Select[Any], ...]


def find_runs(
    connection: Connection, workspace: str, search: RunSearch, *, limit: int, token: str = ""
) -> tuple[list[str], str]:
    """Ids of one page, and the token of the next, empty at the end.

    Raises InvalidInput for a clause or an order that makes no sense, and for a token that belongs to another search.
    """
    finder = _Finder(connection, workspace, search)
    position = finder.position(token) if token else None
    rows: list[tuple[Any, ...]] = []
    for walk in finder.walks():
        rows += finder.read(walk, position, limit + 1 - len(rows))
        if len(rows) > limit:
            break
    ids = [row[0] for row in rows[:limit]]
    return ids, page_token(list(rows[limit - 1][1:]), search.identity()) if len(rows) > limit else ""


class _Finder:
    def __init__(self, connection: Connection, workspace: str, search: RunSearch) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._workspace = workspace
        self._search = search
        self._clauses = sorted((checked(clause) for clause in search.clauses), key=_cost)
        self._keys = order_of(search.orderings, self._dialect)
        self._terms = tuple(term for key in self._keys for term in key.terms)
        self._ids = self._experiment_ids()

    def position(self, token: str) -> list[Any]:
        """Where a page ended: a value of each term."""
        return page_position(token, self._search.identity(), kinds_of(self._terms))

    def read(self, walk: _Walk, position: Sequence[Any] | None, limit: int) -> list[tuple[Any, ...]]:
        """Rows of a walk after a position: the id, then the value of each term of the whole order."""
        selects, fixed = walk.selects, len(walk.fixed)
        if position is not None:
            reached = (tuple(position[:1]) > walk.fixed[:1]) - (tuple(position[:1]) < walk.fixed[:1]) if fixed else 0
            if reached > 0:
                return []
            if reached == 0:
                here = after(walk.terms, position[fixed:])
                selects = tuple(each.where(here) for each in selects)
        return [tuple(row) for row in self._connection.execute(self._merged(selects, walk, limit))]

    def _merged(self, selects: Sequence[Select[Any]], walk: _Walk, limit: int) -> Any:
        """The first rows of all branches. SQLite merges branches as it reads them; PostgreSQL must be told to read few of each."""
        if len(selects) == 1:
            return selects[0].order_by(*sorted_by(walk.terms)).limit(limit)
        if self._dialect != "sqlite":
            few = (each.order_by(*sorted_by(walk.terms)).limit(limit).subquery() for each in selects)
            selects = [select(each) for each in few]
        first = len(walk.fixed)
        named: list[ColumnElement[Any]] = [literal_column(f"t{first + place}") for place in range(len(walk.terms))]
        order = [name if term.ascending else name.desc() for name, term in zip(named, walk.terms, strict=True)]
        return union_all(*selects).order_by(*order).limit(limit)

    # -- the ways ------------------------------------------------------------------------------------------------

    def walks(self) -> Iterator[_Walk]:
        """Stretches of the order, one after the other."""
        if not self._ids:
            return
        followed = self._followed()
        if followed is not None:
            yield followed
        elif self._keys[0].kept is not None and len(self._ids) <= MAX_BRANCHES:
            yield from self._along_values(self._keys[0])
        elif (self._keys[0].entity, self._keys[0].name) == ("attribute", "end_time"):
            yield from self._along_ends(self._keys[0])
        else:
            yield self._along_runs(self._keys)

    def _followed(self) -> _Walk | None:
        """The runs that the clause fewest runs can meet leads to, if those are few."""
        named = [each for each in self._clauses if _names_runs(each)]
        if named:
            return self._sorted(runs, [self._condition(each) for each in named], exclude=named[0])
        clause = self._rarest([each for each in self._clauses if each.entity in KEPT and each.comparator != "IS NULL"])
        if clause is None:
            return None
        kept = kept_as(clause.entity, "followed")
        found = [*self._in_experiments(kept.c, clause.key), kept_condition(kept.c, clause, self._dialect)]
        return self._sorted(kept.join(runs, runs.c.id == kept.c.run_id), found, exclude=clause)

    def _sorted(self, source: FromClause, found: list[ColumnElement[bool]], *, exclude: Clause) -> _Walk:
        """Runs of one small source, in whatever order they are to have."""
        conditions = [self._condition(each) for each in self._clauses if each is not exclude]
        scope = [] if source is not runs else self._named_scope()
        query = self._select(source, self._keys, columns=[term.column for term in self._terms])
        return _Walk((), self._terms, (query.where(*found, *scope, self._seen(), *conditions),))

    def _along_values(self, key: Key) -> Iterator[_Walk]:
        """By the first thing to sort by: runs that have it, those where it is NaN, those that lack it."""
        rest = self._keys[1:]
        same = [each for each in self._clauses if (each.entity, each.key) == (key.entity, key.name)]
        yield self._with_value(key, rest, same, is_nan=0)
        kinds = {each.comparator for each in same}
        if key.entity == "metric" and kinds <= {"!="}:
            yield self._with_value(key, rest, same, is_nan=1)
        if kinds <= {"IS NULL"}:
            missing = 2 if key.entity == "metric" else 1
            lacking = self._condition(Clause(key.entity, key.name, "IS NULL", None))
            yield self._along_runs(rest, fixed=(missing, *_blank(key)), only=lacking)

    def _along_ends(self, key: Key) -> Iterator[_Walk]:
        """Runs that have ended by their end, then those that have not."""
        ended = Term(runs.c.ended, key.ascending, int)
        there = Key(key.entity, key.name, key.ascending, None, presence=(), values=(ended,))
        yield self._along_runs([there, *self._keys[1:]], fixed=(0,), only=runs.c.ended.is_not(None))
        yield self._along_runs(self._keys[1:], fixed=(1, *_blank(key)), only=runs.c.ended.is_(None))

    def _with_value(self, key: Key, rest: Sequence[Key], same: Sequence[Clause], *, is_nan: int) -> _Walk:
        assert key.kept is not None
        kept, of_rest = key.kept, tuple(term for each in rest for term in each.terms)
        kind: list[ColumnElement[bool]] = [kept.c.is_nan == is_nan] if key.entity == "metric" else []
        texts: list[ColumnElement[Any]] = [] if kind else [kept.c.head, exact(kept.c.value, self._dialect)]
        raw = texts or [kept.c.value]
        values = tuple(Term(column, term.ascending, term.kind) for column, term in zip(raw, key.values, strict=True))
        fixed: tuple[Any, ...] = (is_nan, *(_blank(key) if is_nan else ()))
        terms = of_rest if is_nan else (*values, *of_rest)
        columns = [*_constants(fixed), *(term.column for term in terms)]
        others = [self._condition(each) for each in self._clauses if each not in same]
        tested = [kept_condition(kept.c, each, self._dialect) for each in same if each.comparator != "IS NULL"]
        none = [literal(1) == 0 for each in same if each.comparator == "IS NULL"]
        query = self._select(kept.join(runs, runs.c.id == kept.c.run_id), rest, columns=columns)
        query = query.where(*kind, *tested, *none, self._seen(), *others)
        branches = [query.where(*self._in_experiments(kept.c, key.name, one)) for one in self._ids]
        return _Walk(fixed, terms, tuple(branches))

    def _along_runs(
        self, keys: Sequence[Key], *, fixed: tuple[Any, ...] = (), only: ColumnElement[bool] | None = None
    ) -> _Walk:
        """By the index where start or end come first; else all runs are sorted."""
        terms = tuple(term for key in keys for term in key.terms)
        conditions = [self._condition(each) for each in self._clauses]
        if only is not None:
            conditions.append(only)
        columns = [*_constants(fixed), *(term.column for term in terms)]
        query = self._select(runs, keys, columns=columns).where(runs.c.workspace == self._workspace, *conditions)
        return _Walk(fixed, terms, tuple(query.where(*each) for each in self._scopes(keys[0])))

    def _scopes(self, first: Key) -> list[tuple[ColumnElement[bool], ...]]:
        """Conditions that split the runs so that each part is a range of an index, in the order of `first`."""
        lifecycles = self._search.view.lifecycles
        if first.values[0].column is not runs.c.started and first.values[0].column is not runs.c.ended:
            return [(runs.c.experiment_id.in_(self._ids), runs.c.lifecycle.in_(lifecycles))]
        if len(self._ids) * len(lifecycles) <= MAX_BRANCHES:
            return [
                (runs.c.experiment_id == one, runs.c.lifecycle == lifecycle)
                for one in self._ids
                for lifecycle in lifecycles
            ]
        some = () if self._search.experiment_ids is None else (_unindexed(runs.c.experiment_id).in_(self._ids),)
        return [(runs.c.lifecycle == lifecycle, *some) for lifecycle in lifecycles]

    # -- parts of queries ----------------------------------------------------------------------------------------

    def _select(self, source: FromClause, keys: Sequence[Key], *, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        for key in keys:
            if key.kept is not None:
                same = and_(key.kept.c.run_id == runs.c.id, key.kept.c.key == key.name)
                source = source.outerjoin(key.kept, same)
        named = [column.label(f"t{place}") for place, column in enumerate(columns)]
        return select(runs.c.id, *named).select_from(source)

    def _condition(self, clause: Clause) -> ColumnElement[bool]:
        return run_condition(self._workspace, clause, self._dialect)

    def _seen(self) -> ColumnElement[bool]:
        lifecycles = self._search.view.lifecycles
        return runs.c.lifecycle == lifecycles[0] if len(lifecycles) == 1 else runs.c.lifecycle.in_(lifecycles)

    def _named_scope(self) -> list[ColumnElement[bool]]:
        """The scope of runs that are named by id, so written that no index but that of the ids is tempting."""
        return [_unindexed(runs.c.workspace) == self._workspace, _unindexed(runs.c.experiment_id).in_(self._ids)]

    def _in_experiments(self, columns: Any, key: str, one: str | None = None) -> list[ColumnElement[bool]]:
        ids = self._ids if one is None else (one,)
        chosen = columns.experiment_id == ids[0] if len(ids) == 1 else columns.experiment_id.in_(ids)
        return [columns.workspace == self._workspace, chosen, columns.key == key]

    def _rarest(self, clauses: Sequence[Clause]) -> Clause | None:
        """The clause that finds the fewest rows in its index, if those are few; none is counted past the fewest so far."""
        rarest, fewest = None, FEW + 1
        for clause in clauses:
            value = clause.value[:HEAD_LENGTH] if isinstance(clause.value, str) else clause.value
            given = {"workspace": self._workspace, "experiments": [*self._ids], "key": clause.key, "value": value}
            [(count,)] = _count_of(clause.entity, clause.comparator).rows(self._connection, {**given, "most": fewest})
            if count < fewest:
                rarest, fewest = clause, count
        return rarest

    def _experiment_ids(self) -> tuple[str, ...]:
        if self._search.experiment_ids is not None:
            return tuple(sorted(set(self._search.experiment_ids)))
        query = select(experiments.c.id).where(experiments.c.workspace == self._workspace)
        return tuple(self._connection.scalars(query.order_by(experiments.c.id)))


def _cost(clause: Clause) -> int:
    """What is tested first: the run's own columns, then what most runs fail, so that few other tables are looked at."""
    return 0 if clause.entity == "attribute" else 1 if clause.comparator == "=" else 2


def _names_runs(clause: Clause) -> bool:
    return (clause.entity, clause.key) == ("attribute", "run_id") and clause.comparator in {"=", "IN"}


def _is_narrow(clause: Clause) -> bool:
    """Whether a clause is a range of the index on values, rather than all that has its key."""
    return clause.comparator == "=" or (clause.entity == "metric" and clause.comparator != "!=")


@cache
def _count_of(entity: str, comparator: str) -> Prepared:
    """How many rows, `most` at most, a clause finds in its index. Made once: to write it takes longer than to count."""
    columns = KEPT[entity].c
    given: ColumnElement[Any] = bindparam("value")
    narrowed: list[ColumnElement[bool]] = []
    if _is_narrow(Clause(entity, "", comparator, None)):
        metric = entity == "metric"
        narrowed = (
            [columns.is_nan == 0, OPERATORS[comparator](columns.value, given)] if metric else [columns.head == given]
        )
    here = (columns.workspace == bindparam("workspace"), columns.key == bindparam("key"), *narrowed)

    def statement(dialect: str) -> Select[Any]:
        found = select(literal(1)).where(*here, among(dialect, columns.experiment_id, "experiments"))
        return select(func.count().label("count")).select_from(found.limit(bindparam("most")).subquery())

    return Prepared(statement)


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(column, "")


def _blank(key: Key) -> tuple[Any, ...]:
    return tuple(term.kind() for term in key.values)


def _constants(values: Sequence[Any]) -> list[ColumnElement[Any]]:
    return [literal(value, _TYPES[type(value)]) for value in values]
