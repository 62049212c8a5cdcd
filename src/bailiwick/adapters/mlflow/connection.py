"""Requests to an MLflow server over one keep-alive connection; passing faults are tried again, errors become ours."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bailiwick.core.errors import InvalidInput, NotFound, Unauthenticated, Unavailable

CHUNK_BYTES = 1 << 20
MAX_ANSWER_BYTES = 1 << 29
"""Of JSON: more than a page of runs with thousands of params each, less than what would fill the memory."""
TRIES = 5
FIRST_WAIT_SECONDS = 0.5

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_NOT_MLFLOW = "Is this the address of an MLflow server, with the path that its API is below?"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A bearer token, or a user with a password; neither for a server that asks for nothing."""

    token: str = ""
    user: str = ""
    password: str = ""

    def headers(self) -> dict[str, str]:
        """The header that proves them. Raises InvalidInput for what no header can hold."""
        if self.token:
            if not self.token.isascii() or not self.token.isprintable():
                raise InvalidInput("The token of the source holds characters that no HTTP header can.")
            return {"Authorization": f"Bearer {self.token}"}
        if self.user:
            return {"Authorization": f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"}
        return {}


class Refused(Unavailable):
    """The server is there and answers, but this request it will not, or by its own fault (HTTP 500) cannot, answer."""


class MlflowConnection:
    """One server, for one thread. `url` is its address as everything that arrives from it is marked: without credentials."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        workspace: str = "",
        timeout_seconds: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        scheme, host, port, prefix = _address(url)
        self.host, self.port, self._prefix, self._sleep = host, port, prefix, sleep
        named = f"[{host}]" if ":" in host else host
        usual = port == {"http": 80, "https": 443}[scheme]
        self.url = f"{scheme}://{named}{'' if usual else f':{port}'}{prefix}"
        self._headers = {"Accept": "application/json", **(credentials or Credentials()).headers()}
        if workspace:
            self._headers["X-MLFLOW-WORKSPACE"] = workspace
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=ssl.create_default_context())
            if scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=timeout_seconds)
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def read(self, method: str, path: str, body: Record | None = None, *, tries: int = TRIES) -> Record:
        """What a request is answered with, a JSON object; {} for an empty answer. Tried again as a whole."""
        value = self._again(lambda: self._document(method, path, body), tries)
        if not isinstance(value, dict):
            raise Unavailable(f"{self._told(path)} was not answered with a JSON object.", hint=_NOT_MLFLOW)
        return value

    def stream(self, path: str) -> Iterator[bytes]:
        """The bytes of an answer, in pieces. Raises Unavailable where fewer come than were announced: ask again then."""
        response = self._again(lambda: self._response("GET", path, None), TRIES)
        try:
            while chunk := response.read(CHUNK_BYTES):
                yield chunk
            missing = response.length
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unavailable(f"{self._told(path)} broke off: {_reason(error)}.") from error
        if missing:
            self._connection.close()
            raise Unavailable(f"{self._told(path)} broke off {missing:,} bytes before its end.")

    def _again(self, ask: Callable[[], Any], tries: int) -> Any:
        wait = FIRST_WAIT_SECONDS
        for left in range(tries - 1, -1, -1):
            try:
                return ask()
            except _Passing as passing:
                self._connection.close()
                if not left and passing.status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise Refused(f"{self.url} goes on answering {passing}.") from None
                if not left:
                    hint = "Is its address right, and is it running?"
                    raise Unavailable(
                        f"The MLflow server at {self.url} cannot be read: {passing}.", hint=hint
                    ) from None
            self._sleep(wait)
            wait *= 2
        raise AssertionError("at least one try")

    def _document(self, method: str, path: str, body: Record | None) -> Any:
        response = self._response(method, path, body)
        try:
            data = response.read(MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise _Passing(_reason(error)) from error
        if len(data) > MAX_ANSWER_BYTES:
            self._connection.close()
            raise Unavailable(f"{self._told(path)} was answered with more than {MAX_ANSWER_BYTES:,} bytes.")
        if response.length:
            raise _Passing("an answer broke off")
        if not data:
            return {}
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise Unavailable(f"{self._told(path)} was not answered in JSON.", hint=_NOT_MLFLOW) from None

    def _response(self, method: str, path: str, body: Record | None) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"} if data else self._headers
        try:
            self._connection.request(method, self._prefix + path, data, headers)
            response = self._connection.getresponse()
            if response.status == http.HTTPStatus.OK:
                return response
            said = response.read(10_000)
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(f"{self.url} cannot prove who it is: {error.verify_message}.") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Passing(_reason(error)) from error
        self._connection.close()  # whatever of the answer was not read goes with it
        if response.status in _PASSING:
            raise _Passing(f"HTTP {response.status} {_plain(said, 200)}".rstrip(), response.status)
        raise self._refused(path, response, said)

    def _refused(self, path: str, response: http.client.HTTPResponse, said: bytes) -> Exception:
        status, text = response.status, _plain(said, 300)
        if status in {401, 403}:
            return Unauthenticated(
                f"The MLflow server at {self.url} refuses to be read (HTTP {status}).",
                hint="Give a token in BAILIWICK_SOURCE_TOKEN, or a user with --source-user and the password when asked.",
            )
        if status in _MOVED:
            where = _plain((response.getheader("Location") or "elsewhere").encode(), 200)
            return InvalidInput(f"{self._told(path)} leads on to {where}.", hint="Use the address that it leads to.")
        if status == http.HTTPStatus.NOT_FOUND:
            return NotFound(f"{self._told(path)} does not exist: {text}")
        return Refused(f"{self._told(path)} was answered with HTTP {status}: {text}")

    def _told(self, path: str) -> str:
        return f"{self.url}{path.partition('?')[0][:300]}"


class _Passing(Exception):
    """Something that may go well the next time; `status` is that of an answer, 0 where none came."""

    def __init__(self, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.status = status


def _address(url: str) -> tuple[str, str, int, str]:
    wrong = InvalidInput(f"{url[:200]!r} is not the address of an MLflow server.", hint="Use http://host:5000.")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "Credentials do not belong into the address, which is shown and kept.",
            hint="Give the user with --source-user and the password when asked, or a token in BAILIWICK_SOURCE_TOKEN.",
        )
    if parts.query or parts.fragment:
        raise wrong
    return parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], parts.path.rstrip("/")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _plain(said: bytes, limit: int) -> str:
    return " ".join(said[: limit * 4].decode("utf-8", "replace").split())[:limit]
