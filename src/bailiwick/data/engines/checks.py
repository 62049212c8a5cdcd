"""Checks in an engine's own SQL: how many rows a condition is false of, counted there."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import ask
from bailiwick.data.engines.engine import Engine
from bailiwick.data.validation.anomalies import Anomaly
from bailiwick.data.validation.sql import SqlCheck


def check_on_engine(engine: Engine, checks: Sequence[SqlCheck]) -> list[Anomaly]:
    """A CUSTOM_VALIDATION anomaly for each check that is false of some rows. Conditions are read by the engine, with the
    rights of its connection. Raises InvalidInput naming the check that is no condition there.
    """
    found = []
    rows = int(ask(engine, plan.Presence(()))[0][0])
    for check in checks:
        try:
            failing = int(ask(engine, plan.Failing((check.expression,)))[0][0] or 0)
        except InvalidInput as error:
            raise InvalidInput(f"Check {check.name!r}: {error.message}",
                               hint="It should be a condition in the SQL of the engine.") from error  # fmt: skip
        if failing:
            short, long = f"Check {check.name} failed", f"{failing} of {rows} rows are not {check.expression}."
            found.append(Anomaly("", "CUSTOM_VALIDATION", check.severity, short, long))
    return found
