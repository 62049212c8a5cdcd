"""What each method of the protocol answers, from message to message: it knows no HTTP/2, no sockets and no event loop.

Inference goes to the handler as tensors. Everything else is what the handler answers over HTTP at the URL of the same
meaning, so that the two protocols cannot come to differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter_ns
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote

from google.protobuf.message import DecodeError

from bailiwick.serving.gathering import Elsewhere
from bailiwick.serving.grpc.form import Message
from bailiwick.serving.grpc.responses import FINAL, field
from bailiwick.serving.grpc.status import CallFailed, Code, failed
from bailiwick.serving.handler import LATER, InferenceHandler
from bailiwick.serving.http.form import FORESEEN, Asked, Failure, Outcome
from bailiwick.serving.messages.classes import message
from bailiwick.serving.messages.requests import InferMessage, read_infer
from bailiwick.serving.router import CompiledEndpoint, goes_apart
from bailiwick.serving.turns import Turn

NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})
SERVICE = "inference.GRPCInferenceService"

Unary = Callable[[bytes, Elsewhere], bytes | Coroutine[Any, Any, bytes]]
"""Answers a message at once, or later where it has to wait."""


class InferenceService:
    """All methods by path. A method raises CallFailed for what it cannot answer."""

    def __init__(self, handler: InferenceHandler) -> None:
        self._handler = handler
        at_once = (
            ("ServerLive", self._server_live),
            ("ServerReady", self._server_ready),
            ("ModelReady", self._model_ready),
            ("ServerMetadata", self._server_metadata),
            ("ModelMetadata", self._model_metadata),
            ("ModelConfig", self._model_config),
            ("ModelStatistics", self._model_statistics),
            ("RepositoryIndex", self._repository_index),
        )
        self.unary: dict[str, Unary] = {f"/{SERVICE}/{name}": without_waiting(method) for name, method in at_once}
        self.unary[f"/{SERVICE}/RepositoryModelLoad"] = self._repository_load
        self.unary[f"/{SERVICE}/RepositoryModelUnload"] = self._repository_unload

    @property
    def draining(self) -> bool:
        """Whether no more work should be sent here."""
        return self._handler.draining

    @property
    def ready(self) -> bool:
        """Whether the server says that it is ready."""
        return self._handler.handle("GET", "/v2/health/ready", {}, b"").status == 200

    @property
    def tells_callers_apart(self) -> bool:
        """Whether an endpoint has a policy, which may ask who calls."""
        return self._handler.routes.handled

    @property
    def turn(self) -> Turn:
        """Where calls that came together are answered together, with those of other protocols."""
        return self._handler.turn

    def settle(self) -> None:
        """To be called when an answer has left."""
        self._handler.settle_if_needed()

    # -- inference -----------------------------------------------------------------------------------------------------

    def asked(self, data: bytes, headers: Mapping[bytes, bytes] = NO_HEADERS, *, more: bytes = b"") -> Asked:
        """A ModelInferRequest, and what answers it; `more` are fields of its answer. Raises CallFailed."""
        began = perf_counter_ns()
        try:
            return self._addressed(read_infer(data), data, headers, began, more)
        except FORESEEN as error:
            raise self._failed(None, error) from None

    def _addressed(
        self, sent: InferMessage, data: bytes, headers: Mapping[bytes, bytes], began: int, more: bytes = b""
    ) -> Asked:
        compiled = self._handler.find(sent.model, sent.version)
        return Asked(compiled, headers, data, began, Message(sent, more))

    def takes_long(self, asked: Asked) -> bool:
        """Whether it has to be answered by `infer_apart`."""
        return asked.big or goes_apart(asked.compiled)

    def infer(self, asked: Asked) -> bytes:
        """The ModelInferResponse. Raises CallFailed."""
        return self.answer(asked, self._handler.run(asked))

    async def infer_apart(self, asked: Asked, elsewhere: Elsewhere) -> bytes:
        """The same where the model may take long."""
        return self.answer(asked, await self._handler.run_apart(asked, elsewhere))

    async def infer_bulky(
        self, message_of: Callable[[], bytes], headers: Mapping[bytes, bytes], elsewhere: Elsewhere
    ) -> bytes:
        """The same where it takes long to read the message: `message_of` gives it, in any thread."""
        began = perf_counter_ns()

        def read() -> tuple[InferMessage, bytes]:
            data = message_of()
            return read_infer(data), data

        try:
            sent, data = await self._handler.aside(read, elsewhere)
            asked = self._addressed(sent, data, headers, began)
        except FORESEEN as error:
            raise self._failed(None, error) from None
        return await self.infer_apart(asked, elsewhere)

    def answer(self, asked: Asked, outcome: Outcome) -> bytes:
        """What a call came to. Raises CallFailed."""
        if isinstance(outcome, bytes):
            return outcome
        raise self._failed(asked.compiled, cast("Failure", outcome), asked)

    def _failed(self, compiled: CompiledEndpoint | None, error: Failure, asked: Asked | None = None) -> CallFailed:
        found = self._handler.refused(compiled, error, asked)
        return failed(found.status, found.message)

    def infer_on_stream(self, data: bytes, elsewhere: Elsewhere) -> bytes | Coroutine[Any, Any, bytes]:
        """The ModelStreamInferResponse; what cannot be answered is said in it, and the stream goes on."""
        try:
            asked = self.asked(data, more=FINAL)
            if self.takes_long(asked):
                return self._later_on_stream(asked, elsewhere)
            return _in_stream(self.infer(asked))
        except CallFailed as error:
            return _stream_error(data, error)

    async def _later_on_stream(self, asked: Asked, elsewhere: Elsewhere) -> bytes:
        try:
            return _in_stream(await self.infer_apart(asked, elsewhere))
        except CallFailed as error:
            return _stream_error(asked.body, error)

    # -- everything else -----------------------------------------------------------------------------------------------

    def _server_live(self, data: bytes) -> bytes:
        _read("ServerLiveRequest", data)
        return _written_as("ServerLiveResponse", {"live": True})

    def _server_ready(self, data: bytes) -> bytes:
        _read("ServerReadyRequest", data)
        return _written_as("ServerReadyResponse", {"ready": self.ready})

    def _model_ready(self, data: bytes) -> bytes:
        sent = _read("ModelReadyRequest", data)
        answer = self._handler.handle("GET", f"{_model(sent)}/ready", {}, b"")
        if answer.status == 404:  # for what is not there, as Triton does
            raise failed(404, _said(answer.body))
        return _written_as("ModelReadyResponse", {"ready": answer.status == 200})

    def _server_metadata(self, data: bytes) -> bytes:
        _read("ServerMetadataRequest", data)
        return _written_as("ServerMetadataResponse", self._ask("GET", "/v2"))

    def _model_metadata(self, data: bytes) -> bytes:
        return _written_as("ModelMetadataResponse", self._ask("GET", _model(_read("ModelMetadataRequest", data))))

    def _model_config(self, data: bytes) -> bytes:
        config = self._ask("GET", f"{_model(_read('ModelConfigRequest', data))}/config")
        return _written_as("ModelConfigResponse", {"config": config})

    def _model_statistics(self, data: bytes) -> bytes:
        sent = _read("ModelStatisticsRequest", data)
        path = f"{_model(sent)}/stats" if sent.name else "/v2/models/stats"
        return _written_as("ModelStatisticsResponse", self._ask("GET", path))

    def _repository_index(self, data: bytes) -> bytes:
        sent = _read("RepositoryIndexRequest", data)
        models = self._ask("POST", "/v2/repository/index", {"ready": sent.ready})
        return _written_as("RepositoryIndexResponse", {"models": models})

    async def _repository_load(self, data: bytes, elsewhere: Elsewhere) -> bytes:
        await self._change(_read("RepositoryModelLoadRequest", data).model_name, "load", elsewhere)
        return _written_as("RepositoryModelLoadResponse", {})

    async def _repository_unload(self, data: bytes, elsewhere: Elsewhere) -> bytes:
        await self._change(_read("RepositoryModelUnloadRequest", data).model_name, "unload", elsewhere)
        return _written_as("RepositoryModelUnloadResponse", {})

    async def _change(self, name: str, verb: str, elsewhere: Elsewhere) -> None:
        if not name or "/" in name:
            raise failed(404, f"There is no endpoint {name[:100]!r} to {verb}.")
        path = f"/v2/repository/models/{name}/{verb}"
        answer = self._handler.handle("POST", path, {}, b"")
        if answer.status == LATER:
            answer = await cast("Any", elsewhere)(partial(self._handler.handle_later, path))
        if answer.status != 200:
            raise failed(answer.status, _said(answer.body))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        sent = b"" if body is None else json.dumps(body).encode()
        answer = self._handler.handle(method, path, {}, sent)
        if answer.status != 200:
            raise failed(answer.status, _said(answer.body))
        return json.loads(answer.body) if answer.body else {}


def without_waiting(method: Callable[[bytes], bytes]) -> Unary:
    """A method that has its answer at once."""
    return lambda data, _: method(data)


def _in_stream(answer: bytes) -> bytes:
    return field(0x12, answer)


def _stream_error(data: bytes, error: CallFailed) -> bytes:
    """As Triton says it: the message, and an answer that has nothing but the id of the request."""
    try:
        given = message("bailiwick.wire.ModelInferRequest").FromString(data).id
    except DecodeError:
        given = ""
    return field(0x0A, error.message.encode("utf-8", "replace")) + _in_stream(field(0x1A, given.encode()))


def _read(name: str, data: bytes) -> Any:
    try:
        return message(f"inference.{name}").FromString(data)
    except DecodeError as error:
        raise CallFailed(Code.INVALID_ARGUMENT, f"The message is not a {name}: {error}.") from None


def _written_as(name: str, value: Mapping[str, Any]) -> bytes:
    """The JSON form of a message as its bytes; what the message does not have is left out."""
    from google.protobuf import json_format  # seldom needed, and slow to load

    made = message(f"inference.{name}")()
    json_format.ParseDict(value, made, ignore_unknown_fields=True)
    return bytes(made.SerializeToString())


def _model(sent: Any) -> str:
    if not sent.name:
        raise CallFailed(Code.INVALID_ARGUMENT, "The request names no model.")
    path = f"/v2/models/{quote(sent.name, safe='')}"
    return f"{path}/versions/{quote(sent.version, safe='')}" if sent.version else path


def _said(body: bytes) -> str:
    return str(json.loads(body)["error"])
