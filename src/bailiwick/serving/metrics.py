"""Counts of a worker, kept as plain integers and formatted only when they are read."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sized
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from bailiwick.endpoints.reporting import CLASSES, LATENCY_BOUNDS_US, Counts
from bailiwick.serving.tallies import Tally

Label = TypeVar("Label", bound=Hashable)


class Metrics:
    """Labels come from the route table only, never from a request, so their number is bounded."""

    def __init__(self, worker: int, gauges: Callable[[], dict[str, float]]) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)  # endpoint, status
        self.predictions: defaultdict[tuple[str, str], int] = defaultdict(int)  # endpoint, variant
        self.recorded: defaultdict[tuple[str, str], int] = defaultdict(int)  # endpoint, as what
        self.latency: defaultdict[str, list[int]] = defaultdict(lambda: [0] * CLASSES)
        self.latency_sum_us: defaultdict[str, int] = defaultdict(int)
        self.tallies: defaultdict[tuple[str, int], Tally] = defaultdict(Tally)  # endpoint, version
        self.calls: defaultdict[tuple[str, str], int] = defaultdict(int)  # method of gRPC, code; both from fixed lists
        self.connections: Mapping[str, Sized] = {}  # those open now, by protocol
        self.runs: defaultdict[str, int] = defaultdict(int)  # endpoint; a run may answer several requests
        self.runs_requests: defaultdict[str, int] = defaultdict(int)
        self.runs_rows: defaultdict[str, int] = defaultdict(int)
        self.waits: defaultdict[str, list[int]] = defaultdict(lambda: [0] * CLASSES)
        self.waits_sum_us: defaultdict[str, int] = defaultdict(int)
        self.shadows_dropped: defaultdict[str, int] = defaultdict(int)  # endpoint
        self.over_quota: defaultdict[str, int] = defaultdict(int)
        self.expired: defaultdict[str, int] = defaultdict(int)
        self.turned_away: defaultdict[str, int] = defaultdict(int)
        self.fallbacks: defaultdict[tuple[str, str], int] = defaultdict(int)  # endpoint, variant that answered
        self.breakers: Callable[[], Iterable[tuple[str, str, int]]] = tuple
        self._worker = str(worker)
        self._gauges = gauges

    def answered(self, endpoint: str, latency_us: int) -> None:
        """Count one successful request."""
        self.requests[endpoint, 200] += 1
        self.latency[endpoint][bisect_left(LATENCY_BOUNDS_US, latency_us)] += 1
        self.latency_sum_us[endpoint] += latency_us

    def counts(self) -> dict[str, Counts]:
        """Requests by endpoint since the start, as objectives count them: 5xx failed, a client's own mistakes are none."""
        failed: defaultdict[str, int] = defaultdict(int)
        for (endpoint, status), value in list(self.requests.items()):
            if endpoint and status >= 500:
                failed[endpoint] += value
        latency = {endpoint: tuple(counts) for endpoint, counts in list(self.latency.items())}
        names = failed.keys() | latency.keys()
        return {name: Counts(failed[name], latency.get(name, (0,) * CLASSES)) for name in names}

    def ran(self, endpoint: str, requests: int, rows: int) -> None:
        """Count one run of a model; the mean fill is requests, or rows, by runs."""
        self.runs[endpoint] += 1
        self.runs_requests[endpoint] += requests
        self.runs_rows[endpoint] += rows

    def ran_alone(self, endpoint: str, rows: int) -> None:
        """Count a request that did not stand in line and had a run of its own."""
        self.runs[endpoint] += 1
        self.runs_requests[endpoint] += 1
        self.runs_rows[endpoint] += rows
        self.waits[endpoint][0] += 1

    def waited(self, endpoint: str, wait_us: int) -> None:
        """Count how long a request stood in line, 0 for one that did not."""
        self.waits[endpoint][bisect_left(LATENCY_BOUNDS_US, wait_us)] += 1
        self.waits_sum_us[endpoint] += wait_us

    def keep(self, endpoints: Iterable[str], variants: Iterable[tuple[str, str]]) -> None:
        """Forget series of endpoints and variants that are gone, so that labels do not pile up over months."""
        names, pairs = set(endpoints), set(variants)
        gone = [label for label in list(self.tallies) if label[0] not in names]
        for label in gone:
            self.tallies.pop(label, None)
        self.requests = _kept(self.requests, lambda label: label[0] in names or not label[0])
        self.predictions = _kept(self.predictions, lambda label: label in pairs)
        self.recorded = _kept(self.recorded, lambda label: label[0] in names)
        self.runs = _kept(self.runs, names.__contains__)
        self.runs_requests = _kept(self.runs_requests, names.__contains__)
        self.runs_rows = _kept(self.runs_rows, names.__contains__)
        for series in (self.waits, self.waits_sum_us):
            for name in [name for name in list(series) if name not in names]:
                series.pop(name, None)
        self.shadows_dropped = _kept(self.shadows_dropped, names.__contains__)
        self.over_quota = _kept(self.over_quota, names.__contains__)
        self.expired = _kept(self.expired, names.__contains__)
        self.turned_away = _kept(self.turned_away, names.__contains__)
        self.fallbacks = _kept(self.fallbacks, lambda label: label[0] in names)

    def exposition(self) -> bytes:
        """Prometheus text format 0.0.4."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """What `prometheus_client` asks a collector for."""
        requests = CounterMetricFamily(
            "bailiwick_inference_requests", "Inference requests", labels=["worker", "endpoint", "status"]
        )
        for (endpoint, status), value in list(self.requests.items()):
            requests.add_metric([self._worker, endpoint, str(status)], value)
        yield requests
        predictions = CounterMetricFamily(
            "bailiwick_predictions", "Rows answered", labels=["worker", "endpoint", "variant"]
        )
        for (endpoint, variant), value in list(self.predictions.items()):
            predictions.add_metric([self._worker, endpoint, variant], value)
        yield predictions
        calls = CounterMetricFamily("bailiwick_grpc_calls", "Calls over gRPC", labels=["worker", "method", "code"])
        for (method, code), value in list(self.calls.items()):
            calls.add_metric([self._worker, method, code], value)
        yield calls
        recorded = CounterMetricFamily(
            "bailiwick_predictions_recorded",
            "Rows put on record whole, without their inputs (withheld), as refused requests, or not at all (dropped)",
            labels=["worker", "endpoint", "as"],
        )
        for (endpoint, kept), value in list(self.recorded.items()):
            recorded.add_metric([self._worker, endpoint, kept], value)
        yield recorded
        connections = GaugeMetricFamily(
            "bailiwick_inference_connections", "Connections open now", labels=["worker", "protocol"]
        )
        for protocol, held in self.connections.items():
            connections.add_metric([self._worker, protocol], len(held))
        yield connections
        for name, counts, said in (
            ("bailiwick_runs", self.runs, "Runs of models, each for one request or several"),
            ("bailiwick_runs_requests", self.runs_requests, "Requests in those runs"),
            ("bailiwick_runs_rows", self.runs_rows, "Rows in those runs"),
            ("bailiwick_shadows_dropped", self.shadows_dropped, "Copies of requests that no shadow ran"),
            ("bailiwick_over_quota", self.over_quota, "Requests refused over a client's quota"),
            ("bailiwick_expired", self.expired, "Requests whose deadline passed before they could run"),
            ("bailiwick_turned_away", self.turned_away, "Requests refused because too many waited"),
        ):
            family = CounterMetricFamily(name, said, labels=["worker", "endpoint"])
            for endpoint, value in list(counts.items()):
                family.add_metric([self._worker, endpoint], value)
            yield family
        yield from self._by_variant()
        yield self._histogram(
            "bailiwick_inference_seconds", "Time from request to answer", self.latency, self.latency_sum_us
        )
        yield self._histogram("bailiwick_queue_seconds", "Time stood in line", self.waits, self.waits_sum_us)
        for name, level in self._gauges().items():
            gauge = GaugeMetricFamily(f"bailiwick_{name}", name.replace("_", " ").capitalize(), labels=["worker"])
            gauge.add_metric([self._worker], level)
            yield gauge

    def _by_variant(self) -> Iterator[Metric]:
        labels = ["worker", "endpoint", "variant"]
        fallbacks = CounterMetricFamily("bailiwick_fallbacks", "Requests answered by a fallback", labels=labels)
        for (endpoint, variant), value in list(self.fallbacks.items()):
            fallbacks.add_metric([self._worker, endpoint, variant], value)
        yield fallbacks
        said = "Whether a variant is left alone: 0 called, 1 left alone, 2 tried again"
        breakers = GaugeMetricFamily("bailiwick_breaker_state", said, labels=labels)
        for endpoint, variant, state in self.breakers():
            breakers.add_metric([self._worker, endpoint, variant], state)
        yield breakers

    def _histogram(self, name: str, said: str, held: Mapping[str, list[int]], sums_us: Mapping[str, int]) -> Metric:
        family = HistogramMetricFamily(name, said, labels=["worker", "endpoint"])
        for endpoint, counts in list(held.items()):
            buckets: list[tuple[str, float]] = []
            reached = 0
            for bound, value in zip((*LATENCY_BOUNDS_US, None), counts, strict=True):
                reached += value
                buckets.append(("+Inf" if bound is None else str(bound / 1_000_000), reached))
            family.add_metric([self._worker, endpoint], buckets, sums_us[endpoint] / 1e6)
        return family


def _kept(counts: defaultdict[Label, int], wanted: Callable[[Label], bool]) -> defaultdict[Label, int]:
    return defaultdict(int, {label: value for label, value in counts.items() if wanted(label)})
