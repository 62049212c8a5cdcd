"""Past predictions one by one: pages of the log, newest first, and one by its id."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.endpoints.log import PARAMS, WITHHELD, hashed_column, input_column, output_column
from bailiwick.endpoints.recording import EVERYTHING, Pseudonyms
from bailiwick.store.delta import DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    from bailiwick.endpoints.log import PredictionLog
else:
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")
    pads = deferred("pyarrow.dataset")

MOST = 500
"""Predictions on a page."""

_KNOWN = (
    "prediction_id",
    "endpoint",
    "epoch",
    "variant",
    "model",
    "version",
    "unit",
    "time",
    "received",
    "latency_us",
    "status",
    "error",
)
_ANSWERED = 200
_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class PastPrediction:
    """One row of the log. Times are UTC milliseconds; `time` is the event's, `received` that of arrival.

    `inputs` and `outputs` go by their column names, `in_` and `out_` taken off; `hashed` has keyed hashes of inputs that
    the policy hides, `withheld` the names of all that are not as they were sent (`*` for every one). `params` are what the
    version was run with beside the row.
    """

    id: str
    endpoint: str
    epoch: int
    variant: str
    model: str
    version: int
    unit: str | None
    time: int
    received: int
    latency_us: int
    status: int
    error: str | None
    outputs: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    hashed: dict[str, str] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """The value of the input tensor `name`, also where versions gave its column several types; None where missing."""
        column = input_column(name).removeprefix("in_")
        if self.inputs.get(column) is not None:
            return self.inputs[column]
        typed = [value for key, value in self.inputs.items() if key.startswith(f"{column}_") and value is not None]
        return typed[0] if len(typed) == 1 and column in self.inputs else None


@dataclass(frozen=True, slots=True)
class Sought:
    """Which predictions: every part that is given must hold. `start` and `end` bound arrival, [start, end); `failed` is any
    status but 200.
    """

    model: str = ""
    version: int | None = None
    variant: str = ""
    unit: str = ""
    status: int | None = None
    failed: bool = False
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class PastPage:
    """Predictions, newest arrival first, without their inputs; `next` continues, and is empty at the end."""

    items: list[PastPrediction]
    next: str


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that an endpoint refused, with the words of the refusal."""

    request_id: str
    endpoint: str
    received: int
    status: int
    body_bytes: int
    error: str


class PastPredictions:
    """Reads one workspace's log. A page opens only the files that can hold what is on it."""

    def __init__(self, tables: DeltaTables, log: PredictionLog, pseudonyms: Pseudonyms) -> None:
        self._tables = tables
        self._log = log
        self._pseudonyms = pseudonyms

    def page(
        self, endpoints: Mapping[str, str], sought: Sought, *, limit: int = 50, after: str = "", inputs: bool = False
    ) -> PastPage:
        """One page of these endpoints' predictions; the values of `endpoints` are the names of their units' columns.

        Raises InvalidInput for an `after` that no page gave.
        """
        if not 1 <= limit <= MOST:
            raise InvalidInput(f"A page has 1 to {MOST} predictions, not {limit}.")
        cursor = _cursor(after) if after else None
        found: list[PastPrediction] = []
        for endpoint, key in endpoints.items():
            found += self._newest(endpoint, key, sought, cursor, limit + 1, inputs=inputs)
        found.sort(key=_place, reverse=True)
        more = len(found) > limit
        return PastPage(found[:limit], _written(_place(found[limit - 1])) if more else "")

    def find(self, endpoints: Sequence[str], prediction_id: str) -> PastPrediction:
        """The prediction of an id: what was answered rather than what failed before a fallback answered, and of several
        that share an id otherwise, which clients can bring about, the first. Raises NotFound.
        """
        found = []
        for endpoint in endpoints:
            name = self._log.predictions_table(endpoint)
            if self._tables.exists(name):
                dataset = self._tables.open(name).to_pyarrow_dataset()
                wanted = pc.field("prediction_id") == prediction_id
                for batch in dataset.scanner(filter=wanted, **_SPARING).to_batches():
                    found += [_prediction(row, inputs=True) for row in batch.to_pylist()]
        if not found:
            raise NotFound(
                f"There is no prediction {prediction_id[:100]!r} in the log.",
                hint="An id is <request id>:<row>. What was answered just now is there after a few seconds.",
            )
        return min(found, key=lambda each: (each.status != _ANSWERED, _place(each)))

    def refusals(self, endpoint: str, *, limit: int = 50, before: int | None = None) -> list[RefusedRequest]:
        """Refused requests, newest first, that came before a time in milliseconds; none unless the policy records them."""
        name = self._log.refusals_table(endpoint)
        if not self._tables.exists(name):
            return []
        wanted = None if before is None else pc.field("received") < before
        newest: list[tuple[int, str, int, RefusedRequest]] = []
        numbers = count()
        for _, batches in self._files(name, wanted, None):
            for batch in batches:
                for row in batch.to_pylist():
                    _push(newest, (row["received"], row["request_id"], next(numbers), RefusedRequest(**row)), limit)
        return [found for *_, found in sorted(newest, reverse=True)]

    def _newest(
        self, endpoint: str, key: str, sought: Sought, cursor: tuple[int, str] | None, limit: int, *, inputs: bool
    ) -> list[PastPrediction]:
        name = self._log.predictions_table(endpoint)
        if not self._tables.exists(name):
            return []
        wanted = self._wanted(sought, key, cursor)
        kept: list[tuple[int, str, int, PastPrediction]] = []
        numbers = count()
        for newest, batches in self._files(name, wanted, None if inputs else _without_inputs):
            if len(kept) == limit and newest is not None and newest < kept[0][0]:
                break  # files come by their newest row: nothing after this one can be on the page
            for batch in batches:
                for row in batch.to_pylist():
                    found = _prediction(row, inputs=inputs)
                    _push(kept, (*_place(found), next(numbers), found), limit)
        return [found for *_, found in kept]

    def _files(
        self, name: str, wanted: pc.Expression | None, chosen: Any
    ) -> Iterator[tuple[int | None, Iterator[pa.RecordBatch]]]:
        """(newest arrival, batches) of each file that may hold wanted rows, newest first."""
        table = self._tables.open(name)
        actions = pa.table(table.get_add_actions(flatten=True))
        known = actions["max.received"].to_pylist() if "max.received" in actions.column_names else [None] * len(actions)
        newest = dict(zip(actions["path"].to_pylist(), known, strict=True))
        dataset = table.to_pyarrow_dataset()
        columns = dataset.schema.names if chosen is None else [each for each in dataset.schema.names if chosen(each)]
        fragments = list(dataset.get_fragments(filter=wanted))
        of_fragment = {each.path: newest.get(each.path.rpartition("/")[2]) for each in fragments}
        fragments.sort(key=lambda each: (of_fragment[each.path] is None, of_fragment[each.path] or 0), reverse=True)
        for each in fragments:
            scanner = each.scanner(schema=dataset.schema, columns=columns, filter=wanted, **_OF_FRAGMENT)
            yield of_fragment[each.path], scanner.to_batches()

    def _wanted(self, sought: Sought, key: str, cursor: tuple[int, str] | None) -> pc.Expression | None:
        parts = [
            pc.field(name) == value
            for name, value in (
                ("model", sought.model),
                ("version", sought.version),
                ("variant", sought.variant),
                ("status", sought.status),
            )
            if value not in ("", None)
        ]
        if sought.unit:
            parts.append(pc.field("unit").isin([sought.unit, str(self._pseudonyms.of(key, sought.unit))]))
        if sought.failed:
            parts.append(pc.field("status") != _ANSWERED)
        if sought.start is not None:
            parts.append(pc.field("received") >= sought.start)
        if sought.end is not None:
            parts.append(pc.field("received") < sought.end)
        if cursor is not None:
            moment, name = cursor
            same = (pc.field("received") == moment) & (pc.field("prediction_id") < name)
            parts.append((pc.field("received") < moment) | same)
        whole: pc.Expression | None = None
        for part in parts:
            whole = part if whole is None else whole & part
        return whole


_OF_FRAGMENT: dict[str, Any] = {"batch_size": _ROWS, "use_threads": False, "batch_readahead": 1}
_SPARING: dict[str, Any] = {**_OF_FRAGMENT, "fragment_readahead": 1}


def _without_inputs(column: str) -> bool:
    return not column.startswith(("in_", "hashed_")) and column != PARAMS


def _push(heap: list[Any], item: Any, limit: int) -> None:
    """Keep the largest."""
    if len(heap) < limit:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _prediction(row: Mapping[str, Any], *, inputs: bool) -> PastPrediction:
    known = {name: row[name] for name in _KNOWN if name != "prediction_id"}
    withheld = tuple((row.get(WITHHELD) or "").splitlines())
    hidden = {hashed_column(name) for name in withheld} | {input_column(name) for name in withheld}
    found = PastPrediction(id=row["prediction_id"], withheld=withheld, **known)
    found.outputs.update(_prefixed(row, "out_"))
    if inputs and withheld != (EVERYTHING,):
        given = {name: value for name, value in row.items() if name not in hidden}
        found.inputs.update(_prefixed(given, "in_"))
        found.hashed.update({name: text for name, text in _prefixed(row, "hashed_").items() if text is not None})
        found.params.update(msgspec.json.decode(row.get(PARAMS) or "{}"))
    return found


def _prefixed(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def output_name(name: str) -> str:
    """The name that the log has for an output tensor."""
    return output_column(name).removeprefix("out_")


def _place(found: PastPrediction) -> tuple[int, str]:
    return found.received, found.id


def _written(place: tuple[int, str]) -> str:
    return base64.urlsafe_b64encode(f"{place[0]} {place[1]}".encode()).decode().rstrip("=")


def _cursor(text: str) -> tuple[int, str]:
    try:
        moment, _, name = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        if name and -(1 << 63) <= int(moment) < 1 << 63:
            return int(moment), name
    except (ValueError, binascii.Error):
        pass
    raise InvalidInput(f"{text[:60]!r} continues no page of predictions.", hint="Give `next` of the page before.")
