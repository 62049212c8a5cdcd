"""Counts of a worker, kept as plain integers and formatted only when they are read."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

LATENCY_BOUNDS_US = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000)

Label = TypeVar("Label", bound=Hashable)


class Metrics:
    """Labels come from the route table only, never from a request, so their number is bounded."""

    def __init__(self, worker: int, gauges: Callable[[], dict[str, float]]) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)  # endpoint, status
        self.predictions: defaultdict[tuple[str, str], int] = defaultdict(int)  # endpoint, variant
        self.latency: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(LATENCY_BOUNDS_US) + 1))
        self.latency_sum_us: defaultdict[str, int] = defaultdict(int)
        self._worker = str(worker)
        self._gauges = gauges

    def answered(self, endpoint: str, latency_us: int) -> None:
        """Count one successful request."""
        self.requests[endpoint, 200] += 1
        self.latency[endpoint][bisect_left(LATENCY_BOUNDS_US, latency_us)] += 1
        self.latency_sum_us[endpoint] += latency_us

    def keep(self, endpoints: Iterable[str], variants: Iterable[tuple[str, str]]) -> None:
        """Forget series of endpoints and variants that are gone, so that labels do not pile up over months."""
        names, pairs = set(endpoints), set(variants)
        self.requests = _kept(self.requests, lambda label: label[0] in names or not label[0])
        self.predictions = _kept(self.predictions, lambda label: label in pairs)

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
        yield self._histogram()
        for name, level in self._gauges().items():
            gauge = GaugeMetricFamily(f"bailiwick_{name}", name.replace("_", " ").capitalize(), labels=["worker"])
            gauge.add_metric([self._worker], level)
            yield gauge

    def _histogram(self) -> Metric:
        family = HistogramMetricFamily(
            "bailiwick_inference_seconds", "Time from request to answer", labels=["worker", "endpoint"]
        )
        for endpoint, counts in list(self.latency.items()):
            buckets: list[tuple[str, float]] = []
            reached = 0
            for bound, value in zip((*LATENCY_BOUNDS_US, None), counts, strict=True):
                reached += value
                buckets.append(("+Inf" if bound is None else str(bound / 1_000_000), reached))
            family.add_metric([self._worker, endpoint], buckets, self.latency_sum_us[endpoint] / 1e6)
        return family


def _kept(counts: defaultdict[Label, int], wanted: Callable[[Label], bool]) -> defaultdict[Label, int]:
    return defaultdict(int, {label: value for label, value in counts.items() if wanted(label)})
