"""A sample is uniform, the same each time, and never large."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bailiwick.data.sampling import Sample


def test_a_sample_is_uniform_in_order_and_the_same_each_time() -> None:
    def sample() -> list[int]:
        drawn = Sample(pa.schema([("n", pa.int64())]), cells=5_000)
        for start in range(0, 200_000, 10_000):
            drawn.add(pa.table({"n": range(start, start + 10_000)}))
        found: list[int] = drawn.table()["n"].to_pylist()
        return found

    once = sample()
    assert once == sample() == sorted(once)
    assert 4_500 <= len(once) <= 10_000
    assert abs(sum(once) / len(once) - 100_000) < 4_000


def test_a_sample_of_long_texts_is_of_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bailiwick.data.sampling.SAMPLE_BYTES", 4 << 20)
    drawn = Sample(pa.schema([("n", pa.int64()), ("note", pa.string())]))
    for start in range(0, 50_000, 1_000):
        drawn.add(pa.table({"n": range(start, start + 1_000), "note": ["x" * 1_000] * 1_000}))
    found = drawn.table()
    assert 1_000 < found.num_rows < 5_000
    assert found.nbytes < 5 << 20
    assert abs(sum(found["n"].to_pylist()) / found.num_rows - 25_000) < 2_000
