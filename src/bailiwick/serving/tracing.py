"""Traces: each inference request as a span of OpenTelemetry, joined to the trace of whoever asked.

What is not said by `BAILIWICK_TRACES` is said by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME` …), as in every other program that has them.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from bailiwick import __version__
from bailiwick.core.errors import InvalidInput
from bailiwick.serving.witness import Seen, trace_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

SERVICE = "bailiwick-serve"


class Tracing:
    """Spans are sent by a thread, in batches; where the collector is slow, the newest are dropped and memory is bounded."""

    def __init__(self, worker: int) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise InvalidInput(
                f"BAILIWICK_TRACES needs OpenTelemetry, and {error.name} is not installed.",
                hint="pip install 'bailiwick[traces]'",
            ) from error
        # What is given by code would win over the user's variables, so the name is given only where they say none.
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": SERVICE}
        resource = Resource.create(
            {**named, "service.version": __version__, "service.instance.id": f"{socket.gethostname()}:{worker}"}
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("bailiwick.serving", __version__)
        self._trace = trace

    def see(self, seen: Seen) -> None:
        """Make the span, which has ended."""
        attributes: dict[str, Any] = {
            "http.response.status_code": seen.status,
            "bailiwick.endpoint": seen.endpoint,
            "bailiwick.variant": seen.variant,
            "bailiwick.version": seen.version,
            "bailiwick.prediction.id": seen.id,
            "bailiwick.rows": seen.rows,
        }
        span = self._tracer.start_span(
            f"infer {seen.endpoint}".rstrip(),
            context=self._context(seen),
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
            start_time=seen.ended_ns - seen.latency_us * 1000,
        )
        if seen.status >= 500:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, seen.error[:500]))
        span.end(seen.ended_ns)

    def tick(self) -> None:
        """Nothing: the sending thread has its own clock."""

    def close(self) -> None:
        """Send what is left, for as long as OpenTelemetry waits."""
        self._provider.shutdown()

    def _context(self, seen: Seen) -> Context | None:
        joined = trace_of(seen.headers)
        if joined is None:
            return None
        trace_id, span_id, sampled = joined
        state = seen.headers.get(b"tracestate")
        parent = self._trace.SpanContext(
            trace_id=int(trace_id, 16),
            span_id=int(span_id, 16),
            is_remote=True,
            trace_flags=self._trace.TraceFlags(int(sampled)),
            trace_state=self._trace.TraceState.from_header([state.decode("latin-1")]) if state else None,
        )
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent))
