"""Checks of whole datasets: exact counts, the rows to blame, messages without values, and memory that has a limit."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import BailiwickError, Conflict, InvalidInput
from bailiwick.data.checks import (
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
    run_checks,
)
from bailiwick.data.checks.model import Held

DAY = 86_400_000
NOW = 1_700_000_000_000
HOSTILE = ['a"; DROP TABLE held; --', "c1", "r", "select", "t0", "a'b", "held.r", " ", "ж", "n\n1"]


def held(table: pa.Table, **known: Any) -> Held:
    return Held(tuple(table.column_names), lambda names: table.select(names).to_reader(), **{"now": NOW, **known})


def one(table: pa.Table, check: Check, *, limit: int = 10, **known: Any) -> CheckResult:
    (found,) = run_checks(held(table, **known), [check], limit=limit)
    return found


def test_a_key_that_is_shared_or_missing_is_told_by_row() -> None:
    rows = pa.table({"id": ["a", "b", "a", None, "c", "b", "a"], "x": range(7)})
    found = one(rows, Unique(columns=("id",)))
    assert not found.passed
    assert (found.count, found.places) == (6, (0, 1, 2, 3, 5, 6))
    assert found.message == "5 rows share 2 values of id; id is missing in 1 row: rows 1, 2, 3 and 3 more."
    assert found.rows[0] == {"id": "a"}
    assert found.fix.startswith("Remove the repeats")
    assert one(rows, Unique(columns=("id", "x")), limit=1).count == 1


def test_messages_hold_no_value_of_the_data() -> None:
    rows = pa.table({"person": ["Ada Lovelace", "Ada Lovelace"], "carrier": ["ZZ", "ZZ"], "n": [2, 1]})
    known = pa.table({"code": ["AA"]})
    checks = [
        Unique(columns=("person",)),
        Duplicates(columns=("person",)),
        References(columns=("carrier",), source="carriers.csv", of=("code",)),
        Monotonic(column="n"),
    ]
    for found in run_checks(held(rows), checks, others=lambda _, names: known.select(names).to_reader()):
        assert not found.passed
        assert not any(word in found.message + found.fix for word in ("Ada", "ZZ"))


def test_repeated_rows_are_counted_from_the_second_on() -> None:
    rows = pa.table({"a": [1, 1, 2, None, None, 1], "b": ["x", "x", "y", None, None, "z"]})
    found = one(rows, Duplicates())
    assert (found.count, found.places) == (2, (1, 4))
    assert found.message == "2 of 6 rows (33.33%) repeat an earlier one: rows 2, 5."
    assert one(rows, Duplicates(allowed=0.4)).passed
    assert one(rows, Duplicates(columns=("a",))).places == (1, 4, 5)


def test_values_must_be_in_the_column_that_is_referred_to() -> None:
    rows = pa.table({"carrier": ["UA", "XX", None, "B6", "XX"]})
    known = pa.table({"name": ["United", "JetBlue"], "code": ["UA", "B6"]})
    check = References(columns=("carrier",), source="carriers@latest", of=("code",))
    (found,) = run_checks(held(rows), [check], others=lambda _, names: known.select(names).to_reader())
    assert (found.count, found.places, found.rows[0]) == (2, (1, 4), {"carrier": "XX"})
    assert found.message == "2 rows with 1 value of carrier that no code of carriers@latest has: rows 2, 5."


def test_text_and_numbers_do_not_refer_to_each_other() -> None:
    known = pa.table({"id": [1, 2]})
    check = References(columns=("id",), source="others.csv")
    with pytest.raises(InvalidInput, match=r"'id' is string and 'id' of others\.csv is int64"):
        run_checks(held(pa.table({"id": ["1"]})), [check], others=lambda _, names: known.select(names).to_reader())


def test_order_is_that_of_the_rows_within_each_group() -> None:
    rows = pa.table({"tail": ["a", "b", "a", "b", "a"], "n": [1, 9, 2, None, 2]})
    assert one(rows, Monotonic(column="n", within=("tail",))).passed
    assert one(rows, Monotonic(column="n", within=("tail",), strictly=True)).places == (4,)
    assert one(rows, Monotonic(column="n")).places == (2,)


def test_the_newest_time_may_not_be_old_and_none_may_be_ahead() -> None:
    times = pa.array([NOW - 3 * DAY, NOW - 2 * DAY, None], pa.timestamp("ms", "UTC"))
    check = Freshness(column="when", max_age_ms=DAY)
    found = one(pa.table({"when": times}), check)
    assert "2023-11-12T22:13:20" in found.message
    assert found.message.endswith("2 days before the data was taken; at most 1 day is allowed.")
    assert found.measured["age_ms"] == 2 * DAY
    assert one(pa.table({"when": times}), Freshness(column="when", max_age_ms=2 * DAY)).passed
    asked = one(pa.table({"when": times}), check, until=NOW - 2 * DAY)  # a run over the past asks for no newer rows
    assert (asked.passed, asked.measured["age_ms"]) == (True, 0)
    ahead = one(pa.table({"when": [NOW - 1, NOW + DAY, NOW + 2 * DAY]}), check)
    assert (ahead.passed, ahead.count, ahead.places) == (False, 2, (1, 2))
    assert ahead.message == "When lies in the future in rows 2, 3."
    none = one(pa.table({"when": pa.array([None], pa.int64())}), check)
    assert none.message == "No row has a time in when."


def test_text_is_no_time() -> None:
    with pytest.raises(InvalidInput, match="'when' is string, which is no time"):
        one(pa.table({"when": ["2026-01-01"]}), Freshness(column="when", max_age_ms=DAY))


def test_bounds_of_volume_are_of_rows_and_of_the_snapshot_before() -> None:
    rows = pa.table({"a": range(10)})
    assert one(rows, Volume(least=10, most=10)).passed
    assert "fewer than the 11" in one(rows, Volume(least=11)).message
    assert "more than the 9" in one(rows, Volume(most=9)).message
    small = one(rows, Volume(of_previous=(0.5, 2)), previous_rows=40)
    assert small.message == "10 rows are 25% of the 40 of the snapshot before, not 50% to 200%."
    assert one(rows, Volume(of_previous=(0.5, 2))).passed


def test_the_age_of_a_source_is_known_of_files_only() -> None:
    rows = pa.table({"a": [1]})
    assert one(rows, SourceAge(max_age_ms=DAY), written=NOW - DAY).passed
    old = one(rows, SourceAge(max_age_ms=DAY), written=NOW - 3 * DAY)
    assert old.message == "The newest file was written 3 days ago; at most 1 day is allowed."
    with pytest.raises(InvalidInput, match="of files only"):
        one(rows, SourceAge(max_age_ms=DAY))


def test_no_rows_are_judged_too() -> None:
    rows = pa.table({"id": pa.array([], pa.string()), "when": pa.array([], pa.timestamp("us"))})
    found = run_checks(
        held(rows), [Volume(least=1), Unique(columns=("id",)), Freshness(column="when", max_age_ms=1), Duplicates()]
    )
    assert [each.passed for each in found] == [False, True, False, True]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_column_can_be_checked(name: str) -> None:
    rows = pa.table({name: [3, 1, 1], "other": [1, 1, 1]})
    checks = [Unique(columns=(name,)), Duplicates(columns=(name,)), Monotonic(column=name)]
    checks += [References(columns=(name,), source="x"), Freshness(column=name, max_age_ms=1)]
    found = run_checks(held(rows), checks, others=lambda _, names: rows.select(names).to_reader())
    assert [each.count for each in found] == [2, 1, 1, 0, 0]
    assert found[0].rows[0] == {name: 1}


def test_names_that_differ_in_case_alone_are_two_columns() -> None:
    rows = pa.table({"id": [1, 1], "ID": [1, 2]})
    found = run_checks(held(rows), [Unique(columns=("id",)), Unique(columns=("ID",)), Duplicates()])
    assert [each.passed for each in found] == [False, True, True]


def test_what_goes_wrong_while_reading_is_told_as_it_is() -> None:
    schema = pa.schema([("id", pa.int64())])

    def broken(names: list[str]) -> pa.RecordBatchReader:
        def batches() -> Any:
            yield pa.record_batch({"id": [1]}, schema=schema)
            raise Conflict("rows.csv changed while it was read.")

        return pa.RecordBatchReader.from_batches(schema, batches())

    with pytest.raises(BailiwickError, match=r"rows\.csv changed"):
        run_checks(Held(("id",), broken, NOW), [Unique(columns=("id",))])


def test_a_condition_in_sql_sees_the_columns_by_their_names() -> None:
    rows = pa.table({"dep": [1, 5, None], 'a"b': [2, 4, 3]})
    found = one(rows, Condition(expression='"a""b" >= dep', title="later"))
    assert (found.count, found.places, found.check.name) == (1, (1,), "later")
    assert found.message == '1 row of 3 is not "a""b" >= dep: row 2.'
    assert one(rows, Condition(expression="dep > 0")).passed
    assert one(rows, Condition(expression="'{rows}' = 'x'")).message.endswith("rows 1, 2, 3.")
    for wrong in ("nix > 1", "dep >", "1); DROP TABLE held; --", "read_csv('/etc/passwd') IS NULL"):
        with pytest.raises(InvalidInput):
            one(rows, Condition(expression=wrong))


def test_an_unknown_column_is_named_with_its_neighbours() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'flight'"):
        one(pa.table({"flight": [1]}), Unique(columns=("fligt",)))


keys = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "A", "b", "'", "\x00"])), max_size=40)


@settings(max_examples=40, deadline=None)
@given(keys)
def test_counts_of_keys_are_exact(values: list[str | None]) -> None:
    rows = pa.table({"k": pa.array(values, pa.string())})
    unique, repeats = run_checks(held(rows), [Unique(columns=("k",)), Duplicates(columns=("k",))], limit=100)
    seen = Counter(values)
    assert unique.places == tuple(i for i, v in enumerate(values) if v is None or seen[v] > 1)
    assert unique.count == len(unique.places)
    assert repeats.count == len(values) - len(seen)


def test_a_million_keys_are_checked_in_little_memory() -> None:
    """64 MB hold neither the rows nor their groups; what does not fit goes to the disk, and the counts stay exact."""
    size, each = 1_000_000, 50_000

    def read(names: list[str]) -> pa.RecordBatchReader:
        def batches() -> Any:
            for first in range(0, size, each):
                ids = [f"key-{(row * 7919) % (size - 10):039d}" for row in range(first, first + each)]
                yield pa.record_batch({"id": ids})

        return pa.RecordBatchReader.from_batches(pa.schema([("id", pa.string())]), batches())

    (found,) = run_checks(Held(("id",), read, NOW), [Unique(columns=("id",))], memory_mb=64)
    assert found.count == 20


def test_rows_with_moments_are_listed_and_hours_are_those_of_utc() -> None:
    at = [dt.datetime(2026, 1, 1, 23, tzinfo=dt.UTC), dt.datetime(2026, 7, 1, 5, tzinfo=dt.UTC)]
    rows = pa.table({"id": [1, 1], "at": pa.array(at, pa.timestamp("us", "UTC")), "all": [at, None]})
    held = Held(tuple(rows.column_names), lambda names: rows.select(names).to_reader(), NOW)
    asked = [Unique(columns=("id",)), Condition(expression="hour(\"at\") = 23 AND current_setting('TimeZone') = 'UTC'")]
    unique, early = run_checks(held, asked, whole_rows=True)
    assert [dict(row) for row in unique.rows] == [
        {"id": 1, "at": at[0], "all": at},
        {"id": 1, "at": at[1], "all": None},
    ]
    assert early.places == (1,)
