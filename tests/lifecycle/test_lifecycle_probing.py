"""Rows to try models on that take a great many values a row, as those of images do."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bailiwick.lifecycle.packaging.probing import MOST_WIDE, Undescribed, probes_of
from bailiwick.pyfunc.mlmodel import Column


def test_images_are_tried_with_few_rows_in_little_time() -> None:
    image, size = Column("image", "FP32", (-1, 3, 224, 224)), Column("size", "INT64")
    example = [{"image": np.full((3, 224, 224), 0.25 * place).tolist(), "size": place} for place in range(3)]
    began = time.monotonic()
    probes = probes_of([image, size], example, thresholds={}, texts=[])
    assert time.monotonic() - began < 20
    assert (probes.count, probes.real, probes.made) == (55, 3, 55)
    assert probes.rows["image"].shape == (55, 3, 224, 224)
    assert probes.rows["image"].dtype == np.float32
    assert [float(each.mean()) for each in probes.rows["image"][:3]] == [0.0, 0.25, 0.5]
    assert probes.rows["size"][:3].ravel().tolist() == [0, 1, 2]
    assert len(np.unique(probes.rows["image"][5])) > 1_000
    again = probes_of([image, size], example, thresholds={}, texts=[])
    assert all((probes.rows[name] == again.rows[name]).all() for name in probes.rows)


@pytest.mark.parametrize(
    ("datatype", "low", "high"), [("UINT8", 0, 255), ("INT8", -128, 127), ("INT64", -10, 20), ("BOOL", 0, 1)]
)
def test_whole_numbers_are_those_that_the_column_can_hold(datatype: str, low: int, high: int) -> None:
    rows = probes_of([Column("x", datatype, (-1, 400))], [], thresholds={}, texts=[]).rows["x"]
    assert rows.shape == (256, 400)
    assert low <= int(rows.min()) < int(rows.max()) <= high


def test_texts_and_what_is_missing_among_many_values() -> None:
    example = [{"x": ["b", None] * 200, "y": [1.0, None] * 200, "z": "word"}]
    columns = [Column("x", "BYTES", (-1, 400)), Column("y", "FP64", (-1, 400)), Column("z", "BYTES")]
    probes = probes_of(columns, example, thresholds={}, texts=["seen"])
    assert probes.real == 1
    assert probes.rows["x"][0][:2].tolist() == ["b", ""]
    assert set(probes.rows["x"][1:].ravel().tolist()) == {"b", "seen"}
    assert np.isnan(probes.rows["y"][0][1])
    assert probes.rows["z"].shape == (256, 1)


def test_more_values_than_can_be_tried_are_refused_before_any_is_made() -> None:
    with pytest.raises(Undescribed, match=rf"takes 1,000,000,000,000 values a row; at most {MOST_WIDE:,}"):
        probes_of([Column("x", "FP32", (-1, 10**6, 10**6))], [], thresholds={}, texts=[])
