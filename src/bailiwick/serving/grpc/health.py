"""The gRPC health checking protocol, for whoever watches servers without knowing what they serve."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from bailiwick.serving.grpc.connection import Call
from bailiwick.serving.grpc.service import SERVICE, InferenceService
from bailiwick.serving.grpc.status import CallFailed, Code
from bailiwick.serving.messages.classes import message

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_KNOWN = frozenset({"", SERVICE})


class Health:
    """`tick` tells those who watch what has changed."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service
        self._watchers: set[_Watcher] = set()

    def check(self, data: bytes) -> bytes:
        """The status of the server, or of the one service it has. Raises CallFailed (NOT_FOUND)."""
        name = asked_service(data)
        if name not in _KNOWN:
            raise CallFailed(Code.NOT_FOUND, f"There is no service {name[:100]!r}; there is {SERVICE}.")
        return _response(self.status)

    def watch(self, call: Call) -> _Watcher:
        """A call that is told the status whenever it changes."""
        return _Watcher(self, call)

    @property
    def status(self) -> int:
        """Of the server."""
        return _SERVING if self._service.ready else _NOT_SERVING

    def tick(self) -> None:
        """To be called now and then."""
        if self._watchers:
            status = self.status
            for watcher in list(self._watchers):
                watcher.tell(status)

    def add(self, watcher: _Watcher) -> None:
        """Tell it from now on."""
        self._watchers.add(watcher)

    def drop(self, watcher: _Watcher) -> None:
        """Tell it no more."""
        self._watchers.discard(watcher)


class _Watcher:
    """One call of Watch."""

    def __init__(self, health: Health, call: Call) -> None:
        self._health = health
        self._call = call
        self._told: int | None = None

    def message(self, data: bytes) -> None:
        if self._told is not None:
            raise CallFailed(Code.INVALID_ARGUMENT, "Watch takes one message.")
        if asked_service(data) in _KNOWN:
            self.tell(self._health.status)
            self._health.add(self)
        else:
            self.tell(_SERVICE_UNKNOWN)

    def tell(self, status: int) -> None:
        if status != self._told:
            self._told = status
            self._call.send(_response(status))

    def ended(self) -> None:
        if self._told is None:
            self._call.fail(CallFailed(Code.INVALID_ARGUMENT, "Watch needs a message."))

    def taken(self) -> None: ...

    def gone(self) -> None:
        self._health.drop(self)


def asked_service(data: bytes) -> str:
    """Raises CallFailed for what is no HealthCheckRequest."""
    try:
        return str(message("grpc.health.v1.HealthCheckRequest").FromString(data).service)
    except DecodeError as error:
        raise CallFailed(Code.INVALID_ARGUMENT, f"The message is not a HealthCheckRequest: {error}.") from None


def _response(status: int) -> bytes:
    return bytes(message("grpc.health.v1.HealthCheckResponse")(status=status).SerializeToString())
