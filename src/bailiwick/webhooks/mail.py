"""Mail to one address through the operator's server, answered as an HTTP receiver would answer."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.webhooks.model import Answer

SCHEME = "mailto:"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_PORTS = {"smtp": 587, "smtps": 465}
REFUSED = 422
"""What a server's permanent refusal (5yz) is told as: there is no use in trying again."""


def is_mail(url: str) -> bool:
    """Whether a webhook's URL is a mail address."""
    return url.startswith(SCHEME)


def check_address(url: str) -> str:
    """The `mailto:` URL of one plain address. Raises InvalidInput."""
    address = url.removeprefix(SCHEME)
    if len(address) > 320 or not _ADDRESS.fullmatch(address) or ".." in address:
        raise InvalidInput(
            f"Mail address {address[:200]!r} cannot be used.", hint="Write one plain address: mailto:name@example.com."
        )
    return url


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is given to. A password is sent only over TLS."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    implicit_tls: bool = False

    @classmethod
    def of(cls, url: str, sender: str) -> MailServer | None:
        """The server of the settings `smtp_url` and `mail_from`; None where there is none. Raises InvalidInput."""
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise InvalidInput("smtp_url must be smtp://HOST:PORT or smtps://HOST:PORT.")
        if not _ADDRESS.fullmatch(sender):
            raise InvalidInput(f"mail_from {sender!r} is no address.", hint="It is needed with smtp_url.")
        return cls(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            sender,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            implicit_tls=parts.scheme == "smtps",
        )

    def send(self, address: str, headers: Mapping[str, str], body: bytes, *, seconds: float) -> Answer:
        """What the server said: 250, a reason to try later, or `REFUSED` with its words. Raises OSError, Unavailable."""
        message = _message(self.sender, address, headers, body)
        try:
            with self._connected(seconds) as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = next(iter(refused.recipients.values()))
            return _answer(code, text)
        except smtplib.SMTPResponseException as refused:
            return _answer(refused.smtp_code, refused.smtp_error)
        except smtplib.SMTPException as error:
            return Answer(None, problem=f"The mail server failed: {error}")
        return Answer(250, "taken by the mail server")

    def _connected(self, seconds: float) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.implicit_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=seconds)
        try:
            self._greet(server, context)
        except BaseException:
            with suppress(OSError, smtplib.SMTPException):
                server.close()
            raise
        return server

    def _greet(self, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        server.ehlo()
        if not self.implicit_tls and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif self.user and not self.implicit_tls:
            raise Unavailable(f"Mail server {self.host} offers no TLS, so its password is not sent.")
        if self.user:
            server.login(self.user, self.password)


def _message(sender: str, address: str, headers: Mapping[str, str], body: bytes) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = sender, address
    for name, value in headers.items():
        if name.lower() not in {"content-type", "from", "to"}:
            message[name] = value
    message.set_content(body.decode())
    return message


def _answer(code: int, text: bytes | str) -> Answer:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    said = f"{code} {said}"[:1_000]
    if 500 <= code < 600:
        return Answer(REFUSED, said, problem=f"The mail server refused: {said}")
    return Answer(None, said, problem=f"The mail server put it off: {said}")
