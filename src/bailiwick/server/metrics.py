"""`/metrics`: how the control plane is doing, and what the platform knows that someone may want to be paged for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from bailiwick.lifecycle.platform import Platform

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HttpMetrics:
    """Requests by route template, so that names of models never become label values."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "bailiwick_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "bailiwick_http_request_seconds", "Time to answer, long polls included.", ["route"], registry=self.registry
        )
        self._known: dict[
            tuple[str, str, int], tuple[Counter, Histogram]
        ] = {}  # finding them takes longer than counting

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        known = self._known.get((method, route, status))
        if known is None:
            known = self._requests.labels(method, route, str(status)), self._seconds.labels(route)
            self._known[method, route, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def text(self, platform: Platform, workspace: str) -> bytes:
        """The exposition: our counters, then gauges read from the records now."""
        return generate_latest(self.registry) + generate_latest(_State(platform, workspace))


class _State(Collector):
    """Gauges of one workspace, read when they are asked for."""

    def __init__(self, platform: Platform, workspace: str) -> None:
        self._platform = platform
        self._workspace = workspace

    def collect(self) -> Iterable[Metric]:
        """One family a question that an alert may ask."""
        platform, workspace = self._platform, self._workspace
        yield self._gauge(
            "alarms_open",
            "Alarms that nobody has acknowledged.",
            len(platform.monitors.alarms(workspace, status="OPEN")),
        )
        yield self._gauge(
            "approvals_pending",
            "Approval requests that wait.",
            len(platform.governance.requests(workspace, status="PENDING")),
        )
        running = [rollout for rollout in platform.rollouts.rollouts(workspace) if rollout.status == "RUNNING"]
        yield self._gauge("rollouts_running", "Rollouts under way.", len(running))
        yield self._gauge("route_revision", "Revision of the route table.", platform.endpoints.revision(workspace))
        weights = GaugeMetricFamily(
            "bailiwick_variant_weight",
            "Share of an endpoint's traffic, from 0 to 1.",
            labels=["endpoint", "model", "version"],
        )
        for endpoint in platform.endpoints.endpoints(workspace):
            for variant in endpoint.variants:
                weights.add_metric([endpoint.name, variant.model, str(variant.version)], variant.weight / 10_000)
        yield weights
        passes = GaugeMetricFamily(
            "bailiwick_duty_last_pass_timestamp_seconds", "When a duty last finished a pass.", labels=["duty"]
        )
        for duty in platform.duties.all():
            if duty.pass_finished:  # the outbox has no passes
                passes.add_metric([duty.name], duty.pass_finished / 1000)
        yield passes

    def _gauge(self, name: str, said: str, value: float) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"bailiwick_{name}", said, value)
