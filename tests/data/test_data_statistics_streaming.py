"""Statistics of more than memory holds: bounded, with errors that are stated and kept, whatever the batches and threads."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import build_profile, count
from bailiwick.data.profiling import profile_sources
from bailiwick.data.schema import infer_schema
from bailiwick.data.sources import frame_source, open_source
from bailiwick.data.statistics import compute_statistics, streaming
from bailiwick.data.statistics import counts as counting
from bailiwick.data.statistics import texts as texting
from bailiwick.data.statistics.counts import Numbers
from bailiwick.data.statistics.streaming import source_statistics, stream_statistics
from bailiwick.data.statistics.texts import Limits, Texts
from bailiwick.data.validation import validate
from bailiwick.data.validation.sql import SqlCheck, check_sql, offending_rows


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a few thousand rows pass."""
    for module, name, value in (
        (counting, "_MOST_DISTINCT", 400),
        (counting, "_POINTS", 200),
        (counting, "_PER_GROUP", 50),
        (counting, "_CELLS", 512),
        (texting, "_MOST_DISTINCT", 400),
        (texting, "_LEAST", 100),
        (texting, "_HASHES", 256),
        (streaming, "GROUP_ROWS", 1_000),
        (streaming, "_LEAST_ROWS", 100),
        (streaming, "_WORTH_THREADS", 1),
    ):
        monkeypatch.setattr(module, name, value)


def _feature(table: pa.Table, batch: int = 700) -> Any:
    return stream_statistics(table.to_batches(max_chunksize=batch)).datasets[0].features[0]


def _error(feature: Any, name: str) -> float:
    return next((float(stat.num) for stat in feature.custom_stats if stat.name == name), 0.0)


_SHAPES = st.sampled_from(["normal", "exponential", "lumpy", "sorted", "tailed"])


def _numbers(shape: str, rows: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=rows)
    if shape == "lumpy":
        return np.where(rng.random(rows) < 0.4, 0.0, normal)
    if shape == "tailed":
        return normal * np.exp(8 * rng.normal(size=rows))
    return {"normal": normal, "sorted": np.sort(normal), "exponential": rng.exponential(size=rows)}[shape]


@pytest.mark.usefixtures("small")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SHAPES, st.integers(2_000, 9_000), st.integers(0, 99))
def test_ranks_are_off_by_no_more_than_is_stated_and_all_else_is_exact(shape: str, rows: int, seed: int) -> None:
    values = _numbers(shape, rows, seed)
    feature = _feature(pa.table({"x": values}))
    told, ordered = feature.num_stats, np.sort(values)
    error = _error(feature, "rank_error") * rows
    assert 0 < error < 0.2 * rows
    assert (told.min, told.max) == (ordered[0], ordered[-1])
    assert told.num_zeros == np.count_nonzero(values == 0)
    assert told.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
    assert told.std_dev == pytest.approx(values.std(), rel=1e-9)
    edges = [bucket.low_value for bucket in told.histograms[1].buckets][1:]
    for place, edge in enumerate(edges, start=1):
        wanted = place / 10 * rows
        assert (
            np.searchsorted(ordered, edge, "left") - error - 1
            <= wanted
            <= np.searchsorted(ordered, edge, "right") + error + 1
        )
    assert sum(bucket.sample_count for bucket in told.histograms[0].buckets) == rows
    for bucket in told.histograms[0].buckets[:-1]:
        true = np.count_nonzero((values >= bucket.low_value) & (values < bucket.high_value))
        assert abs(bucket.sample_count - true) <= 2 * error + 2


@pytest.mark.usefixtures("small")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2_000, 9_000), st.integers(0, 99), st.floats(1.05, 2))
def test_counts_of_text_are_no_more_than_true_and_short_by_no_more_than_is_stated(
    rows: int, seed: int, slope: float
) -> None:
    rng = np.random.default_rng(seed)
    values = [f"v{n}" for n in rng.zipf(slope, rows) % 100_000]
    true = Counter(values)
    feature = _feature(pa.table({"t": values}))
    told, error = feature.string_stats, _error(feature, "count_error") * rows
    assert told.avg_length == pytest.approx(sum(map(len, values)) / rows)
    for found in told.top_values:
        assert true[found.value] - error - 1e-6 <= found.frequency <= true[found.value]
    kept = {found.label for found in told.rank_histogram.buckets}
    assert all(value in kept for value, times in true.items() if times > error + 1e-6) or len(kept) == 1000
    off = _error(feature, "unique_error")
    assert abs(told.unique - len(true)) <= 5 * off * len(true)
    assert off > 0 or told.unique == len(true)


@pytest.mark.usefixtures("small")
def test_neither_batches_nor_threads_change_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    table = pa.table({
        "x": rng.normal(size=9_000), "t": rng.integers(0, 5_000, 9_000).astype(str), "n": rng.integers(0, 9, 9_000),
    })  # fmt: skip
    told = set()
    for threads in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda threads=threads: threads)
        for batch in (37, 700, 9_000):
            found = stream_statistics(table.to_batches(max_chunksize=batch))
            told.add(found.SerializeToString(deterministic=True))
    assert len(told) == 1


def test_the_hash_that_estimates_hang_on_is_the_same_everywhere() -> None:
    found = texting._hashed(pa.array(["x", "", "a", "ab", "ba", "ü" * 40]).slice(1))
    assert [f"{each:016x}" for each in found.tolist()] == HASHES
    many = Texts.of(pa.chunked_array([pa.array([f"id-{n}" for n in range(300_000)])]))
    merged = Texts.merge_all([many, many], Limits.of(1))
    assert not merged.exact
    assert merged.unique == pytest.approx(300_000, rel=3 * merged.unique_error)


HASHES = ["0000000000000000", "176eceb9bf5fb4f0", "2f184013fec592c6", "b1bf2d0d5246697e", "cf3069a6784630c5"]


def test_frequent_values_among_very_many_different_ones_are_found() -> None:
    often = ["often"] * 5_000 + ["now and then"] * 100 + ["rare"] * 3
    values = [f"id-{n}" for n in range(100_000)]
    for place, value in enumerate(often):
        values.insert(place * 19, value)
    quick = Texts.of(pa.chunked_array([pa.array([None, *values])]), apart=False)
    assert (quick.total, quick.size) == (105_103, sum(map(len, values)))
    assert quick.unique == pytest.approx(100_003, rel=3 * quick.unique_error)
    kept = dict(quick.ranked(2))
    assert 5_000 - quick.error <= kept["often"] <= 5_000
    assert 100 - quick.error <= kept["now and then"] <= 100
    assert quick.error <= 105_103 >> 14


def test_numbers_at_the_ends_of_floats_are_thinned_too() -> None:
    values = np.random.default_rng(1).uniform(-1, 1, size=20_000) * 1.7e308
    values[:2] = -0.0, 5e-324
    numbers = Numbers.of(values, apart=False)
    assert (numbers.finite, numbers.told().low, numbers.told().high) == (20_000, values.min(), values.max())


def test_bytes_beyond_the_limit_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texting, "_BYTES_OF_ALL", 20_000)
    monkeypatch.setattr(texting, "_LEAST_BYTES", 20_000)
    table = pa.table({"raw": [bytes([n % 256]) * 100 for n in range(5_000)]})
    feature = _feature(table)
    assert feature.bytes_stats.unique == 256  # fewer than there are hashes
    assert (feature.bytes_stats.min_num_bytes, feature.bytes_stats.max_num_bytes_int) == (100, 100)


# Sources


def _files(folder: Path) -> pa.Table:
    """Text in dictionaries in one file and plain in the other."""
    rng = np.random.default_rng(3)
    table = pa.table({
        "t": pa.array([None if n % 9 == 0 else f"value {n % 30}" for n in range(20_000)]),
        "large": pa.array([f"v{n % 3}" for n in range(20_000)], pa.large_string()),
        "x": rng.normal(size=20_000),
        "n": rng.integers(0, 30, 20_000),
        "flag": rng.random(20_000) < 0.1,
    })  # fmt: skip
    parquet.write_table(table.slice(0, 12_000), folder / "1.parquet", row_group_size=5_000)
    parquet.write_table(table.slice(12_000), folder / "2.parquet", use_dictionary=False)
    return table


def test_text_in_dictionaries_is_counted_as_if_it_were_plain(tmp_path: Path) -> None:
    table = _files(tmp_path)
    source = open_source("*.parquet", tmp_path)
    kinds = [pa.types.is_dictionary(batch.schema.field("t").type) for batch in source.coded()]
    assert set(kinds) == {True, False}
    expected = compute_statistics(table, "d")
    assert source_statistics(source, "d") == expected
    parted = [feature.path.step[0] for feature in source_statistics(source).datasets[0].features]
    assert parted == table.column_names
    coded = table.set_column(0, "t", table.column("t").dictionary_encode())
    assert compute_statistics(coded, "d") == expected
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None, 3]), pa.array(["a", "b", "a", None]))
    assert compute_statistics(pa.table({"t": odd})) == compute_statistics(pa.table({"t": ["a", "b", "a", None, None]}))


def test_sources_are_profiled_as_their_tables_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _files(tmp_path)
    before, after = open_source("*.parquet", tmp_path), open_source("2.parquet", tmp_path)
    bins = build_profile(table)
    assert profile_sources(before, after) == (bins, count(bins, table.slice(12_000)))
    only = profile_sources(before, after, ["n"])[0]
    assert [feature.name for feature in only.features] == ["n"]
    with pytest.raises(InvalidInput, match="Column of both sources 'm' is not known"):
        profile_sources(before, after, ["m"])
    assert profile_sources(before, frame_source(pa.table({"other": [1]})))[0].features == ()
    monkeypatch.setattr(counting, "_MOST_DISTINCT", 1_000)
    monkeypatch.setattr(texting, "_MOST_DISTINCT", 10)
    estimated, counted = profile_sources(before, after)
    assert estimated.same_bins(counted)
    assert [sum(feature.counts) for feature in estimated.features] == [20_000] * 5
    assert len(estimated.features[2].edges) == 101  # type: ignore[union-attr]


def test_checks_in_sql_read_a_source_as_a_table(tmp_path: Path) -> None:
    table = _files(tmp_path)
    source = open_source("*.parquet", tmp_path)
    checks = [SqlCheck("few", "n < 29"), SqlCheck("mean", "n <= (SELECT 20 * avg(n) FROM data)")]
    assert check_sql(source, checks) == check_sql(table, checks) != []
    (found,), (expected,) = (offending_rows(rows, checks, limit=3) for rows in (source, table))
    assert (found.count, found.places) == (expected.count, expected.places)
    assert found.rows.to_pylist() == expected.rows.to_pylist()
    (tmp_path / "1.parquet").write_bytes(b"PAR1" + b"\0" * 200)
    with pytest.raises(InvalidInput, match=r"1\.parquet cannot be read"):
        check_sql(source, checks)


def test_many_rows_of_many_different_values_are_counted_in_bounded_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for part in range(8):
        rows = 250_000
        parquet.write_table(
            pa.table(
                {"id": pa.array(rng.integers(10**14, 10**15, rows)).cast(pa.string()), "x": rng.normal(size=rows)}
            ),
            tmp_path / f"{part}.parquet",
        )
    program = (
        "import resource, sys, json; from pathlib import Path; from bailiwick.data.sources import open_source\n"
        "from bailiwick.data.statistics.streaming import source_statistics\n"
        "source_statistics(open_source('0.parquet', Path(sys.argv[1])))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = source_statistics(open_source('*.parquet', Path(sys.argv[1]))).datasets[0].num_examples\n"
        "print(json.dumps([rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    rows, kilobytes = json.loads(done.stdout)
    assert rows == 2_000_000
    assert kilobytes < 256 << 10


def test_ten_thousand_columns_are_described_and_checked_in_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    words = [[f"{word}{n}" for word in "abcdefghijkl"] for n in range(10_000)]
    table = pa.table({
        f'c{n}"; DROP TABLE x; --': words[n] if n % 3 else pa.array([float(n), None, *range(10)], pa.float64())
        for n in range(10_000)
    })  # fmt: skip
    begun = time.process_time()
    statistics = compute_statistics(table)
    schema = infer_schema(statistics)
    assert validate(statistics, schema) == []
    bins = build_profile(table)
    assert count(bins, table) == bins
    taken = time.process_time() - begun
    with capsys.disabled():
        print(f"\n10,000 columns: {taken:.1f} s of processor time")
    assert len(schema.string_domain) == 6_666
    assert taken < 8 * 5  # five times what it takes: the machine may be busy
