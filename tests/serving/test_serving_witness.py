"""The access log and traces: what is written and sent for each request, and that neither holds up or loses an answer."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.serving.access_log import AccessLog
from bailiwick.serving.witness import Seen, Witnesses, trace_of
from tests_support.serving import Serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def row(x: float = 1.0, **more: object) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [x]},
            {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["AA"]},
        ],
        **more,
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_request_is_a_line_that_says_who_answered_and_how(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.jsonl"
    log = AccessLog(str(path), 3)
    serving = Serving(tmp_path, witness=log)
    serving.route(serving.variant(7))
    asked = "/v2/models/late/infer"
    serving.call("POST", asked, row(id="a-1"), traceparent=PARENT, user_agent="curl/8")
    serving.call("POST", asked, {"inputs": []})
    serving.call("POST", asked, row(-1.0, id="a-2"))
    serving.handler.tick()
    right, refused, failed = lines(path)
    assert right.pop("time").endswith("Z")
    assert right.pop("latency_us") >= 0
    assert right == {
        "worker": 3,
        "endpoint": "late",
        "variant": "v7",
        "version": 7,
        "id": "a-1",
        "rows": 1,
        "status": 200,
        "agent": "curl/8",
        "trace": TRACE,
    }
    assert (refused["status"], refused["endpoint"], refused["variant"]) == (400, "late", "")
    assert "no inputs" in refused["error"]
    assert (failed["status"], failed["id"], failed["variant"]) == (500, "a-2", "v7")
    assert "The model failed" in failed["error"]
    log.close()


def test_lines_are_written_by_themselves_when_there_are_many_and_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(str(path), 0)
    for number in range(300):
        log.see(Seen(200, 1_750_000_000_000_000_000, 120, {}, endpoint="late", id=str(number)))
    assert len(lines(path)) == 256
    log.close()
    assert [line["id"] for line in lines(path)] == [str(number) for number in range(300)]
    assert lines(path)[0]["time"] == "2025-06-15T15:06:39.999Z"


def test_a_file_that_was_moved_away_is_made_anew_and_two_workers_share_it(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    first, second = AccessLog(str(path), 0), AccessLog(str(path), 1)
    for log in (first, second):
        log.see(Seen(200, 0, 1, {}))
        log.tick()
    path.rename(tmp_path / "access.jsonl.1")
    for log in (first, second):
        log.see(Seen(200, 0, 1, {}))
        log.tick()
        log.see(Seen(200, 0, 1, {}))
        log.tick()
    assert [line["worker"] for line in lines(path)] == [0, 1]
    assert len(lines(tmp_path / "access.jsonl.1")) == 4
    first.close()
    second.close()


def test_a_log_that_cannot_be_opened_keeps_a_worker_from_starting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="access log"):
        AccessLog(str(tmp_path / "file" / "access.jsonl"), 0)


def test_a_full_disk_drops_lines_and_counts_them() -> None:
    log = AccessLog("/dev/full", 0)
    for _ in range(3):
        log.see(Seen(200, 0, 1, {}))
    log.tick()
    assert log.dropped == 3
    log.close()


def test_what_clients_send_breaks_no_line(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(str(path), 0)
    log.see(Seen(400, 0, 1, {b"user-agent": b'\xff\n"}', b"traceparent": b"\xff"}, error='\ud800"\n'))
    log.close()
    assert len(lines(path)) == 1


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (PARENT, (TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", (TRACE, SPAN, False)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", (TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
    ],
)
def test_the_trace_of_a_caller_is_read_as_the_recommendation_says(
    header: str, found: tuple[str, str, bool] | None
) -> None:
    assert trace_of({b"traceparent": header.encode()}) == found


@given(st.binary(max_size=80))
def test_no_header_is_too_strange_to_be_looked_at(header: bytes) -> None:
    assert trace_of({b"traceparent": header}) in {None, trace_of({b"traceparent": header})}


# -- OpenTelemetry, to a collector over HTTP ------------------------------------------------------------------------------


class Collector(ThreadingHTTPServer):
    """Takes what OTLP exporters send, as the OpenTelemetry Collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        server = self.server
        assert isinstance(server, Collector)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            server.resources.append({item.key: item.value.string_value for item in group.resource.attributes})
            server.spans += [span for scope in group.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.sdk")
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def test_a_request_is_a_span_of_the_callers_trace(collector: Collector, tmp_path: Path) -> None:
    from bailiwick.serving.tracing import Tracing

    tracing = Tracing(1)
    serving = Serving(tmp_path, witness=tracing)
    serving.route(serving.variant(7))
    asked = "/v2/models/late/infer"
    serving.call("POST", asked, row(id="a-1"), traceparent=PARENT, tracestate="vendor=1")
    serving.call("POST", asked, row(id="a-2"), traceparent=f"00-{TRACE}-{SPAN}-00")  # the caller does not sample it
    serving.call("POST", asked, row(-1.0, id="a-3"))
    tracing.close()
    joined, own = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    assert (joined.trace_id.hex(), joined.parent_span_id.hex()) == (TRACE, SPAN)
    assert (joined.name, joined.kind, joined.trace_state) == ("infer late", 2, "vendor=1")
    values = {item.key: item.value for item in joined.attributes}
    assert values["http.response.status_code"].int_value == 200
    assert values["bailiwick.prediction.id"].string_value == "a-1"
    assert values["bailiwick.version"].int_value == 7
    assert 0 <= joined.end_time_unix_nano - joined.start_time_unix_nano < 60e9
    assert own.trace_id.hex() not in {TRACE, "0" * 32}
    assert own.parent_span_id == b""
    assert own.status.code == 2
    assert "The model failed" in own.status.message
    assert collector.resources[0]["service.name"] == "bailiwick-serve"


def test_a_collector_that_is_away_holds_up_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from bailiwick.serving.tracing import Tracing

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tracing = Tracing(0)
    serving = Serving(tmp_path, witness=Witnesses([tracing]))
    serving.route(serving.variant(7))
    assert [serving.infer(row())[0] for _ in range(5_000)] == [200] * 5_000  # more than the queue holds
    tracing.close()


def test_traces_without_opentelemetry_name_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from bailiwick.serving.tracing import Tracing

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidInput, match="not installed") as refused:
        Tracing(0)
    assert "bailiwick[traces]" in str(refused.value.hint)
