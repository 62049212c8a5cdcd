"""Checks of a dataset as a whole, counted where its rows are: the verdicts of `data.checks`, without the rows that offend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bailiwick.core.clock import to_text
from bailiwick.core.errors import InvalidInput
from bailiwick.data.checks.model import (
    Check,
    CheckResult,
    Condition,
    Duplicates,
    Freshness,
    Monotonic,
    References,
    SourceAge,
    Unique,
    Volume,
)
from bailiwick.data.checks.running import absent_columns, joined, lasting, some, volume
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import ask
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.standing import time_column


@dataclass(frozen=True, slots=True)
class HeldThere:
    """The dataset that is checked: times in UTC milliseconds, None where there is none, as of `checks.model.Held`."""

    engine: Engine
    now: int
    previous_rows: int | None = None
    until: int | None = None


def run_checks_there(held: HeldThere, checks: Sequence[Check]) -> list[CheckResult]:
    """One result a check, in their order; a check of columns that are not there fails.

    Conditions are SQL of the engine, run with the rights of its connection, and references lead to its tables. Raises
    InvalidInput for a check that hangs on files or on the order of rows, which an engine has not.
    """
    refuse_placeless(checks)
    there = {column.name for column in held.engine.columns()}
    rows = int(ask(held.engine, plan.Presence(()))[0][0])
    work = _There(held, rows)
    return [absent_columns(check, there) or work.result(check) for check in checks]


def refuse_placeless(checks: Sequence[Check]) -> None:
    """Raises InvalidInput for a check that no engine can decide."""
    for check in checks:
        if isinstance(check, Monotonic | SourceAge):
            why = "rows on an engine have no order" if isinstance(check, Monotonic) else "an engine has no files"
            raise InvalidInput(
                f"Check {check.name!r} cannot be decided on an engine: {why}.",
                hint="Leave it out, or write it as a condition of `sql`; of age, check the freshness of a time column.",
            )


@dataclass(frozen=True, slots=True)
class _There:
    held: HeldThere
    rows: int

    def result(self, check: Check) -> CheckResult:
        judge: Callable[[_There, Any], CheckResult] = _JUDGES[type(check)]
        try:
            return judge(self, check)
        except InvalidInput as error:
            raise InvalidInput(f"Check {check.name!r}: {error.message}", hint=error.hint) from error

    def one(self, sql: str) -> Sequence[Any]:
        """The only row of what is asked."""
        return self.held.engine.ask(sql)[0]

    def quoted(self, names: Sequence[str]) -> list[str]:
        """Columns as the engine writes them."""
        return [self.held.engine.dialect.quote(name) for name in names]

    @property
    def relation(self) -> str:
        """What stands after FROM."""
        return self.held.engine.relation


def _volume(there: _There, check: Volume) -> CheckResult:
    return volume(check, there.rows, there.held.previous_rows)


def _freshness(there: _There, check: Freshness) -> CheckResult:
    engine, held = there.held.engine, there.held
    column = time_column(engine, check.column)
    moment, latest = engine.dialect.double(column, engine.dialect.quote(column.name)), held.now + check.slack_ms
    number = engine.dialect.number(latest)
    newest, ahead = there.one(
        f"SELECT MAX(CASE WHEN {moment} <= {number} THEN {moment} END), "
        f"SUM(CASE WHEN {moment} > {number} THEN 1 ELSE 0 END) FROM {there.relation}"
    )
    age = None if newest is None else (held.now if held.until is None else min(held.now, held.until)) - int(newest)
    measured = {"newest": newest, "age_ms": age, "ahead": float(ahead or 0)}
    wrong = []
    if age is None:
        wrong.append(f"no row has a time in {check.column}")
    elif age > check.max_age_ms:
        wrong.append(
            f"the newest {check.column} is {to_text(int(newest))}, {lasting(age)} before the data was taken; at most "
            f"{lasting(check.max_age_ms)} is allowed"
        )
    if ahead:
        wrong.append(f"{check.column} lies in the future in {some(int(ahead), 'row')}")
    if not wrong:
        told = f"The newest {check.column} is {lasting(age or 0)} old."
        return CheckResult(check, passed=True, message=told, measured=measured)
    message = "; ".join(wrong)
    fix = "Find out why the source stopped, or whose clock is wrong; then run again."
    return CheckResult(
        check, passed=False, message=f"{message[0].upper()}{message[1:]}.", fix=fix, measured=measured, count=int(ahead or 0)
    )  # fmt: skip


def _unique(there: _There, check: Unique) -> CheckResult:
    keys = there.quoted(check.columns)
    listed, absent = ", ".join(keys), " OR ".join(f"{key} IS NULL" for key in keys)
    twice = f"SELECT {listed}, COUNT(*) AS n FROM {there.relation} WHERE NOT ({absent}) GROUP BY {listed} HAVING COUNT(*) > 1"
    rows, values = (int(each) for each in there.one(f"SELECT COALESCE(SUM(n), 0), COUNT(*) FROM ({twice}) AS t"))
    missing = int(there.one(f"SELECT COUNT(*) FROM {there.relation} WHERE {absent}")[0])
    key = joined(check.columns)
    measured = {"repeated_rows": float(rows), "repeated_values": float(values), "missing": float(missing)}
    if not rows and not missing:
        told = f"{key} differs in all {there.rows:,} rows."
        return CheckResult(check, passed=True, message=told, measured=measured)
    wrong = [f"{rows:,} rows share {some(values, 'value')} of {key}"] if rows else []
    wrong += [f"{key} is missing in {some(missing, 'row')}"] if missing else []
    fix = f"Remove the repeats at the source, or name every column that {key} needs to name one row."
    return CheckResult(
        check, passed=False, message=f"{'; '.join(wrong)}.", fix=fix, measured=measured, count=rows + missing
    )


def _duplicates(there: _There, check: Duplicates) -> CheckResult:
    columns = check.columns or tuple(column.name for column in there.held.engine.columns())
    listed = ", ".join(there.quoted(columns))
    groups = f"SELECT COUNT(*) AS n FROM {there.relation} GROUP BY {listed} HAVING COUNT(*) > 1"
    surplus = int(there.one(f"SELECT COALESCE(SUM(n - 1), 0) FROM ({groups}) AS t")[0])
    share = surplus / there.rows if there.rows else 0.0
    measured = {"repeats": float(surplus), "share": share}
    of = f" in {joined(check.columns)}" if check.columns else ""
    if share <= check.allowed:
        told = (
            f"{some(surplus, 'row')} repeat an earlier one{of}." if surplus else f"No row repeats an earlier one{of}."
        )
        return CheckResult(check, passed=True, message=told, measured=measured, count=surplus)
    allowed = f", where {check.allowed:.2%} may" if check.allowed else ""
    message = f"{surplus:,} of {there.rows:,} rows ({share:.2%}) repeat an earlier one{of}{allowed}."
    fix = "Remove the repeats at the source; a join or a repeated delivery often makes them."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured, count=surplus)


def _references(there: _There, check: References) -> CheckResult:
    if len(check.targets) != len(check.columns):
        raise InvalidInput(f"It names {len(check.columns)} columns and {len(check.targets)} targets.")
    mine, theirs = there.quoted(check.columns), there.quoted(check.targets)
    other = there.held.engine.dialect.relation(check.source)
    here = " AND ".join(f"held.{name} IS NOT NULL" for name in mine)
    same = " AND ".join(f"held.{one} = other.{target}" for one, target in zip(mine, theirs, strict=True))
    known = f"(SELECT {', '.join(theirs)} FROM {other}) AS other"
    held = f"(SELECT {', '.join(mine)} FROM {there.relation}) AS held"
    count = int(
        there.one(f"SELECT COUNT(*) FROM {held} WHERE {here} AND NOT EXISTS (SELECT 1 FROM {known} WHERE {same})")[0]
    )
    columns, targets = joined(check.columns), f"{joined(check.targets)} of {check.source}"
    measured = {"rows": float(count)}
    if not count:
        return CheckResult(check, passed=True, message=f"Every {columns} is a {targets}.", measured=measured)
    message = f"{some(count, 'row')} of {columns} that no {targets} has."
    fix = f"Add what is missing to {check.source}, or repair {columns} at the source."
    return CheckResult(check, passed=False, message=message, fix=fix, measured=measured, count=count)


def _condition(there: _There, check: Condition) -> CheckResult:
    count = int(ask(there.held.engine, plan.Failing((check.expression,)))[0][0] or 0)
    measured = {"rows": float(count)}
    if not count:
        return CheckResult(check, passed=True, message="True of every row.", measured=measured)
    message = f"{some(count, 'row')} of {there.rows:,} {'is' if count == 1 else 'are'} not {check.expression}."
    return CheckResult(
        check, passed=False, message=message, fix="Repair the rows at the source, or the condition.", measured=measured, count=count
    )  # fmt: skip


_JUDGES: dict[type[Check], Any] = {
    Volume: _volume,
    Freshness: _freshness,
    Unique: _unique,
    Duplicates: _duplicates,
    References: _references,
    Condition: _condition,
}
