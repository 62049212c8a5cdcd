"""The inference handler: one function from a request to a response, knowing no server, no sockets and no event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter_ns, time_ns
from typing import NamedTuple

import orjson

from bailiwick import __version__
from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.serving.binder import Batch
from bailiwick.serving.execution import Execution, execute
from bailiwick.serving.frames import MIXED, Outcomes, outcomes_payload, output_bytes, prediction_payload
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import (
    InferRequest,
    Refused,
    error_json,
    output_json,
    parse_infer,
    parse_outcomes,
    usable_id,
)
from bailiwick.serving.router import NO_ROUTES, CompiledEndpoint, Routes
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.tensors import TensorSpec

RETRY_AFTER = (b"retry-after", b"1")
JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

MOST_APART = 256
"""Requests that may be with slow models at a time; more are turned away, so that waiting never grows without end."""

Elsewhere = Callable[[Callable[[], Execution]], Awaitable[Execution]]
"""Has something done where nothing else waits for it."""

_LATENCY_LIMIT_US = (1 << 31) - 1


class Response(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class InferenceHandler:
    """Answers by the routes of the moment. `routes` may be replaced from any thread; a request uses one snapshot."""

    def __init__(self, spool: SpoolWriter, metrics: Metrics) -> None:
        self.routes: Routes = NO_ROUTES
        self.draining = False
        self.apart = 0  # requests that are with slow models now
        self.failures: Mapping[str, str] = {}
        self._spool = spool
        self._metrics = metrics

    def handle(self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        """Answer one request; every failure is `{"error": "..."}` with a status that says whose fault it is."""
        routes = self.routes
        compiled = routes.infer_paths.get(path)
        try:
            if compiled is not None and method == "POST":
                return self._reply(self._infer(compiled, headers, body))
            return self._answer(routes, method, path, headers, body)
        except (Refused, LimitExceeded, Unavailable) as error:
            return self._failed(compiled, error)

    async def handle_apart(
        self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, elsewhere: Elsewhere
    ) -> Response:
        """Answer an inference of an endpoint whose model may take long: only the model runs `elsewhere`.

        `compiled` is what `routes.apart` has for the path. Everything but the model stays with the calling thread, to
        which the spool belongs.
        """
        if self.apart >= MOST_APART:
            waiting = f"{self.apart} requests wait for slow models; no more are taken for now."
            return self._refuse(compiled, 503, waiting, RETRY_AFTER)
        self.apart += 1
        try:
            return self._reply(await self._infer_apart(compiled, headers, body, elsewhere))
        except (Refused, LimitExceeded, Unavailable) as error:
            return self._failed(compiled, error)
        finally:
            self.apart -= 1

    def _failed(self, compiled: CompiledEndpoint | None, error: Refused | LimitExceeded | Unavailable) -> Response:
        if isinstance(error, Refused):
            more = (RETRY_AFTER,) if error.status == 503 else ()
            return self._refuse(compiled, error.status, error.message, *more)
        if isinstance(error, LimitExceeded):
            return self._refuse(compiled, 503, str(error), RETRY_AFTER)
        return self._refuse(compiled, 503, str(error))

    def refuse_body(self, limit: int) -> Response:
        """The answer to a body over the limit, which is not read to its end."""
        return self._refuse(None, 413, f"The body is larger than {limit} bytes.", (b"connection", b"close"))

    # -- infer ---------------------------------------------------------------------------------------------------------

    def _infer(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        began = perf_counter_ns()
        batch, wanted, request_id = self._taken(compiled, headers, body)
        done = execute(compiled, batch, request_id)
        return self._concluded(compiled, done, batch.rows, began, request_id, wanted, body)

    async def _infer_apart(
        self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, elsewhere: Elsewhere
    ) -> bytes:
        began = perf_counter_ns()
        batch, wanted, request_id = self._taken(compiled, headers, body)
        done = await elsewhere(lambda: execute(compiled, batch, request_id))
        return self._concluded(compiled, done, batch.rows, began, request_id, wanted, body)

    def _taken(
        self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes
    ) -> tuple[Batch, list[int] | None, str]:
        request = _parsed(headers, body)
        batch = compiled.binder.bind(request)
        wanted = _wanted_outputs(compiled, request)
        if not self._spool.has_room():
            raise Refused(503, "Too many predictions wait to be recorded; none are answered until some are shipped.")
        given = request.id
        return batch, wanted, given if given is not None and usable_id(given) else new_id()

    def _concluded(
        self,
        compiled: CompiledEndpoint,
        done: Execution,
        rows: int,
        began: int,
        request_id: str,
        wanted: list[int] | None,
        body: bytes,
    ) -> bytes:
        latency_us = min((perf_counter_ns() - began) // 1000, _LATENCY_LIMIT_US)
        self._record(compiled, done, rows, latency_us, request_id, body)
        if done.error:
            raise Refused(500, done.error)
        self._count(compiled, done, rows, latency_us)
        return _answer_json(compiled, done, request_id, wanted)

    def _record(
        self, compiled: CompiledEndpoint, done: Execution, rows: int, latency_us: int, request_id: str, body: bytes
    ) -> None:
        outputs = done.outputs
        payload = prediction_payload(
            compiled.definition.reference,
            received=time_ns() // 1_000_000,
            latency_us=latency_us,
            status=500 if done.error else 200,
            rows=rows,
            variant=done.variant,
            variants=done.variants,
            request_id=request_id.encode(),
            body=body,
            outputs=output_bytes(outputs[0]) if len(outputs) == 1 else b"".join(map(output_bytes, outputs)),
            failed=done.failed,
            error=done.error.encode()[:60_000],
        )
        self._spool.append(payload, compiled.definition)

    def _count(self, compiled: CompiledEndpoint, done: Execution, rows: int, latency_us: int) -> None:
        name = compiled.endpoint.name
        self._metrics.answered(name, latency_us)
        if done.variant != MIXED:
            self._metrics.predictions[name, compiled.arms[done.variant].variant.name] += rows
            return
        for index, arm in enumerate(compiled.arms):
            self._metrics.predictions[name, arm.variant.name] += done.variants.count(index)

    # -- everything else -----------------------------------------------------------------------------------------------

    def _answer(self, routes: Routes, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        parts = path.strip("/").split("/")
        if parts == ["metrics"]:
            _require(method, "GET")
            return self._reply(self._metrics.exposition(), kind=TEXT)
        if parts[0] != "v2":
            raise Refused(404, f"There is nothing at {path[:200]}; the protocol is under /v2.")
        if parts[1:2] == ["models"] and len(parts) >= 3:
            return self._model(routes, method, parts[2:], headers, body)
        _require(method, "GET")
        if len(parts) == 1:
            return self._json({"name": "bailiwick", "version": __version__, "extensions": []})
        if parts[1:] in (["health", "live"], ["health", "ready"]):
            return self._health(routes, ready=parts[2] == "ready")
        raise Refused(404, f"There is nothing at {path[:200]}.")

    def _health(self, routes: Routes, *, ready: bool) -> Response:
        is_ready = routes is not NO_ROUTES and not self.draining
        known = {"live": True, "ready": is_ready, "revision": routes.revision, "failures": dict(self.failures)}
        return self._json(known, status=200 if is_ready or not ready else 503)

    def _model(
        self, routes: Routes, method: str, parts: list[str], headers: Mapping[bytes, bytes], body: bytes
    ) -> Response:
        name, *rest = parts
        compiled = self._find(routes, name)
        if rest[:1] == ["versions"] and len(rest) >= 2:
            pinned = routes.pinned.get((name, rest[1]))
            if pinned is None:
                known = ", ".join(str(arm.variant.version) for arm in compiled.arms)
                raise Refused(404, f"Endpoint {name!r} does not serve version {rest[1][:50]!r}; it serves: {known}.")
            compiled, rest = pinned, rest[2:]
        if rest == ["infer"]:
            _require(method, "POST")
            return self._reply(self._infer(compiled, headers, body))
        if rest == ["outcomes"]:
            _require(method, "POST")
            return self._outcomes(name, headers, body)
        if rest == ["ready"]:
            _require(method, "GET")
            return self._json({"name": name, "ready": True})
        if not rest:
            _require(method, "GET")
            return self._json(_metadata(compiled))
        raise Refused(404, f"There is nothing at {'/'.join(rest)[:200]} of endpoint {name!r}.")

    def _find(self, routes: Routes, name: str) -> CompiledEndpoint:
        compiled = routes.endpoints.get(name)
        if compiled is not None:
            return compiled
        if name in self.failures:
            raise Refused(503, f"Endpoint {name!r} has no version that could be loaded: {self.failures[name]}")
        known = ", ".join(sorted(routes.endpoints)) or "none yet"
        raise Refused(404, f"Endpoint {name[:100]!r} does not exist. There are: {known[:1000]}.")

    def _outcomes(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        _require_plain(headers)
        request = parse_outcomes(body)
        self._spool.append(outcomes_payload(Outcomes(name, time_ns() // 1_000_000, body)))
        return self._json({"accepted": len(request.prediction_id)})

    # -- responses -----------------------------------------------------------------------------------------------------

    def _json(self, value: object, status: int = 200) -> Response:
        return self._reply(orjson.dumps(value), status=status)

    def _reply(
        self, body: bytes, *more: tuple[bytes, bytes], status: int = 200, kind: tuple[bytes, bytes] = JSON
    ) -> Response:
        headers = [kind, (b"content-length", b"%d" % len(body)), *more]
        if self.draining:
            headers.append((b"connection", b"close"))
        return Response(status, headers, body)

    def _refuse(
        self, compiled: CompiledEndpoint | None, status: int, message: str, *more: tuple[bytes, bytes]
    ) -> Response:
        self._metrics.requests[compiled.endpoint.name if compiled else "", status] += 1
        return self._reply(error_json(message), *more, status=status)


def _parsed(headers: Mapping[bytes, bytes], body: bytes) -> InferRequest:
    try:
        return parse_infer(body)
    except Refused:
        _require_plain(headers)
        raise


def _require_plain(headers: Mapping[bytes, bytes]) -> None:
    if b"inference-header-content-length" in headers:
        raise Refused(415, "Binary tensor data is not supported; send the tensors as JSON.")
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding != "identity":
        raise Refused(415, f"Content-Encoding {encoding[:50]!r} is not supported; send the body as it is.")


def _require(method: str, wanted: str) -> None:
    if method != wanted and not (wanted == "GET" and method == "HEAD"):
        raise Refused(405, f"{method[:20]} is not allowed here; use {wanted}.")


def _wanted_outputs(compiled: CompiledEndpoint, request: InferRequest) -> list[int] | None:
    if not request.outputs:
        return None
    places = {spec.name: place for place, spec in enumerate(compiled.outputs)}
    for output in request.outputs:
        if output.name not in places:
            raise Refused(400, f"Output {output.name[:100]!r} is not known; the outputs are: {', '.join(places)}.")
    return [places[output.name] for output in request.outputs]


def _answer_json(compiled: CompiledEndpoint, done: Execution, request_id: str, wanted: list[int] | None) -> bytes:
    if len(done.outputs) == 1:
        outputs = output_json(compiled.output_openings[0], done.outputs[0])
    else:
        places = range(len(done.outputs)) if wanted is None else wanted
        outputs = b",".join(output_json(compiled.output_openings[place], done.outputs[place]) for place in places)
    if done.variant == MIXED:
        return b"".join((compiled.mixed_opening, request_id.encode(), b'","outputs":[', outputs, b"]}"))
    arm = compiled.arms[done.variant]
    return b"".join((arm.opening, request_id.encode(), arm.parameters, outputs, b"]}"))


def _metadata(compiled: CompiledEndpoint) -> dict[str, object]:
    return {
        "name": compiled.endpoint.name,
        "versions": [str(arm.variant.version) for arm in compiled.arms],
        "platform": "python" if compiled.arms[0].runtime.apart else "onnx_onnxv1",
        "inputs": [_tensor_metadata(spec) for spec in compiled.binder.specs],
        "outputs": [_tensor_metadata(spec) for spec in compiled.outputs],
        "properties": {"key": compiled.endpoint.key, "time": compiled.endpoint.time},
    }


def _tensor_metadata(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
