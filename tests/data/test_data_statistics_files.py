"""Files of statistics: what is written is read, by TFDV's formats; anything else is refused by name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.files import read_statistics, write_statistics

STATISTICS = compute_statistics(pa.table({"carrier": ["UA", "Ünï", None], "n": [1, 2, 3]}), name="flights")


@pytest.mark.parametrize("name", ["s.pb", "s.pbtxt", "s.tfrecord", "new/S.BINPB"])
def test_statistics_survive_writing_and_reading(name: str, tmp_path: Path) -> None:
    write_statistics(STATISTICS, tmp_path / name)
    assert read_statistics(tmp_path / name) == STATISTICS
    assert [path.name for path in (tmp_path / name).parent.iterdir() if path.is_file()] == [Path(name).name]


def test_a_tfrecord_is_the_one_that_tensorflow_writes(tmp_path: Path) -> None:
    # an empty record, as `tf.io.TFRecordWriter` writes it; the sum of eight zero bytes is TensorFlow's own
    (tmp_path / "s.tfrecord").write_bytes(bytes(8) + bytes.fromhex("29039807 d8ea82a2"))
    with pytest.raises(InvalidInput, match="holds no dataset"):
        read_statistics(tmp_path / "s.tfrecord")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", b"", r"The ending of statistics file s.csv '.csv' is not known"),
        ("s.pb", b"\xff\xff", r"s\.pb does not hold statistics"),
        ("s.pb", b"", r"s\.pb holds no dataset"),
        ("s.pbtxt", b"\xff", r"s\.pbtxt is not text"),
        ("s.pbtxt", b"datasets {\n typo: 1 }", r's\.pbtxt, line 2: .* has no field named "typo"'),
        ("s.tfrecord", b"short", r"too short to be a TFRecord file \(5 bytes\)"),
        ("s.tfrecord", b"x" * 40, "is not a TFRecord file, or was cut short"),
    ],
)
def test_what_is_not_statistics_is_refused_by_name(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_statistics(tmp_path / name)
    with pytest.raises(InvalidInput, match="does not exist"):
        read_statistics(tmp_path / "none.pb")


def test_a_damaged_or_doubled_record_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.tfrecord"
    write_statistics(STATISTICS, path)
    content = path.read_bytes()
    path.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    with pytest.raises(InvalidInput, match="the checksum of its record is wrong"):
        read_statistics(path)
    path.write_bytes(content * 2)
    with pytest.raises(InvalidInput, match="more than one record"):
        read_statistics(path)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200), name=st.sampled_from(["s.pb", "s.pbtxt", "s.tfrecord"]))
def test_no_bytes_do_worse_than_be_refused(content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with suppress(InvalidInput):
        assert read_statistics(path).datasets
