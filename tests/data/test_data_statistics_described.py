"""All that is told of rows that come in parts: the same however they are cut, in memory that does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.distributions.slices import Dataset, slices_of
from bailiwick.data.schema import parse_schema
from bailiwick.data.statistics import slicing
from bailiwick.data.statistics.crossing import Lift
from bailiwick.data.statistics.describing import Asked, describe, describe_rows
from bailiwick.data.statistics.language import Language
from bailiwick.data.statistics.masses import NumberMasses, TextMasses
from bailiwick.data.statistics.room import Room
from bailiwick.data.statistics.slicing import count_slices, slices_by, split_rows
from bailiwick.data.statistics.streaming import TableRows
from bailiwick.data.statistics.weighting import Weights

SCHEMA = parse_schema(
    'feature { name: "said" natural_language_domain { token_constraints { string_value: "late" } } } '
    'sparse_feature { name: "s" value_feature { name: "x" } index_feature { name: "l" } } '
    'weighted_feature { name: "f" feature { step: "l" } weight_feature { step: "x" } }'
)
ARROW = pa.schema(
    [
        ("w", pa.int64()),
        ("x", pa.float64()),
        ("y", pa.int64()),
        ("t", pa.string()),
        ("b", pa.bool_()),
        ("l", pa.list_(pa.string())),
        ("said", pa.string()),
    ]
)
ASKED: dict[str, Any] = {"weight": "w", "label": "b", "correlations": True, "meanings": True, "schema": SCHEMA}
ROW = st.tuples(
    st.integers(0, 5),
    st.none() | st.sampled_from([0.0, 1.5, -2.25, float("nan"), float("inf"), float("-inf")]) | st.integers(-99, 99),
    st.none() | st.integers(-1000, 1000),
    st.none() | st.sampled_from(["", "a", "b", "ü"]),
    st.none() | st.booleans(),
    st.none() | st.lists(st.sampled_from(["", "p", "q"]), max_size=3),
    st.none() | st.sampled_from(["the plane was late", "on time", "late late", ""]),
)


class _InParts:
    def __init__(self, table: pa.Table, cuts: list[int]) -> None:
        self.schema = table.schema
        ends = sorted({cut % (table.num_rows + 1) for cut in cuts} | {0, table.num_rows})
        self.parts = [table.slice(a, b - a) for a, b in pairwise(ends)]

    def coded(self) -> Iterator[pa.RecordBatch]:
        for part in self.parts:
            yield from part.combine_chunks().to_batches()


def _rounded(told: Any) -> Any:
    """Sums of floats, added in another order, differ in their last digits."""
    if isinstance(told, dict):
        rounded = {key: _rounded(value) for key, value in told.items()}
        return {key: value for key, value in rounded.items() if value != 0.0}
    if isinstance(told, list):
        return [_rounded(value) for value in told]
    if isinstance(told, float):
        return 0.0 if abs(told) < 1e-9 else float(f"{told:.9g}")
    return told


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ROW, min_size=1, max_size=40), st.lists(st.integers(0, 60), max_size=5), st.sampled_from(["t", "b", "y"])
)
def test_however_rows_are_cut_the_same_is_told_of_them_as_of_a_table(
    rows: list[tuple[Any, ...]], cuts: list[int], by: str
) -> None:
    table = pa.Table.from_pylist([dict(zip(ARROW.names, row, strict=True)) for row in rows], schema=ARROW)
    expected = describe(table, "d", slices=slices_by(table, by), **ASKED)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bailiwick.data.statistics.streaming.GROUP_ROWS", 7)
        patched.setattr("bailiwick.data.statistics.streaming._LEAST_ROWS", 1)
        found = describe_rows(_InParts(table, cuts), "d", by=by, asked=Asked(**ASKED))
    assert _rounded(MessageToDict(found)) == _rounded(MessageToDict(expected))


def test_what_is_asked_of_columns_that_are_not_there_is_refused_though_there_are_no_rows() -> None:
    rows = TableRows(ARROW.empty_table())
    for asked, by in ((Asked(weight="v"), ""), (Asked(label="v"), ""), (Asked(), "v"), (Asked(), "l")):
        with pytest.raises(InvalidInput):
            describe_rows(rows, by=by, asked=asked)
    assert describe_rows(rows, by="t", asked=Asked(**ASKED)).datasets[0].num_examples == 0


def test_too_many_slices_are_refused_and_many_have_to_do_with_less(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    table = pa.table({"k": rng.integers(0, 1001, 20_000), "x": rng.normal(size=20_000)})
    with pytest.raises(InvalidInput, match="slices are made of at most 1000"):
        count_slices(TableRows(table), "k")
    monkeypatch.setattr(slicing, "_BUDGET", 1000)
    found = count_slices(TableRows(pa.table({"k": table["k"].to_numpy() % 4, "x": table["x"]})), "k")
    assert sum(part.rows for name, part in found.items() if name) == 20_000
    for name, rows in split_rows(pa.table({"k": table["k"].to_numpy() % 4, "x": table["x"]}), "k"):
        numbers = found[name].columns["x"].numbers
        told, expected = numbers.told(), rows["x"].to_numpy()
        assert (told.count, told.low, told.high) == (len(expected), expected.min(), expected.max())
        assert told.mean == pytest.approx(expected.mean())
        median = numbers.quantiles(np.array([0.5]))[0]
        assert abs((expected < median).sum() - len(expected) / 2) <= numbers.error + 1


def test_past_the_room_there_is_weighted_statistics_say_by_how_much_they_may_be_off() -> None:
    rng = np.random.default_rng(2)
    rows = 60_000
    words = pa.array([f"w{int(n)}" for n in rng.zipf(1.3, rows) % 10**6])
    table = pa.table({"w": rng.integers(0, 9, rows), "x": rng.normal(size=rows), "t": words})
    weights = Weights("w", room=Room(columns=1 << 22))  # 512 values a column
    for start in range(0, rows, 5000):
        weights.add(table.slice(start, 5000))
    numbers, texts = weights._columns["x"].numbers, weights._columns["t"].texts
    mass = table["w"].to_numpy().astype(float)
    values = table["x"].to_numpy()
    told = numbers.told()
    assert told.count == pytest.approx(mass.sum())
    assert told.mean == pytest.approx(np.average(values, weights=mass))
    ends = np.cumsum(numbers.masses)
    median = numbers.values[np.searchsorted(ends, ends[-1] / 2)]
    off = abs(mass[values <= median].sum() - mass.sum() / 2)
    assert 0 < off <= numbers.error + mass.max() < 0.1 * mass.sum()
    true: dict[str, float] = {}
    for word, weight in zip(words.to_pylist(), mass, strict=True):
        true[word] = true.get(word, 0) + weight
    assert texts.error > 0
    assert all(true[word] - texts.error <= kept <= true[word] for word, kept in texts.ranked(100))
    assert NumberMasses().merge(NumberMasses(), 4).total == TextMasses().total == 0


def test_a_column_with_too_many_pairs_has_no_lift_and_says_so() -> None:
    table = pa.table({"y": [0, 1] * 300, "id": [str(i) for i in range(600)], "t": ["a", "b", "c"] * 200})
    dataset = describe(table).datasets[0]
    lift = Lift("y", room=Room(columns=1 << 22))
    for start in range(0, 600, 100):
        lift.add(table.slice(start, 100))
    lift.tell(dataset)
    assert [cross.path_x.step[0] for cross in dataset.cross_features] == ["t"]
    told = {feature.path.step[0]: [stat.name for stat in feature.custom_stats] for feature in dataset.features}
    assert told == {"y": [], "id": ["lift_left_out"], "t": []}


def test_words_beyond_what_is_kept_are_left_out_by_a_stated_count() -> None:
    rng = np.random.default_rng(3)
    texts = [" ".join(f"w{n}" for n in rng.zipf(1.5, 20) % 5000) for _ in range(500)]
    table = pa.table({"said": texts})
    dataset = describe(table).datasets[0]
    language = Language(SCHEMA, room=Room(columns=1 << 22))
    language.add(table)
    language.tell(dataset)
    whole = describe(table, schema=SCHEMA).datasets[0]
    told = [_language(each) for each in (dataset, whole)]
    assert told[0].avg_token_length == told[1].avg_token_length
    assert told[0].feature_coverage == told[1].feature_coverage == 1
    (error,) = [stat.num for stat in dataset.features[0].custom_stats if stat.name == "nl_count_error"]
    exact = {bucket.label: bucket.sample_count for bucket in told[1].rank_histogram.buckets}
    for bucket in told[0].rank_histogram.buckets[:20]:
        assert exact[bucket.label] - error * 10_000 <= bucket.sample_count <= exact[bucket.label]


def _language(dataset: Any) -> Any:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    told = statistics_pb2.NaturalLanguageStatistics()
    (stat,) = [stat for stat in dataset.features[0].custom_stats if stat.name == "nl_statistics"]
    stat.any.Unpack(told)
    return told


def test_a_report_of_rows_that_are_not_each_counted_reads_them_once_more_and_judges_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(4)
    then = pa.table({"k": rng.integers(0, 3, 9000).astype(str), "x": rng.normal(size=9000)})
    now = pa.table({"k": rng.integers(0, 3, 9000).astype(str), "x": rng.normal(size=9000) + 0.5})
    exact = slices_of(Dataset("now", rows=now), Dataset("then", rows=then), by="k")
    monkeypatch.setattr(slicing, "_BUDGET", 1000)
    monkeypatch.setattr("bailiwick.data.statistics.merging.most_numbers", lambda _columns: 2000)
    monkeypatch.setattr("bailiwick.data.statistics.streaming.most_numbers", lambda _columns: 2000)
    monkeypatch.setattr("bailiwick.data.statistics.streaming.GROUP_ROWS", 4096)
    found = slices_of(Dataset("now", rows=now), Dataset("then", rows=then), by="k")
    assert [each.name for each in found] == ["", "k_0", "k_1", "k_2"]
    for one, other in zip(found, exact, strict=True):
        drifts = [[(c.name, c.drift.drifted) for c in each.columns if c.drift] for each in (one, other)]
        assert drifts[0] == drifts[1]
        assert dict(drifts[0])["x"]


PROGRAM = """
import resource, sys
from bailiwick.cli.main import app
from bailiwick.data.statistics import counts, room, slicing, streaming, texts
counts._MOST_DISTINCT = texts._MOST_DISTINCT = slicing._BUDGET = 1 << 14
room._VALUES = room._PAIRS = streaming.GROUP_ROWS = 1 << 15
app(["data", "stats", *sys.argv[1:], "--json"], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, file=sys.stderr)
"""


def test_memory_stays_where_it_is_while_a_file_grows(tmp_path: Path) -> None:
    """With small limits, so that they are soon reached: 126 MB of rows more, most of which are not there at the peak."""
    rng = np.random.default_rng(5)
    rows = 100_000
    table = pa.table(
        {
            "k": rng.integers(0, 4, rows).astype(str),
            "w": rng.integers(0, 5, rows),
            "x": rng.normal(size=rows),
            "y": rng.normal(size=rows),
            "id": [f"{n:080}" for n in rng.integers(0, 10**12, rows)],
        }
    )
    peaks = []
    for times in (1, 12):
        file = tmp_path / f"{times}.parquet"
        with parquet.ParquetWriter(file, table.schema) as writer:
            for _ in range(times):
                writer.write_table(table, row_group_size=50_000)
        asked = ("--by", "k", "--weight", "w", "--label", "k", "--correlations", "--meanings")
        command = [sys.executable, "-c", PROGRAM, str(file), *asked]
        plain = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env=plain)
        assert json.loads(ran.stdout)["datasets"][0]["num_examples"] == str(times * rows)
        peaks.append(int(ran.stderr.split()[-1]))
    small, large = peaks
    print(f"peak {small} MB of {rows:,} rows, {large} MB of {12 * rows:,}")
    assert large - small < 80
