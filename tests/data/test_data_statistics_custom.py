"""Statistics of a person's own: aggregates in SQL, of all rows and of slices, however the rows come."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.statistics.custom import parse_statistics
from bailiwick.data.statistics.describing import Asked, describe_rows
from bailiwick.data.statistics.streaming import TableRows

TABLE = pa.table(
    {
        "carrier": ["UA", "B6", "UA", None],
        "delay": [1.5, 20.0, 40.0, None],
        "Odd name": [1, 2, 3, 4],
        "when": ["b", "a", "c", "d"],
    }
)


def _told(found: Any) -> dict[str, dict[str, tuple[str, Any]]]:
    return {
        dataset.name: {
            stat.name: (feature.path.step[0], stat.str or stat.num)
            for feature in dataset.features
            for stat in feature.custom_stats
        }
        for dataset in found.datasets
    }


def test_aggregates_are_told_of_all_rows_and_of_slices_at_the_first_column_that_they_read() -> None:
    own = {
        "late": "avg((delay > 15)::INT)",
        "odd": 'sum("Odd name" * delay)',
        "rows": "count(*)",
        "last": 'max("when")',
        "none": "max(delay) FILTER (delay > 1000)",
    }
    found = _told(describe_rows(TableRows(TABLE), "d", by="carrier", asked=Asked(custom=own)))
    assert found == {
        "All Examples": {
            "late": ("delay", pytest.approx(2 / 3)),
            "odd": ("Odd name", 161.5),
            "rows": ("carrier", 4.0),
            "last": ("when", "d"),
        },
        "carrier_B6": {
            "late": ("delay", 1.0),
            "odd": ("Odd name", 40.0),
            "rows": ("carrier", 1.0),
            "last": ("when", "a"),
        },
        "carrier_UA": {
            "late": ("delay", 0.5),
            "odd": ("Odd name", 121.5),
            "rows": ("carrier", 2.0),
            "last": ("when", "c"),
        },
    }


class _InParts:
    def __init__(self, table: pa.Table, size: int) -> None:
        self.schema = table.schema
        self._batches = table.to_batches(max_chunksize=size)

    def coded(self) -> Iterator[pa.RecordBatch]:
        yield from self._batches


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=60), st.integers(1, 20))
def test_however_rows_come_the_same_is_told(values: list[int], size: int) -> None:
    table = pa.table({"n": values})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bailiwick.data.statistics.streaming.GROUP_ROWS", 5)
        found = describe_rows(_InParts(table, size), asked=Asked(custom={"s": "sum(n)", "d": "count(DISTINCT n)"}))
    assert _told(found)[""] == {"s": ("n", sum(values)), "d": ("n", len(set(values)))}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("delay + 1", "is not one value of many rows"),
        ("sum(nothing)", "not SQL that sums up rows"),
        ("1); DROP TABLE data; SELECT (1", "is not SQL"),
        ("list(delay)", "is a list"),
        ("1 AS x; SELECT 2", "is not SQL|more than one"),
        ("max((SELECT count(*) FROM read_csv('/etc/passwd')))", "not SQL that sums up rows"),
        ('sum("when"::INTEGER)', "not SQL that sums up rows: Conversion Error"),
    ],
)
def test_what_is_no_aggregate_is_named_and_nothing_hangs(expression: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        describe_rows(_InParts(TABLE, 1), asked=Asked(custom={"mine": expression}))


def test_rows_that_cannot_be_read_to_their_end_end_the_statistics_too() -> None:
    class Breaking(_InParts):
        def coded(self) -> Iterator[pa.RecordBatch]:
            yield from self._batches
            raise InvalidInput("broken off")

    with pytest.raises(InvalidInput, match="broken off"):
        describe_rows(Breaking(TABLE, 1), asked=Asked(custom={"n": "count(*)"}))


def test_a_statistic_is_given_as_name_and_sql() -> None:
    assert parse_statistics(["late = avg(delay > 15)", "n=count(*)"]) == {
        "late": "avg(delay > 15)",
        "n": "count(*)",
    }
    for wrong in ("late", "=1", "a b=1", "late="):
        with pytest.raises(InvalidInput, match="is not NAME=SQL"):
            parse_statistics([wrong])


def test_an_aggregate_may_be_a_moment() -> None:
    table = pa.table({"at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC"))})
    own = {"last": 'max("at")', "hour": 'max(hour("at"))', "all": "sum(1)"}
    found = _told(describe_rows(TableRows(table), "d", asked=Asked(custom=own)))
    told = found["All Examples"] if "All Examples" in found else found["d"]
    assert str(told["last"][1]).startswith("2026-01-01")
    assert (told.get("hour", ("", 0.0))[1] or 0.0, told["all"][1]) == (0.0, 2.0)
