"""Messages between a model's process and whoever asks it.

A message is `u32 size of head, head as JSON, arrays` in little-endian; the head's `arrays` say name, dtype, shape and size in
bytes of each, where dtype `text` is a JSON list. Nothing is ever unpickled from the stream, on either side.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from .telling import written

Head = dict[str, Any]
Named = list[tuple[str, Any]]

HEAD = struct.Struct("<I")
MOST_HEAD_BYTES = 64 << 20


class Refusal(ValueError):
    """What was asked is nothing that this model can be asked; the model itself has raised nothing."""


class Uneven(ValueError):
    """The model answered, but not with a value for each row."""


class Channel:
    """Messages on a stream."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb+", buffering=0)

    def receive(self) -> tuple[Head, list[Any]]:
        """One message; ends the process where the other side is gone."""
        (size,) = HEAD.unpack(self._exactly(HEAD.size))
        if size > MOST_HEAD_BYTES:
            raise SystemExit("the head of a message is too large")
        head = json.loads(bytes(self._exactly(size)))
        return head, [decoded(each, self._exactly(each["bytes"])) for each in head.get("arrays", ())]

    def send(self, head: Mapping[str, Any], arrays: Sequence[tuple[str, Any]] = ()) -> None:
        """One message."""
        described, parts = [], []
        for name, values in arrays:
            about, data = encoded(name, values)
            described.append(about)
            parts.append(data)
        text = json.dumps({**head, "arrays": described}).encode()
        for part in (HEAD.pack(len(text)) + text, *parts):
            view = memoryview(part).cast("B")
            while len(view):
                view = view[self._file.write(view) :]

    def _exactly(self, size: int) -> bytearray:
        held = bytearray(size)
        view, got = memoryview(held), 0
        while got < size:
            read = self._file.readinto(view[got:])
            if not read:
                raise SystemExit(0)
            got += read
        return held


def decoded(about: Mapping[str, Any], data: bytearray) -> Any:
    """An array of a message."""
    import numpy as np

    if about["dtype"] == "text":
        return np.array(json.loads(bytes(data)), dtype=object).reshape(about["shape"])
    return np.frombuffer(data, dtype=about["dtype"]).reshape(about["shape"])


def encoded(name: str, values: Any) -> tuple[dict[str, Any], bytes]:
    """An array, or bytes, for a message; what is no number travels as text."""
    import numpy as np

    if isinstance(values, bytes):
        return {"name": name, "dtype": "bytes", "shape": [len(values)], "bytes": len(values)}, values
    if values.dtype.kind in "biuf":
        values = np.asarray(values, values.dtype.newbyteorder("<"), order="C")  # one without dimensions keeps none
        about = {"name": name, "dtype": values.dtype.name, "shape": list(values.shape), "bytes": values.nbytes}
        return about, values.tobytes()
    texts = json.dumps([as_text(value) for value in values.ravel().tolist()]).encode()
    return {"name": name, "dtype": "text", "shape": list(values.shape), "bytes": len(texts)}, texts


def as_text(value: Any) -> str:
    """Empty for what is not there: None, NaN, pandas' NA. Lists and objects are JSON."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in {"NaT", "<NA>"}:
        return ""
    if isinstance(value, (dict, list, tuple)):
        return written(value)
    return value if isinstance(value, str) else str(value)
