"""Which rows teach and which judge: at random, by hash, by group, by time. Pure functions over Arrow.

Every row falls into exactly one part. By hash and by group, a row's part follows from its key and the seed alone: the same
on every machine, in any order of rows and batches, and still when rows are added. No group is ever in two parts; no part by
time holds a row that is older than one of the part before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from bailiwick.core.canonical import digest_of
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import instant, is_time, type_name

if TYPE_CHECKING:
    import mmh3
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    mmh3, np = deferred("mmh3"), deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

Kind = Literal["random", "hash", "group", "time"]
_KINDS = ("random", "hash", "group", "time")
_NEEDS_COLUMN = ("hash", "group", "time")


TAG = "split."
"""What the keys of tags that keep splits begin with."""


@dataclass(frozen=True, slots=True)
class Split:
    """How rows are divided: `shares` are (name of the part, its share) in order, together 1; oldest first by time.

    `random` draws by the row's number, and so belongs to one order of rows: a snapshot's. `hash` draws by the value of
    `column`, `group` too, and says with it that the column names whom or what a row is about. `time` cuts `column` at moments,
    and rows of one moment stay together. `seed` is of no meaning by time.
    """

    kind: Kind
    shares: tuple[tuple[str, float], ...]
    column: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InvalidInput.choice("Split", self.kind, _KINDS)
        names = [name for name, _ in self.shares]
        if len(names) < 2 or len(set(names)) < len(names) or not all(names):
            raise InvalidInput(f"A split has two or more parts of different names, not {names}.")
        if any(share <= 0 for _, share in self.shares) or abs(sum(share for _, share in self.shares) - 1) > 1e-9:
            raise InvalidInput(f"Shares of a split are above 0 and add up to 1, not {dict(self.shares)}.")
        if bool(self.column) != (self.kind in _NEEDS_COLUMN):
            raise InvalidInput(
                f"A split by {self.kind} needs a column."
                if self.kind in _NEEDS_COLUMN
                else "A random split has no column.",
                hint="Split by hash or group where a key should decide.",
            )

    @property
    def words(self) -> str:
        """`by time of departure: train 80 %, test 20 %`, for people."""
        column = f" of {self.column}" if self.column else ""
        shares = ", ".join(f"{name} {100 * share:.3g} %" for name, share in self.shares)
        return f"by {self.kind}{column}: {shares}" + ("" if self.kind == "time" else f", seed {self.seed}")

    @property
    def digest(self) -> str:
        """What two splits of the same words share."""
        return digest_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """For the record."""
        return {**asdict(self), "shares": [[name, share] for name, share in self.shares]}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Split:
        """Back from the record. Raises InvalidInput."""
        shares = tuple((str(name), float(share)) for name, share in values["shares"])
        return Split(values["kind"], shares, str(values["column"]), int(values["seed"]))


def splits_among(tags: Mapping[str, str]) -> tuple[dict[str, Split], dict[str, str]]:
    """The splits that a snapshot's tags keep, by name; and the other tags."""
    splits, others = {}, {}
    for key, value in tags.items():
        try:
            splits[key.removeprefix(TAG)] = Split.from_json(json.loads(value if key.startswith(TAG) else ""))
        except (ValueError, KeyError, TypeError, InvalidInput):
            others[key] = value
    return splits, others


def assign(split: Split, rows: pa.Table, *, first_row: int = 0) -> npt.NDArray[np.int64]:
    """The number of each row's part, in the order of `split.shares`.

    Rows may come in pieces, `first_row` being how many came before; by time they may not, for the cuts depend on all. Raises
    InvalidInput for a column that is not there, of no use, or missing in some rows.
    """
    if split.kind == "time":
        return _by_time(split, _column(split, rows))
    if split.kind == "random":
        draws = _drawn(np.arange(first_row, first_row + rows.num_rows, dtype=np.uint64), split.seed)
    else:
        draws = draws_of_keys(_column(split, rows), split.seed)
    return np.searchsorted(limits_of(split)[:-1], draws, side="right").astype(np.int64)


def parts(split: Split, rows: pa.Table) -> dict[str, pa.Table]:
    """The rows of each part, in their order."""
    numbers = assign(split, rows)
    return {name: rows.filter(pa.array(numbers == index)) for index, (name, _) in enumerate(split.shares)}


def limits_of(split: Split) -> npt.NDArray[np.float64]:
    """Where each part ends in [0, 1]."""
    return np.cumsum([share for _, share in split.shares])


def _column(split: Split, rows: pa.Table) -> pa.ChunkedArray:
    if split.column not in rows.column_names:
        raise InvalidInput.choice("Column to split by", split.column, rows.column_names)
    values = rows[split.column]
    if values.null_count:
        raise InvalidInput(
            f"Column {split.column!r} is missing in {values.null_count} of {rows.num_rows} rows, which belong to no part.",
            hint="Fill it or leave those rows out.",
        )
    return values


def draws_of_keys(keys: pa.ChunkedArray, seed: int) -> npt.NDArray[np.float64]:
    """One number in [0, 1) a key, of MurmurHash3 over the key's text; numbers and their text are one key."""
    if pa.types.is_floating(keys.type) or pa.types.is_nested(keys.type):
        raise InvalidInput(
            f"Keys of type {type_name(keys.type)} have no text of their own.", hint="Use a whole number or text."
        )
    encoded = keys.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary
    texts = distinct if pa.types.is_binary(distinct.type) else distinct.cast(pa.string())
    signed = seed & 0xFFFFFFFF
    hashes = np.array([mmh3.hash64(text, signed, signed=False)[0] for text in texts.to_pylist()], dtype=np.uint64)
    return _unit(hashes)[encoded.indices.to_numpy(zero_copy_only=False)] if len(keys) else np.zeros(0)


def _drawn(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """SplitMix64 of the row's number: any row's draw without those before it (Steele, Lea and Flood 2014)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        start = _mixed(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64) + golden)[0]
        return _unit(_mixed(start + (numbers + np.uint64(1)) * golden))


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _unit(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    return (hashes >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _by_time(split: Split, times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    if is_time(times.type):
        times = times.cast(instant(), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(times.type):
        raise InvalidInput(
            f"Column {split.column!r} is {type_name(times.type)}; time is a timestamp, a date or whole milliseconds."
        )
    moments = times.to_numpy().astype(np.int64)
    cuts = np.array(_cuts(np.sort(moments), limits_of(split)[:-1]), dtype=np.int64)
    numbers: npt.NDArray[np.int64] = np.searchsorted(cuts, moments, side="right").astype(np.int64)
    return numbers


def _cuts(ordered: npt.NDArray[np.int64], limits: npt.NDArray[np.float64]) -> list[int]:
    """The first moment of each part but the oldest: the one at its share, or one next to it, where the rows of one moment would
    leave a part without any. Parts are empty only where there are fewer moments than parts.
    """
    moments = np.unique(ordered)
    cuts: list[int] = []
    least = 1
    for left, limit in zip(range(len(limits), 0, -1), limits, strict=True):
        if least >= len(moments):
            break
        at = ordered[min(round(len(ordered) * limit), len(ordered) - 1)]
        place = max(min(int(np.searchsorted(moments, at)), len(moments) - left), least)
        cuts.append(int(moments[place]))
        least = place + 1
    return cuts
