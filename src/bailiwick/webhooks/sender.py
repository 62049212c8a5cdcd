"""One HTTP POST to an address that was judged before it is connected to, with an end to all waiting.

The name is resolved once and the connection made to the address that was judged, so DNS cannot change its mind in
between. Redirects are not followed: they would lead past that judgement.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse

from bailiwick._version import __version__
from bailiwick.core.errors import BailiwickError, Unavailable
from bailiwick.webhooks.address import (
    PORTS,
    Address,
    AddressRules,
    Resolver,
    check_url,
    permitted,
    split_url,
    system_resolver,
)
from bailiwick.webhooks.mail import SCHEME, MailServer, is_mail
from bailiwick.webhooks.model import Answer

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 5.0
RESPONSE_CHARACTERS = 1_000
BODY_PATIENCE_SECONDS = 0.5
ORIGIN_HEADER = "Bailiwick-Origin"
"""On everything the platform sends by itself; the control plane never takes a request that has it for a person's."""


class Sender:
    """Posts, and always comes back with an answer. Used from many threads at once."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        total_seconds: float = TOTAL_SECONDS,
        resolve: Resolver | None = None,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        mail: MailServer | None = None,
    ) -> None:
        self.rules = rules
        self._mail = mail
        self._total = total_seconds
        self._resolve = resolve or system_resolver(min(CONNECT_SECONDS, total_seconds))
        self._trust = trust
        self._context: ssl.SSLContext | None = None

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What the receiver said, or in words why it said nothing. Never raises for what a receiver does."""
        begun = time.monotonic()
        try:
            check_url(url, self.rules)
            if is_mail(url):
                answer = self._by_mail(url.removeprefix(SCHEME), headers, body)
            else:
                answer = self._post(url, headers, body, begun + self._total)
        except BailiwickError as error:
            answer = Answer(None, problem=str(error))
        except (OSError, HTTPException, ValueError) as error:
            spent = time.monotonic() - begun
            late = spent >= self._total * 0.99
            reason = f"no answer within {self._total:g} s" if late else f"{type(error).__name__}: {error}"
            answer = Answer(None, problem=reason[:RESPONSE_CHARACTERS])
        duration_ms = round((time.monotonic() - begun) * 1000)
        return Answer(answer.status, answer.text, answer.problem, duration_ms, answer.retry_after_ms)

    def _by_mail(self, address: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._mail is None:
            raise Unavailable("No mail can be sent: the setting smtp_url names no mail server.")
        return self._mail.send(address, headers, body, seconds=self._total)

    def _post(self, url: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        scheme, host, port, target = split_url(url)
        addresses = permitted(host, port, self.rules, self._resolve)
        with closing(_connected(addresses, port, deadline)) as raw, raw.dup() as handle:
            # A receiver that sends a byte now and then would outlast any timeout of a single read.
            watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [handle])
            watchdog.daemon = True
            watchdog.start()
            try:
                stream = self._secured(raw, host) if scheme == "https" else raw
                with closing(stream):
                    return _exchange(stream, _host_header(scheme, host, port), target, headers, body)
            finally:
                watchdog.cancel()

    def _secured(self, raw: socket.socket, host: str) -> ssl.SSLSocket:
        if self._context is None:
            self._context = self._trust()
        return self._context.wrap_socket(raw, server_hostname=host)


def _connected(addresses: list[Address], port: int, deadline: float) -> socket.socket:
    """A connection to the first of the judged addresses that takes it."""
    problem: OSError = OSError("it has no address")
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            connection = socket.create_connection((str(address), port), timeout=min(CONNECT_SECONDS, left))
        except OSError as error:
            problem = error
            continue
        connection.settimeout(max(0.05, deadline - time.monotonic()))
        return connection
    raise Unavailable(f"No connection: {problem.strerror or problem}.")


def _exchange(stream: socket.socket, host: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    connection = HTTPConnection(host)
    connection.sock = stream
    connection.putrequest("POST", target, skip_host=True, skip_accept_encoding=True)
    fixed = {
        "Host": host,
        "User-Agent": f"bailiwick/{__version__}",
        ORIGIN_HEADER: "webhook",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    for name, value in {**headers, **fixed}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    # The status is the answer. What follows is for people to read, and may lie about its length or never come.
    return Answer(response.status, _beginning(stream, response), retry_after_ms=_retry_after(response))


def _beginning(stream: socket.socket, response: HTTPResponse) -> str:
    """What of the body arrives soon, as text."""
    read = b""
    stream.settimeout(BODY_PATIENCE_SECONDS)
    end = time.monotonic() + BODY_PATIENCE_SECONDS
    with suppress(OSError, HTTPException, ValueError):
        while len(read) < 4 * RESPONSE_CHARACTERS and time.monotonic() < end:
            part = response.read1(4 * RESPONSE_CHARACTERS)
            if not part:
                break
            read += part
    return read.decode("utf-8", "replace").replace("\x00", "")[:RESPONSE_CHARACTERS]


def _retry_after(response: HTTPResponse) -> int | None:
    """Milliseconds of a Retry-After header in seconds or as a date; None where there is none that can be read."""
    text = (response.getheader("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1000
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0, round((moment.timestamp() - time.time()) * 1000))


def _host_header(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == PORTS[scheme] else f"{name}:{port}"


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
