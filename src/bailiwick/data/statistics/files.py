"""Statistics in files that TFDV reads and writes: binary, TFRecord, and protobuf text."""

from __future__ import annotations

import os
import re
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")
    text_format = deferred("google.protobuf.text_format")

SUFFIXES = {
    ".pb": "binary",
    ".binpb": "binary",
    ".pbtxt": "text",
    ".textproto": "text",
    ".tfrecord": "TFRecord",
    ".tfrecords": "TFRecord",
}
_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")


def is_statistics(path: Path) -> bool:
    """Whether the file's name says that it holds statistics, not rows."""
    return path.suffix.lower() in SUFFIXES


def read_statistics(path: Path) -> Any:
    """The `DatasetFeatureStatisticsList` of a file. Raises InvalidInput naming the file and what is wrong in it."""
    form = _form(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"Statistics file {path} does not exist.") from None
    except OSError as error:
        raise InvalidInput(f"Statistics file {path} cannot be read: {error}.") from error
    if form == "text":
        statistics = _from_text(content, path)
    else:
        statistics = _from_binary(_only_record(content, path) if form == "TFRecord" else content, path)
    if not statistics.datasets:
        raise InvalidInput(
            f"{path} holds no dataset.", hint="It should be a DatasetFeatureStatisticsList, as TFDV writes."
        )
    return statistics


def write_statistics(statistics: Any, path: Path) -> None:
    """Write the statistics in the format that the file's name says, whole or not at all (temporary file, then rename)."""
    form = _form(path)
    if form == "text":
        content = text_format.MessageToString(statistics, as_utf8=True).encode()
    else:
        content = statistics.SerializeToString(deterministic=True)
    if form == "TFRecord":
        length = struct.pack("<Q", len(content))
        content = length + _TAIL.pack(_masked(length)) + content + _TAIL.pack(_masked(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _form(path: Path) -> str:
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise InvalidInput.choice(f"The ending of statistics file {path.name}", path.suffix, SUFFIXES)
    return form


def _from_text(content: bytes, path: Path) -> Any:
    try:
        return text_format.Parse(content.decode("utf-8"), protos.DatasetFeatureStatisticsList())
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not text: {error}.") from error
    except text_format.ParseError as error:
        where = f", line {error.GetLine()}" if error.GetLine() else ""
        reason = re.sub(r"^(\d+:\d+ : )+", "", str(error)).strip().rstrip(".")
        raise InvalidInput(f"{path}{where}: {reason}.") from error
    except RecursionError as error:
        raise InvalidInput(f"{path}: messages are nested too deeply to be statistics.") from error


def _from_binary(content: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return protos.DatasetFeatureStatisticsList.FromString(content)
    except DecodeError as error:
        raise InvalidInput(f"{path} does not hold statistics: {error}.") from error


def _only_record(content: bytes, path: Path) -> bytes:
    """The first and only record, with its checksums looked at."""
    if len(content) < _HEAD.size + _TAIL.size:
        raise InvalidInput(f"{path} is too short to be a TFRecord file ({len(content)} bytes).")
    length, check = _HEAD.unpack_from(content)
    record = content[_HEAD.size : _HEAD.size + length] if length < len(content) else b""
    whole = _HEAD.size + length + _TAIL.size
    if check != _masked(content[:8]) or whole > len(content):
        raise InvalidInput(f"{path} is not a TFRecord file, or was cut short.")
    if _TAIL.unpack_from(content, _HEAD.size + length)[0] != _masked(record):
        raise InvalidInput(f"{path} is damaged: the checksum of its record is wrong.")
    if whole != len(content):
        raise InvalidInput(f"{path} holds more than one record; statistics are one.")
    return record


def _masked(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C, turned by 15 bits and moved."""
    crc = 0xFFFFFFFF
    table = _table()
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> list[int]:
    table = []
    for number in range(256):
        crc = number
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table
