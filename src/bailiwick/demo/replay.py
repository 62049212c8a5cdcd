"""Plays flights against the inference server in event order: a prediction before each departure, its outcome after arrival."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bailiwick.demo.client import JsonClient

SLOT_MS = 3 * 3_600_000
"""Flights of three hours are asked about in one request, as an airline's planner would."""

TIME, KEY, LABEL, KNOWN = "scheduled_departure", "flight_id", "late", "arrived"


@dataclass
class Served:
    """What came back for each flight, in the order of asking; arrays are grown by batch."""

    time: list[npt.NDArray[np.int64]] = field(default_factory=list)
    probability: list[npt.NDArray[np.float64]] = field(default_factory=list)
    label: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(event time ms, probability, label), each of shape [n]."""
        if not self.time:
            nothing = np.empty(0)
            return nothing.astype(np.int64), nothing, nothing
        return np.concatenate(self.time), np.concatenate(self.probability), np.concatenate(self.label)


class Replay:
    """A client of one endpoint. `play` may be called for one interval after another; nothing is asked twice."""

    def __init__(self, flights: pa.Table, inference: JsonClient, endpoint: str) -> None:
        self._flights = flights.sort_by(TIME)
        self._time = self._flights[TIME].to_numpy()
        self._inference = inference
        self._endpoint = endpoint
        self._inputs = self._describe_inputs()
        self._waiting: list[tuple[int, str, float]] = []
        self._parts: list[pa.Table] = []
        self.served = Served()
        self.predictions = 0
        self.outcomes = 0

    def _describe_inputs(self) -> list[tuple[str, str]]:
        metadata = self._inference.get(f"/v2/models/{self._endpoint}")
        model_inputs = [(item["name"], item["datatype"]) for item in metadata["inputs"]]
        known = {name for name, _ in model_inputs}
        context = [(KEY, "BYTES"), (TIME, "INT64")]
        return model_inputs + [item for item in context if item[0] not in known]

    def play(self, start: int, end: int) -> None:
        """Ask about every flight that departs in [start, end) ms and report every outcome known by `end`."""
        for slot in range(start, end, SLOT_MS):
            slot_end = min(slot + SLOT_MS, end)
            first, last = np.searchsorted(self._time, [slot, slot_end])
            if last > first:
                self._ask(self._flights.slice(first, last - first))
            self._report_outcomes(slot_end)

    def asked(self) -> pa.Table:
        """Every flight asked about so far, in the order of `served`."""
        return pa.concat_tables(self._parts) if self._parts else self._flights.slice(0, 0)

    def finish(self) -> None:
        """Report the outcomes of flights still in the air when the year ended."""
        self._report_outcomes(2**62)

    def _ask(self, flights: pa.Table) -> None:
        inputs = [
            {"name": name, "datatype": kind, "shape": [flights.num_rows, 1], "data": _values(flights[name], kind)}
            for name, kind in self._inputs
        ]
        answer = self._inference.post(f"/v2/models/{self._endpoint}/infer", {"inputs": inputs})
        output = next(item for item in answer["outputs"] if item["name"] == "probability")
        probability = np.asarray(output["data"], dtype=np.float64)
        labels = flights[LABEL].to_numpy().astype(np.float64)
        self._parts.append(flights)
        self.served.time.append(flights[TIME].to_numpy())
        self.served.probability.append(probability)
        self.served.label.append(labels)
        self.predictions += flights.num_rows
        for row, (known, label) in enumerate(zip(flights[KNOWN].to_numpy(), labels, strict=True)):
            heapq.heappush(self._waiting, (int(known), f"{answer['id']}:{row}", float(label)))

    def _report_outcomes(self, until: int) -> None:
        ready = []
        while self._waiting and self._waiting[0][0] <= until:
            ready.append(heapq.heappop(self._waiting))
        if ready:
            times, ids, labels = zip(*ready, strict=True)
            body = {"prediction_id": ids, "outcome": labels, "time": times}
            self._inference.post(f"/v2/models/{self._endpoint}/outcomes", body)
            self.outcomes += len(ready)


def _values(column: pa.ChunkedArray, kind: str) -> object:
    """Column values as JSON can carry them; a missing number is null, a missing text empty."""
    if kind == "BYTES":
        return pc.fill_null(pc.cast(column, pa.string()), "").to_pylist()
    if kind == "INT64":
        return column.to_numpy()
    return column.to_numpy(zero_copy_only=False).astype(np.float32)  # NaN is written as null
