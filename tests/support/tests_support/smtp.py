"""A real SMTP server that takes mail, or refuses it as it is told to."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailBox:
    """What arrived; `refusal` is the answer to the next recipients, such as `550 no such user`."""

    host: str = "127.0.0.1"
    port: int = 0
    refusal: str = ""
    received: list[tuple[str, EmailMessage]] = field(default_factory=list)


@contextmanager
def smtp_server() -> Iterator[MailBox]:
    """Listens on loopback without TLS, as a server beside the platform does."""
    box = MailBox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            recipient = ""
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ", 1)[0].upper()
                if verb == "EHLO":
                    self._say("250 here")
                elif verb == "RCPT":
                    recipient = line.partition("<")[2].partition(">")[0]
                    self._say(box.refusal or "250 ok")
                elif verb == "DATA":
                    self._say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) not in {b".\r\n", b""}:
                        lines.append(part.removeprefix(b"."))  # a line that begins with a dot is sent with two
                    message = message_from_bytes(b"".join(lines), policy=policy.default)
                    assert isinstance(message, EmailMessage)
                    box.received.append((recipient, message))
                    self._say("250 taken")
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield box
        server.shutdown()
        thread.join()
