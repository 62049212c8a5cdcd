"""The inference handler: one function from a request to a response, knowing no server, no sockets and no event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter_ns, time_ns
from typing import NamedTuple, Protocol

import orjson

from bailiwick.core.errors import NotAllowed, NotFound, Unavailable
from bailiwick.serving.admission import OverQuota
from bailiwick.serving.frames import Outcomes, outcomes_payload
from bailiwick.serving.gathering import Elsewhere
from bailiwick.serving.http import models
from bailiwick.serving.http.coding import LEAST_BYTES, chosen_coding, decoded, encoded
from bailiwick.serving.http.form import FORESEEN, JSON, Asked, Failure, Form, Header, Outcome, Reply
from bailiwick.serving.http.mlflow import SCORING, SCORING_VERSION
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.http.openapi import document
from bailiwick.serving.http.page import page
from bailiwick.serving.http.plain import PLAIN_ROWS
from bailiwick.serving.inference import TOO_BUSY, Inference
from bailiwick.serving.protocol import Refused, parse_outcomes
from bailiwick.serving.router import MOST_INLINE_BYTES, NO_ROUTES, CompiledEndpoint, Routes

RETRY_AFTER = (b"retry-after", b"1")
PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")
TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class Response(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Repository(Protocol):
    """Who loads and unloads endpoints; may take long, any thread. Raises NotAllowed, NotFound, Unavailable."""

    def load(self, name: str) -> None:
        """Once this returns the endpoint is served."""
        ...

    def unload(self, name: str) -> None:
        """Once this returns it is not."""
        ...


LATER = 0
"""The status of a response that `handle_later` has."""


class InferenceHandler(Inference):
    """Inference over HTTP, and what else a client may ask a worker."""

    repository: Repository | None = None
    server_name = "bailiwick"
    figures: Callable[[], bytes] | None = None
    """What `/metrics` says, where that is more than this worker's own; may take long, any thread."""

    def handle(self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        """Answer one request; every failure is worded by its protocol, with a status that says whose fault it is."""
        asked = self.inference(method, path, headers, body)
        if asked is not None:
            return self.response(asked, self.run(asked))
        try:
            return _fitted(headers, self._answer(self.routes, method, path, headers, body))
        except FORESEEN as error:
            return self._failed(form_of(path), None, error)

    def inference(self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Asked | None:
        """What is asked, where it is an inference of an endpoint that is there; `run`, or its like, says what it comes to."""
        if method != "POST":
            return None
        compiled = self.routes.infer_paths.get(path)
        if compiled is not None:
            return Asked(compiled, headers, body, perf_counter_ns(), OPEN_INFERENCE)
        compiled = self.routes.other_paths.get(path)
        return None if compiled is None else Asked(compiled, headers, body, perf_counter_ns(), form_of(path))

    async def handle_apart(self, asked: Asked, elsewhere: Elsewhere) -> Response:
        """Answer an inference that `takes_long`."""
        response = self._worded(asked, await self.run_apart(asked, elsewhere))
        if len(response.body) < MOST_INLINE_BYTES:
            return _fitted(asked.headers, response)
        return await self.aside(lambda: _fitted(asked.headers, response), elsewhere)

    def takes_long(self, asked: Asked, path: str) -> bool:
        """Whether others would notice if it were answered where it is read. Asked once a request: what is resident changes."""
        return asked.big or path in self.routes.apart

    def response(self, asked: Asked, outcome: Outcome) -> Response:
        """What a request came to, in the words of its protocol."""
        if isinstance(outcome, bytes) and len(outcome) < LEAST_BYTES and not self.draining:
            return Response(200, [JSON, (b"content-length", b"%d" % len(outcome))], outcome)
        return _fitted(asked.headers, self._worded(asked, outcome))

    def _worded(self, asked: Asked, outcome: Outcome) -> Response:
        if isinstance(outcome, bytes) and not self.draining:
            return Response(200, [JSON, (b"content-length", b"%d" % len(outcome))], outcome)
        if isinstance(outcome, Reply | bytes):
            return self._reply(outcome if isinstance(outcome, Reply) else Reply(outcome))
        return self._failed(asked.form, asked.compiled, outcome, asked)

    def handle_later(self, path: str) -> Response:
        """The response to what `handle` answered with LATER: it waits, so another thread calls this."""
        *_, verb = parts = path.strip("/").split("/")
        if verb == "metrics" and self.figures is not None:
            return self._reply(Reply(self.figures(), TEXT))
        name = parts[-2]
        repository = self.repository
        if repository is None:
            return self._failed(OPEN_INFERENCE, None, Refused(403, "Nothing can be loaded or unloaded here."))
        try:
            (repository.load if verb == "load" else repository.unload)(name)
        except NotAllowed as error:
            return self._failed(OPEN_INFERENCE, None, Refused(403, str(error)))
        except NotFound as error:
            return self._failed(OPEN_INFERENCE, None, Refused(404, str(error)))
        except (Unavailable, OSError) as error:
            return self._failed(OPEN_INFERENCE, None, Refused(TOO_BUSY, str(error)))
        return self._reply(Reply(b""))

    def refuse_body(self, limit: int) -> Response:
        """The answer to a body over the limit, which is not read to its end."""
        refused = self.refused(None, Refused(413, f"The body is larger than {limit} bytes."))
        answer = OPEN_INFERENCE.refusal(413, refused.message)
        return self._reply(answer, (b"connection", b"close"), status=413)

    # -- everything else -----------------------------------------------------------------------------------------------

    def _answer(self, routes: Routes, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        parts = path.strip("/").split("/")
        if parts == ["metrics"]:
            return self._told(method)
        if parts[0] != "v2":
            return self._beside(routes, method, path, parts)
        if parts[1:2] == ["models"] and len(parts) >= 3:
            return self._model(routes, method, parts[2:], headers, body)
        if parts[1:2] == ["repository"]:
            return self._repository(routes, method, parts[2:], headers, body)
        if parts[1:] not in ([], ["health", "live"], ["health", "ready"]):
            raise Refused(404, f"There is nothing at {path[:200]}.")
        _require(method, "GET")
        if len(parts) == 1:
            return self._json(models.server_metadata(self.server_name))
        return self._health(routes, ready=parts[2] == "ready")

    def _told(self, method: str) -> Response:
        _require(method, "GET")
        if self.figures is not None and method == "GET":
            return Response(LATER, [], b"")
        return self._reply(Reply(self._metrics.exposition(), TEXT))

    def _beside(self, routes: Routes, method: str, path: str, parts: list[str]) -> Response:
        """Paths of the other protocols, where they are not inference of an endpoint that is there."""
        if parts in (["ping"], ["health"]):
            _require(method, "GET")
            return self._reply(Reply(b"\n", PLAIN_TEXT), status=200 if routes.endpoints else 404)
        if parts == ["version"]:
            _require(method, "GET")
            return self._reply(Reply(SCORING_VERSION.encode(), PLAIN_TEXT))
        if parts == ["openapi.json"]:
            _require(method, "GET")
            return self._json(document(routes))
        shown = page("/".join(parts))
        if shown is not None:
            _require(method, "GET")
            return self._reply(shown)
        asked = parts[0] == "predict" and len(parts) == 2, parts[0] == "endpoints" and parts[2:] == ["invocations"]
        if any(asked):
            self._find(routes, parts[1])
            _require(method, "POST")
        elif parts == ["invocations"]:
            _require(method, "POST")
            known = ", ".join(f"/endpoints/{name}/invocations" for name in sorted(routes.endpoints))[:1000]
            raise Refused(
                404, f"There is more than one endpoint: use {known}." if known else "There is no endpoint yet."
            )
        raise Refused(
            404,
            f"There is nothing at {path[:200]}; the protocols are under /v2, /predict and /endpoints, and /docs has all.",
        )

    def _health(self, routes: Routes, *, ready: bool) -> Response:
        is_ready = routes is not NO_ROUTES and not self.draining and not self.starting
        known = {"live": True, "ready": is_ready, "revision": routes.revision, "failures": dict(self.failures)}
        known["breakers"] = self._guard.breakers.not_closed()
        if self.loading:
            known["loading"] = sorted(self.loading)
        return self._json(known, status=200 if is_ready or not ready else TOO_BUSY)

    def _model(
        self, routes: Routes, method: str, parts: list[str], headers: Mapping[bytes, bytes], body: bytes
    ) -> Response:
        if parts == ["stats"] and "stats" not in routes.endpoints:
            _require(method, "GET")
            return self._statistics(routes.endpoints.values())
        name, *rest = parts
        compiled = self._find(routes, name)
        if rest[:1] == ["versions"] and len(rest) >= 2:
            compiled, rest = self._pinned(routes, name, rest[1]), rest[2:]
        if rest == ["infer"]:
            _require(method, "POST")
            raise Refused(404, "Leave out the slashes at the end of the path.")
        if rest == ["outcomes"]:
            _require(method, "POST")
            return self._outcomes(name, headers, body)
        if rest in ([], ["ready"], ["config"], ["stats"]):
            _require(method, "GET")
            return self._described(compiled, rest)
        raise Refused(404, f"There is nothing at {'/'.join(rest)[:200]} of endpoint {name!r}.")

    def _described(self, compiled: CompiledEndpoint, what: list[str]) -> Response:
        if what == ["ready"]:
            return self._json({"name": compiled.endpoint.name, "ready": True})
        if what == ["config"]:
            return self._json(models.model_config(compiled))
        if what == ["stats"]:
            return self._statistics([compiled])
        return self._json(models.model_metadata(compiled))

    def _statistics(self, compiled: Iterable[CompiledEndpoint]) -> Response:
        found = [
            self._metrics.tallies[each.endpoint.name, arm.variant.version].statistics(
                each.endpoint.name, str(arm.variant.version)
            )
            for each in compiled
            for arm in each.arms
        ]
        return self._json({"model_stats": found})

    def _repository(
        self, routes: Routes, method: str, parts: list[str], headers: Mapping[bytes, bytes], body: bytes
    ) -> Response:
        _require(method, "POST")
        if parts == ["index"]:
            ready = models.parse_index(decoded(headers, body, limit=self._limit))
            lacking = dict.fromkeys(self.loading, "it is being loaded") | dict(self.failures)
            return self._json(models.index(routes.endpoints, lacking, self.unloaded, only_ready=ready))
        if len(parts) == 3 and parts[0] == "models" and parts[2] in {"load", "unload"}:
            return Response(LATER, [], b"")
        raise Refused(404, f"There is nothing at {'/'.join(parts)[:200]} of the repository.")

    def _outcomes(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        body = decoded(headers, body, limit=self._limit)
        request = parse_outcomes(body)
        self._spool.append(outcomes_payload(Outcomes(name, time_ns() // 1_000_000, body)))
        return self._json({"accepted": len(request.prediction_id)})

    # -- responses -----------------------------------------------------------------------------------------------------

    def _json(self, value: object, status: int = 200) -> Response:
        return self._reply(Reply(orjson.dumps(value)), status=status)

    def _reply(self, reply: Reply, *more: Header, status: int = 200) -> Response:
        headers = [reply.kind, (b"content-length", b"%d" % len(reply.body)), *reply.more, *more]
        if self.draining:
            headers.append((b"connection", b"close"))
        return Response(status, headers, reply.body)

    def _failed(
        self, form: Form, compiled: CompiledEndpoint | None, error: Failure, asked: Asked | None = None
    ) -> Response:
        found = self.refused(compiled, error, asked)
        more: tuple[Header, ...] = ()
        if isinstance(error, OverQuota):
            more = ((b"retry-after", b"%d" % error.retry_after),)
        elif isinstance(error, WrongMethod):
            more = ((b"allow", error.allowed),)
        elif found.status == TOO_BUSY:
            more = (RETRY_AFTER,)
        return self._reply(form.refusal(found.status, found.message), *more, status=found.status)


def form_of(path: str) -> Form:
    """The protocol of a path."""
    if path.startswith("/predict/"):
        return PLAIN_ROWS
    if path.startswith(("/invocations", "/endpoints/")):
        return SCORING
    return OPEN_INFERENCE


def _fitted(headers: Mapping[bytes, bytes], response: Response) -> Response:
    """The response, compressed where it is large and the client takes that."""
    if len(response.body) < LEAST_BYTES or b"accept-encoding" not in headers:
        return response
    coding = chosen_coding(headers[b"accept-encoding"])
    if coding is None:
        return response
    body = encoded(coding, response.body)
    kept = [header for header in response.headers if header[0] != b"content-length"]
    added = [
        (b"content-length", b"%d" % len(body)),
        (b"content-encoding", coding.encode()),
        (b"vary", b"accept-encoding"),
    ]
    return Response(response.status, kept + added, body)


class WrongMethod(Refused):
    """What is there is asked for in another way; `allowed` is what the header says that must come with it."""

    def __init__(self, method: str, wanted: str) -> None:
        super().__init__(405, f"{method[:20]} is not allowed here; use {wanted}.")
        self.allowed = b"GET, HEAD" if wanted == "GET" else wanted.encode()


def _require(method: str, wanted: str) -> None:
    if method != wanted and not (wanted == "GET" and method == "HEAD"):
        raise WrongMethod(method, wanted)
