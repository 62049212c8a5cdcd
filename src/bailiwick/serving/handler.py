"""The inference handler: one function from a request to a response, knowing no server, no sockets and no event loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter_ns, time_ns
from typing import NamedTuple, Protocol

import orjson

from bailiwick.core.errors import LimitExceeded, NotAllowed, NotFound, Unavailable
from bailiwick.serving.admission import OverQuota, Priority, priority_of
from bailiwick.serving.execution import Execution
from bailiwick.serving.frames import Outcomes, outcomes_payload
from bailiwick.serving.gathering import Elsewhere, portions, run_portion
from bailiwick.serving.http import models
from bailiwick.serving.http.coding import LEAST_BYTES, chosen_coding, decoded, encoded
from bailiwick.serving.http.form import JSON, Form, Header, Reply, Taken
from bailiwick.serving.http.mlflow import SCORING, SCORING_VERSION
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.http.openapi import document
from bailiwick.serving.http.page import page
from bailiwick.serving.http.plain import PLAIN_ROWS
from bailiwick.serving.inference import TOO_BUSY, Inference
from bailiwick.serving.protocol import Refused, parse_outcomes
from bailiwick.serving.recorder import Finished
from bailiwick.serving.router import NO_ROUTES, CompiledEndpoint, Routes, most_waiting

RETRY_AFTER = (b"retry-after", b"1")
PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")
TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

_FORESEEN = (Refused, LimitExceeded, Unavailable)


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


class Asked(NamedTuple):
    """An inference request that came with others: what answers it, and when it had arrived, in `perf_counter_ns`."""

    compiled: CompiledEndpoint
    headers: Mapping[bytes, bytes]
    body: bytes
    began: int
    form: Form = OPEN_INFERENCE


class InferenceHandler(Inference):
    """Inference over HTTP, and what else a client may ask a worker."""

    repository: Repository | None = None

    def handle(self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        """Answer one request; every failure is worded by its protocol, with a status that says whose fault it is."""
        routes = self.routes
        compiled = routes.infer_paths.get(path)
        if compiled is not None and method == "POST":
            return self._inferred(OPEN_INFERENCE, compiled, headers, body)
        compiled = routes.other_paths.get(path)
        if compiled is not None and method == "POST":
            return self._inferred(form_of(path), compiled, headers, body)
        try:
            return _fitted(headers, self._answer(routes, method, path, headers, body))
        except _FORESEEN as error:
            return self._failed(form_of(path), None, error, headers)

    async def handle_apart(
        self,
        compiled: CompiledEndpoint,
        headers: Mapping[bytes, bytes],
        body: bytes,
        elsewhere: Elsewhere,
        *,
        form: Form = OPEN_INFERENCE,
    ) -> Response:
        """Answer an inference of an endpoint whose model may take long: only the model runs `elsewhere`.

        `compiled` is what `routes.apart` has for the path, `form` what `form_of` it is. Everything but the model stays
        with the calling thread, to which the spool belongs.
        """
        began = perf_counter_ns()
        try:
            self._require_place(compiled, headers)
        except Refused as error:
            return self._failed(form, compiled, error, headers, began, len(body))
        self.apart += 1
        try:
            taken = self._take(form, compiled, headers, body, began)
            response = self._concluded(taken, await self._executed_apart(taken, elsewhere), headers)
        except _FORESEEN as error:
            response = self._failed(form, compiled, error, headers, began, len(body))
        finally:
            self.apart -= 1
        return _fitted(headers, response)

    # -- requests that came together -----------------------------------------------------------------------------------

    def handle_together(self, asked: Sequence[Asked]) -> list[Response]:
        """Answer inferences that arrived together: each as `handle` would, with as few runs and writes as can be."""
        if len(asked) < asked[0].compiled.worth_gathering:
            return [self._inferred(each.form, each.compiled, each.headers, each.body, each.began) for each in asked]
        responses: dict[int, Response] = {}
        taken: list[Taken] = []
        for place, each in enumerate(asked):
            try:
                found = self._take(each.form, each.compiled, each.headers, each.body, each.began)
            except _FORESEEN as error:
                responses[place] = self._failed_of(each, error)
            else:
                found.place = place
                taken.append(found)
        finished: list[tuple[Taken, Execution]] = []
        for portion in portions(taken):
            try:
                run = run_portion if portion[0].compiled.handling is None else self._guard.run_portion
                finished += zip(portion, run(portion), strict=True)
            except _FORESEEN as error:
                responses[portion[0].place] = self._failed_of(asked[portion[0].place], error)
            else:
                self._metrics.ran_together(portion[0].compiled.endpoint.name, len(portion))
        responses.update(self._finished_together(finished, asked))
        return [responses[place] for place in range(len(asked))]

    def surplus(self, asked: Sequence[Asked]) -> dict[int, Response]:
        """Answers to those that are too many of what waits for its turn: the least important, and of those the last."""
        if len(asked) <= self.routes.least_queue:
            return {}
        waiting: dict[str, list[int]] = {}
        for place, each in enumerate(asked):
            waiting.setdefault(each.compiled.endpoint.name, []).append(place)
        refused = {}
        for name, places in waiting.items():
            most = max(most_waiting(asked[place].compiled) for place in places)
            if len(places) <= most:
                continue
            places.sort(key=lambda place: (_priority(asked[place]), place))
            said = f"More than {most} requests wait for endpoint {name!r}; no more are taken for now."
            for place in places[most:]:
                self._metrics.turned_away[name] += 1
                refused[place] = self._failed_of(asked[place], Refused(TOO_BUSY, said))
        return refused

    def _finished_together(
        self, finished: Sequence[tuple[Taken, Execution]], asked: Sequence[Asked]
    ) -> dict[int, Response]:
        ran = perf_counter_ns()
        timed: list[Finished] = [(taken, done, (ran - taken.began) // 1000) for taken, done in finished]
        responses = {}
        for (taken, done, latency_us), kept in zip(timed, self._recorder.keep_together(timed), strict=True):
            each = asked[taken.place]
            try:
                if not kept:
                    raise Unavailable("The prediction could not be put on record, so it is not given.")
                response = self._replied(self._answered(taken, done, each.headers, ran, latency_us))
            except _FORESEEN as error:
                response = self._failed_of(each, error)
            responses[taken.place] = response if len(response.body) < LEAST_BYTES else _fitted(each.headers, response)
        return responses

    def _failed_of(self, asked: Asked, error: Refused | LimitExceeded | Unavailable) -> Response:
        return self._failed(asked.form, asked.compiled, error, asked.headers, asked.began, len(asked.body))

    def handle_later(self, path: str) -> Response:
        """The response to what `handle` answered with LATER: it waits, so another thread calls this."""
        *_, name, verb = path.strip("/").split("/")
        repository = self.repository
        if repository is None:
            return self._failed(OPEN_INFERENCE, None, Refused(403, "Nothing can be loaded or unloaded here."), {})
        try:
            (repository.load if verb == "load" else repository.unload)(name)
        except NotAllowed as error:
            return self._failed(OPEN_INFERENCE, None, Refused(403, str(error)), {})
        except NotFound as error:
            return self._failed(OPEN_INFERENCE, None, Refused(404, str(error)), {})
        except (Unavailable, OSError) as error:
            return self._failed(OPEN_INFERENCE, None, Refused(TOO_BUSY, str(error)), {})
        return self._reply(Reply(b""))

    def refuse_body(self, limit: int) -> Response:
        """The answer to a body over the limit, which is not read to its end."""
        message = f"The body is larger than {limit} bytes."
        return self._refuse(OPEN_INFERENCE, None, 413, message, (b"connection", b"close"))

    # -- infer ---------------------------------------------------------------------------------------------------------

    def _inferred(
        self, form: Form, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int = 0
    ) -> Response:
        began = began or perf_counter_ns()
        try:
            taken = self._take(form, compiled, headers, body, began)
            response = self._concluded(taken, self._executed(taken), headers)
        except _FORESEEN as error:
            response = self._failed(form, compiled, error, headers, began, len(body))
        return response if len(response.body) < LEAST_BYTES else _fitted(headers, response)

    def _concluded(self, taken: Taken, done: Execution, headers: Mapping[bytes, bytes]) -> Response:
        return self._replied(self._recorded(taken, done, headers))

    def _replied(self, reply: Reply | bytes) -> Response:
        if isinstance(reply, Reply) or self.draining:
            return self._reply(reply if isinstance(reply, Reply) else Reply(reply))
        return Response(200, [JSON, (b"content-length", b"%d" % len(reply))], reply)

    # -- everything else -----------------------------------------------------------------------------------------------

    def _answer(self, routes: Routes, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        parts = path.strip("/").split("/")
        if parts == ["metrics"]:
            _require(method, "GET")
            return self._reply(Reply(self._metrics.exposition(), TEXT))
        if parts[0] != "v2":
            return self._beside(routes, method, path, parts)
        if parts[1:2] == ["models"] and len(parts) >= 3:
            return self._model(routes, method, parts[2:], headers, body)
        if parts[1:2] == ["repository"]:
            return self._repository(routes, method, parts[2:], headers, body)
        _require(method, "GET")
        if len(parts) == 1:
            return self._json(models.server_metadata())
        if parts[1:] in (["health", "live"], ["health", "ready"]):
            return self._health(routes, ready=parts[2] == "ready")
        raise Refused(404, f"There is nothing at {path[:200]}.")

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
        is_ready = routes is not NO_ROUTES and not self.draining
        known = {"live": True, "ready": is_ready, "revision": routes.revision, "failures": dict(self.failures)}
        known["breakers"] = self._guard.breakers.not_closed()
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
            return self._json(models.index(routes.endpoints, self.failures, self.unloaded, only_ready=ready))
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
        self,
        form: Form,
        compiled: CompiledEndpoint | None,
        error: Refused | LimitExceeded | Unavailable,
        headers: Mapping[bytes, bytes],
        began: int = 0,
        body_bytes: int = 0,
    ) -> Response:
        status = error.status if isinstance(error, Refused) else TOO_BUSY
        self._tell_of_refusal(compiled, error, status, headers, began, body_bytes)
        if isinstance(error, OverQuota):
            later = (b"retry-after", b"%d" % error.retry_after)
            return self._refuse(form, compiled, error.status, error.message, later)
        if isinstance(error, Refused):
            more = (RETRY_AFTER,) if error.status == TOO_BUSY else ()
            return self._refuse(form, compiled, error.status, error.message, *more)
        return self._refuse(form, compiled, TOO_BUSY, str(error), RETRY_AFTER)

    def _refuse(
        self, form: Form, compiled: CompiledEndpoint | None, status: int, message: str, *more: Header
    ) -> Response:
        self._metrics.requests[compiled.endpoint.name if compiled else "", status] += 1
        return self._reply(form.refusal(status, message), *more, status=status)


def _priority(asked: Asked) -> int:
    handling = asked.compiled.handling
    return Priority.NORMAL if handling is None else priority_of(handling.policy, asked.headers)


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


def _require(method: str, wanted: str) -> None:
    if method != wanted and not (wanted == "GET" and method == "HEAD"):
        raise Refused(405, f"{method[:20]} is not allowed here; use {wanted}.")
