"""Running checks: one pass over the columns that they read, then a query or two each, exact and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bailiwick.core.clock import to_text
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.checks.model import (
    Check,
    CheckResult,
    Condition,
    Duplicates,
    Freshness,
    Held,
    Monotonic,
    Others,
    References,
    SourceAge,
    Unique,
    Volume,
)
from bailiwick.data.checks.scratch import MEMORY_MB, Scratch, scratch
from bailiwick.data.expressions import one_expression, refuse_alike

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = deferred("duckdb")

_NAMED = 3
_UNITS = (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000))


def no_others(source: str, columns: list[str]) -> Any:
    """For data that refers to nothing. Raises InvalidInput."""
    raise InvalidInput(f"Columns {', '.join(columns)} of {source!r} are referred to, and nothing can be read here.")


def run_checks(
    held: Held,
    checks: Sequence[Check],
    *,
    others: Others = no_others,
    limit: int = 10,
    whole_rows: bool = False,
    absent_fails: bool = False,
    memory_mb: int = MEMORY_MB,
) -> list[CheckResult]:
    """One result a check, in their order, with the places and values of at most `limit` offending rows.

    `whole_rows` gives all columns of those rows, else those that the check reads. Memory beyond `memory_mb` is disk.
    A check of a column that is not there fails with `absent_fails`, and else raises InvalidInput naming it, as does one
    that the columns cannot be held against.
    """
    absent = {id(check): absent_columns(check, held.columns) for check in checks}
    for check in checks if not absent_fails else ():
        for name in check.reads or ():
            if name not in held.columns:
                raise InvalidInput.choice(f"Column of check {check.name!r}", name, held.columns)
    can = [check for check in checks if absent[id(check)] is None]
    everything = whole_rows or any(check.reads is None for check in can)
    wanted = [name for name in held.columns if everything or any(name in (check.reads or ()) for check in can)]
    wanted = wanted or list(held.columns[:1])  # rows are counted even where no value matters
    moments = list(dict.fromkeys(check.column for check in can if isinstance(check, Freshness)))
    with scratch(memory_mb=memory_mb) as rows:
        total = rows.load("held", held.read(wanted), moments=moments)
        run = _Run(held, rows, total, wanted, moments, others, limit, whole_rows)
        return [absent[id(check)] or run.result(check) for check in checks]


def absent_columns(check: Check, there: Collection[str]) -> CheckResult | None:
    """What came of a check of columns that are not there; None where they are."""
    lost = [name for name in check.reads or () if name not in there]
    if not lost:
        return None
    message = f"There is no {' and no '.join(f'column {name}' for name in lost)}."
    return CheckResult(check, passed=False, message=message, fix="Bring it back at the source, or drop the check.")


@dataclass(frozen=True, slots=True)
class _Offence:
    """Rows that offend: how many, and a query for the places of the first."""

    count: int
    places: str


@dataclass(frozen=True, slots=True)
class _Run:
    held: Held
    rows: Scratch
    total: int
    names: list[str]
    moments: list[str]
    others: Others
    limit: int
    whole_rows: bool

    def result(self, check: Check) -> CheckResult:
        judge: Callable[[_Run, Any], tuple[CheckResult, _Offence | None]] = _JUDGES[type(check)]
        try:
            found, offence = judge(self, check)
            return found if offence is None else self._with_rows(found, offence)
        except duckdb.Error as error:
            first = str(error).partition("\n")[0]
            raise InvalidInput(f"Check {check.name!r} cannot be made of these columns: {first}") from error

    def number(self, name: str) -> str:
        """The column's name in the scratch."""
        return f"c{self.names.index(name)}"

    def numbers(self, names: Iterable[str]) -> list[str]:
        """Of several columns."""
        return [self.number(name) for name in names]

    def _with_rows(self, found: CheckResult, offence: _Offence) -> CheckResult:
        shown = max(self.limit, _NAMED)
        places = [row[0] for row in self.rows.all(f"{offence.places} ORDER BY r LIMIT {shown}")]
        first = [str(place + 1) for place in places[:_NAMED]]
        more = offence.count - len(first)
        told = ("row " if offence.count == 1 else "rows ") + ", ".join(first) + (f" and {more:,} more" if more else "")
        kept = places[: self.limit]
        before, _, after = found.message.rpartition("{rows}")  # the last one: an expression may hold the same
        message = f"{before}{told}{after}"
        values = self._values(found.check, kept)
        return replace(found, message=message, count=offence.count, places=tuple(kept), rows=values)

    def _values(self, check: Check, places: list[int]) -> tuple[Mapping[str, Any], ...]:
        names = self.names if self.whole_rows or check.reads is None else list(check.reads)
        listed = ", ".join(str(place) for place in places)
        columns = ", ".join(self.numbers(names))
        found = self.rows.all(f"SELECT {columns} FROM held WHERE r IN ({listed}) ORDER BY r") if places else []
        return tuple(dict(zip(names, row, strict=True)) for row in found)


def _volume(run: _Run, check: Volume) -> tuple[CheckResult, None]:
    return volume(check, run.total, run.held.previous_rows), None


def volume(check: Volume, total: int, before: int | None) -> CheckResult:
    """The verdict on so many rows, after so many of the snapshot before."""
    wrong = []
    if check.least is not None and total < check.least:
        wrong.append(f"{some(total, 'row')} are fewer than the {check.least:,} that are asked for")
    if check.most is not None and total > check.most:
        wrong.append(f"{some(total, 'row')} are more than the {check.most:,} that are allowed")
    if check.of_previous is not None and before:
        low, high = check.of_previous
        share = total / before
        if not low <= share <= high:
            wrong.append(
                f"{some(total, 'row')} are {share:.0%} of the {before:,} of the snapshot before, not {low:.0%} to {high:.0%}"
            )
    measured = {"rows": float(total), "previous": None if before is None else float(before)}
    if not wrong:
        return CheckResult(check, passed=True, message=f"{some(total, 'row')}.", measured=measured)
    fix = "Find out what the source left out or repeated, or change the bounds if it is to be so from now on."
    return CheckResult(check, passed=False, message=f"{'; '.join(wrong)}.", fix=fix, measured=measured)


def _freshness(run: _Run, check: Freshness) -> tuple[CheckResult, _Offence | None]:
    now = run.held.now if run.held.until is None else min(run.held.now, run.held.until)
    moment, latest = f"t{run.moments.index(check.column)}", run.held.now + check.slack_ms
    newest, ahead = run.rows.one(
        f"SELECT max({moment}) FILTER ({moment} <= {latest}), count(*) FILTER ({moment} > {latest}) FROM held"
    )
    age = None if newest is None else now - newest
    measured = {"newest": newest, "age_ms": age, "ahead": float(ahead)}
    offence = _Offence(ahead, f"SELECT r FROM held WHERE {moment} > {latest}") if ahead else None
    wrong = []
    if age is None:
        wrong.append(f"no row has a time in {check.column}")
    elif age > check.max_age_ms:
        wrong.append(
            f"the newest {check.column} is {to_text(newest)}, {lasting(age)} before the data was taken; at most "
            f"{lasting(check.max_age_ms)} is allowed"
        )
    if ahead:
        wrong.append(f"{check.column} lies in the future in {{rows}}")
    if not wrong:
        told = f"The newest {check.column} is {lasting(age or 0)} old."
        return CheckResult(check, passed=True, message=told, measured=measured), None
    fix = "Find out why the source stopped, or whose clock is wrong; then ingest again."
    message = "; ".join(wrong)
    message = f"{message[0].upper()}{message[1:]}."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured), offence


def _source_age(run: _Run, check: SourceAge) -> tuple[CheckResult, None]:
    written = run.held.written
    if written is None:
        raise InvalidInput(
            "The age of the source can be checked of files only, and this is none.",
            hint="Check the freshness of a time column instead.",
        )
    age = max(0, run.held.now - written)
    measured = {"written": float(written), "age_ms": float(age)}
    if age <= check.max_age_ms:
        return CheckResult(check, passed=True, message=f"Written {lasting(age)} ago.", measured=measured), None
    message = f"The newest file was written {lasting(age)} ago; at most {lasting(check.max_age_ms)} is allowed."
    fix = "Find out why no newer file arrived; then ingest again."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured), None


def _unique(run: _Run, check: Unique) -> tuple[CheckResult, _Offence | None]:
    keys = run.numbers(check.columns)
    listed, absent = ", ".join(keys), " OR ".join(f"{key} IS NULL" for key in keys)
    run.rows.all(
        f"CREATE OR REPLACE TEMP TABLE twice AS SELECT {listed}, count(*) AS n FROM held WHERE NOT ({absent}) "
        f"GROUP BY {listed} HAVING count(*) > 1"
    )
    rows, values = run.rows.one("SELECT coalesce(sum(n), 0), count(*) FROM twice")
    missing = run.rows.one(f"SELECT count(*) FROM held WHERE {absent}")[0]
    key = joined(check.columns)
    measured = {"repeated_rows": float(rows), "repeated_values": float(values), "missing": float(missing)}
    if not rows and not missing:
        told = f"{key} differs in all {run.total:,} rows."
        return CheckResult(check, passed=True, message=told, measured=measured), None
    wrong = [f"{rows:,} rows share {some(values, 'value')} of {key}"] if rows else []
    wrong += [f"{key} is missing in {some(missing, 'row')}"] if missing else []
    shared = " AND ".join(f"held.{name} = twice.{name}" for name in keys)
    places = f"SELECT r FROM held WHERE ({absent}) OR EXISTS (SELECT 1 FROM twice WHERE {shared})"
    message = f"{'; '.join(wrong)}: {{rows}}."
    fix = f"Remove the repeats at the source, or name every column that {key} needs to name one row."
    found = CheckResult(check, passed=False, message=message, fix=fix, measured=measured)
    return found, _Offence(int(rows) + missing, places)


def _duplicates(run: _Run, check: Duplicates) -> tuple[CheckResult, _Offence | None]:
    keys = run.numbers(check.columns or run.held.columns)
    listed = ", ".join(keys)
    run.rows.all(
        f"CREATE OR REPLACE TEMP TABLE groups AS SELECT {listed}, count(*) AS n, min(r) AS first FROM held "
        f"GROUP BY {listed} HAVING count(*) > 1"
    )
    surplus = int(run.rows.one("SELECT coalesce(sum(n - 1), 0) FROM groups")[0])
    share = surplus / run.total if run.total else 0.0
    measured = {"repeats": float(surplus), "share": share}
    of = f" in {joined(check.columns)}" if check.columns else ""
    if share <= check.allowed:
        told = (
            f"{some(surplus, 'row')} repeat an earlier one{of}." if surplus else f"No row repeats an earlier one{of}."
        )
        return CheckResult(check, passed=True, message=told, measured=measured, count=surplus), None
    same = " AND ".join(f"held.{name} IS NOT DISTINCT FROM groups.{name}" for name in keys)
    places = f"SELECT r FROM held JOIN groups ON {same} WHERE r > first"
    allowed = f", where {check.allowed:.2%} may" if check.allowed else ""
    message = f"{surplus:,} of {run.total:,} rows ({share:.2%}) repeat an earlier one{of}{allowed}: {{rows}}."
    fix = "Remove the repeats at the source; a join or a repeated delivery often makes them."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured), _Offence(surplus, places)


def _references(run: _Run, check: References) -> tuple[CheckResult, _Offence | None]:
    if len(check.targets) != len(check.columns):
        raise InvalidInput(f"Check {check.name!r} names {len(check.columns)} columns and {len(check.targets)} targets.")
    reader = run.others(check.source, list(check.targets))
    run.rows.all("DROP TABLE IF EXISTS other")
    known = run.rows.load("other", reader)
    mine = run.numbers(check.columns)
    _alike(run, check)
    same = " AND ".join(f"held.{name} = other.c{number}" for number, name in enumerate(mine))
    here = " AND ".join(f"held.{name} IS NOT NULL" for name in mine)
    lost = f"FROM held WHERE {here} AND NOT EXISTS (SELECT 1 FROM other WHERE {same})"
    count, values = run.rows.one(f"SELECT count(*), count(DISTINCT ({', '.join(mine)})) {lost}")
    measured = {"rows": float(count), "values": float(values), "known": float(known)}
    columns, targets = joined(check.columns), f"{joined(check.targets)} of {check.source}"
    if not count:
        told = f"Every {columns} is a {targets}."
        return CheckResult(check, passed=True, message=told, measured=measured), None
    message = f"{some(count, 'row')} with {some(values, 'value')} of {columns} that no {targets} has: {{rows}}."
    fix = f"Add what is missing to {check.source}, or repair {columns} at the source."
    found = CheckResult(check, passed=False, message=message, fix=fix, measured=measured)
    return found, _Offence(count, f"SELECT r {lost}")


def _alike(run: _Run, check: References) -> None:
    """Text and numbers are never equal, however they are written; DuckDB would compare them by a guess."""
    for mine, theirs in zip(check.columns, check.targets, strict=True):
        one, other = run.rows.type_of("held", mine), run.rows.type_of("other", theirs)
        if _class(one) != _class(other):
            raise InvalidInput(
                f"Column {mine!r} is {one} and {theirs!r} of {check.source} is {other}: they cannot refer to each other.",
                hint="Read one of them as the other's type.",
            )


def _class(arrow_type: Any) -> str:
    text = str(arrow_type)
    numbers = ("int", "float", "double", "half", "decimal")
    return "number" if text.startswith(numbers) else text.partition("[")[0]


def _monotonic(run: _Run, check: Monotonic) -> tuple[CheckResult, _Offence | None]:
    column = run.number(check.column)
    within = f"PARTITION BY {', '.join(run.numbers(check.within))} " if check.within else ""
    sign = "<=" if check.strictly else "<"
    steps = f"SELECT r, {column} AS now, lag({column}) OVER ({within}ORDER BY r) AS before FROM held WHERE {column} IS NOT NULL"
    places = f"SELECT r FROM ({steps}) WHERE now {sign} before"
    count = run.rows.one(f"SELECT count(*) FROM ({places})")[0]
    measured = {"rows": float(count)}
    of = f"{check.column} within {joined(check.within)}" if check.within else check.column
    if not count:
        told = f"{of} {'always rises' if check.strictly else 'never falls'}."
        return CheckResult(check, passed=True, message=told, measured=measured), None
    what = "does not rise" if check.strictly else "falls"
    message = f"{of} {what} from one row to the next in {count:,} of {run.total:,} rows: {{rows}}."
    fix = "Sort the source, or find out what was delivered late or twice."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured), _Offence(count, places)


def _condition(run: _Run, check: Condition) -> tuple[CheckResult, _Offence | None]:
    refuse_alike(run.names)
    columns = ", ".join(f'{run.number(name)} AS "{_quoted(name)}"' for name in run.names)
    run.rows.all(f"CREATE OR REPLACE TEMP VIEW data AS SELECT {columns}, r AS __row FROM held")
    places = f"SELECT __row AS r FROM data WHERE ({one_expression(check.expression, check.name)}\n) IS FALSE"
    with run.rows.within(f"Check {check.name!r}", check.expression):
        count = run.rows.one(f"SELECT count(*) FROM ({places})")[0]
    measured = {"rows": float(count)}
    if not count:
        return CheckResult(check, passed=True, message="True of every row.", measured=measured), None
    message = f"{some(count, 'row')} of {run.total:,} {'is' if count == 1 else 'are'} not {check.expression}: {{rows}}."
    fix = "Repair the rows at the source, or the condition."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured), _Offence(count, places)


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def lasting(milliseconds: int) -> str:
    """`3 days`, `1.5 hours`: in the largest unit of which there is at least one."""
    for unit, size in _UNITS:
        if abs(milliseconds) >= size:
            amount = f"{milliseconds / size:.1f}".removesuffix(".0")
            return f"{amount} {unit.removesuffix('s') if amount == '1' else unit}"
    return f"{milliseconds} ms"


def some(count: int, what: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def joined(names: Sequence[str]) -> str:
    """`a and b`."""
    return " and ".join(names)


_JUDGES: dict[type[Check], Any] = {
    Volume: _volume,
    Freshness: _freshness,
    SourceAge: _source_age,
    Unique: _unique,
    Duplicates: _duplicates,
    References: _references,
    Monotonic: _monotonic,
    Condition: _condition,
}
