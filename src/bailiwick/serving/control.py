"""What a worker asks of the control plane, over the standard library's HTTP: the route table and packages."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bailiwick.core.errors import Conflict, Corrupted, InvalidInput, NotAllowed, NotFound, Unavailable
from bailiwick.endpoints.model import ROUTE_FORMAT, RouteTable
from bailiwick.endpoints.reporting import WorkerReport

POLL_SECONDS = 25
TIMEOUT_SECONDS = 35

_CHUNK = 1 << 20
_NOT_FOUND, _CONFLICT, _UNCHANGED, _OK = 404, 409, 204, 200

_table = msgspec.json.Decoder(RouteTable)


class _Held(msgspec.Struct):
    held: int


_held = msgspec.json.Decoder(_Held)


class ControlClient:
    """One request a connection: a control plane that restarts is met again by the next call."""

    def __init__(self, address: str, token: str = "", *, workspace: str = "default") -> None:
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInput(f"control_url {address!r} is not an http:// or https:// address.")
        self._address = address
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Bailiwick-Workspace": workspace}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def routes(self, known: int | None, wait: int = POLL_SECONDS) -> RouteTable | None:
        """The route table, at once or as soon as its revision is not the one `known`; None after `wait` seconds without one.

        Raises Unavailable, NotAllowed, Corrupted.
        """
        query = "" if known is None else f"?after={known}&wait={wait}"
        connection, response = self._get(f"/api/v1/routes{query}")
        try:
            if response.status == _UNCHANGED:
                return None
            return parse_table(self._read(response))
        finally:
            connection.close()

    def fetch(self, digest: str, target: Path) -> None:
        """Write a blob to `target`, whole and checked or not at all. Raises NotFound, Corrupted, Unavailable."""
        connection, response = self._get(f"/api/v1/blobs/{digest}")
        try:
            if response.status != _OK:
                self._read(response)
            write_whole(target, response, digest)
        finally:
            connection.close()

    def report(self, report: WorkerReport, timeout: float) -> None:
        """Say how this worker is doing. Raises Unavailable, NotAllowed."""
        body = msgspec.json.encode(report)
        connection, response = self._send("POST", "/api/v1/serving/reports", body, timeout=timeout)
        try:
            if response.status != _UNCHANGED:
                self._read(response)
        finally:
            connection.close()

    def send_spool(self, stream: str, start: int, *, begins: int, data: bytes) -> int:
        """Hand on a part of a spool's segment; returns the bytes of the segment that the control plane has.

        Raises Conflict when the spool is on the control plane's own machine; Unavailable, NotAllowed.
        """
        body = msgspec.json.encode({"begins": begins, "data": data})
        return _held.decode(self._ask("PUT", f"/api/v1/spools/{stream}/{start}", body)).held

    def finish_spool(self, stream: str) -> None:
        """Say that everything of a spool was handed on. Raises what `send_spool` raises."""
        self._ask("DELETE", f"/api/v1/spools/{stream}", b"")

    def _ask(self, method: str, path: str, body: bytes) -> bytes:
        connection, response = self._send(method, path, body)
        try:
            return self._read(response)
        finally:
            connection.close()

    def _get(self, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        return self._send("GET", path, None)

    def _send(
        self, method: str, path: str, body: bytes | None, *, timeout: float = TIMEOUT_SECONDS
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connect(self._host, self._port, timeout=timeout)
        headers = {**self._headers, "Content-Type": "application/json"} if body else self._headers
        try:
            connection.request(method, self._prefix + path, body=body, headers=headers)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unavailable(f"The control plane at {self._address} cannot be reached: {error}.") from error

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The control plane at {self._address} broke off: {error}.") from error
        if response.status == _OK:
            return body
        said = body[:300].decode(errors="replace")
        if response.status in {401, 403}:
            raise NotAllowed(
                f"The control plane refuses this worker ({response.status}): {said}", hint="Check `token`."
            )
        if response.status == _CONFLICT:
            raise Conflict(f"The control plane at {self._address} refuses it: {said}")
        if response.status == _NOT_FOUND:
            raise NotFound(f"The control plane at {self._address} does not have it: {said}")
        raise Unavailable(f"The control plane at {self._address} answered {response.status}: {said}")


def parse_table(data: bytes) -> RouteTable:
    """Raises Corrupted for what is not a route table of the format this program reads."""
    try:
        table = _table.decode(data)
    except msgspec.DecodeError as error:
        raise Corrupted(f"The route table cannot be read: {error}.") from error
    if table.format != ROUTE_FORMAT:
        raise Corrupted(f"The route table has format {table.format}; this program reads {ROUTE_FORMAT}.")
    return table


def write_whole(target: Path, source: http.client.HTTPResponse, digest: str) -> None:
    """Temporary file, digest check, rename. Raises Corrupted, Unavailable; leaves nothing behind when it does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".")
    seen = hashlib.sha256()
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := source.read(_CHUNK):
                seen.update(chunk)
                file.write(chunk)
        if seen.hexdigest() != digest:
            raise Corrupted(f"Blob {digest} does not match its digest; it was cut short or changed on its way.")
        Path(temporary).replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"Blob {digest} could not be fetched: {error}.", hint="Is the disk full?") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
