"""Mail as one more way out: taken, put off, refused; one plain address, and no header of somebody else's making."""

from __future__ import annotations

import socket

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.webhooks.address import AddressRules, check_url
from bailiwick.webhooks.mail import MailServer
from bailiwick.webhooks.sender import Sender
from tests_support.smtp import MailBox, smtp_server

HEADERS = {"Content-Type": "text/plain", "Subject": "[bailiwick] Ä change", "Message-ID": "<d1@bailiwick>"}


def sender_to(box: MailBox, **options: object) -> Sender:
    server = MailServer(box.host, box.port, "bailiwick@example.com", **options)  # type: ignore[arg-type]
    return Sender(AddressRules(), total_seconds=5.0, mail=server)


def test_mail_arrives_as_it_was_written() -> None:
    with smtp_server() as box:
        answer = sender_to(box).post("mailto:data@example.com", HEADERS, "Grüße\n.\nend".encode())
        assert (answer.status, answer.succeeded) == (250, True)
        [(recipient, message)] = box.received
    assert recipient == "data@example.com"
    assert (message["From"], message["To"]) == ("bailiwick@example.com", "data@example.com")
    assert (message["Subject"], message["Message-ID"]) == ("[bailiwick] Ä change", "<d1@bailiwick>")
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == "Grüße\n.\nend"


@pytest.mark.parametrize(
    ("refusal", "status", "problem"),
    [
        ("550 no such user", 422, "The mail server refused: 550 no such user"),
        ("451 come back later", None, "The mail server put it off: 451 come back later"),
    ],
)
def test_what_is_refused_is_not_tried_again_and_what_is_put_off_is(
    refusal: str, status: int | None, problem: str
) -> None:
    with smtp_server() as box:
        box.refusal = refusal
        answer = sender_to(box).post("mailto:nobody@example.com", HEADERS, b"text")
        assert (answer.status, answer.problem, answer.succeeded) == (status, problem, False)
        assert box.received == []


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        box = MailBox(port=closed.getsockname()[1])
    answer = sender_to(box).post("mailto:a@example.com", HEADERS, b"text")
    assert answer.status is None
    assert answer.problem.startswith("ConnectionRefusedError")


def test_a_password_is_not_sent_without_tls() -> None:
    with smtp_server() as box:
        answer = sender_to(box, user="u", password="secret").post("mailto:a@example.com", HEADERS, b"x")
        assert "offers no TLS" in answer.problem


def test_without_a_server_no_mail_is_sent() -> None:
    answer = Sender(AddressRules()).post("mailto:a@example.com", HEADERS, b"x")
    assert "smtp_url names no mail server" in answer.problem


@pytest.mark.parametrize(
    "url",
    [
        "mailto:",
        "mailto:a",
        "mailto:a@b@c",
        "mailto:a@example.com?subject=x",
        "mailto:a@example.com,b@example.com",
        "mailto:a@example.com%0d%0aBcc:b@example.com",
        "mailto:a@example..com",
        "mailto:<a@example.com>",
    ],
)
def test_only_one_plain_address_is_taken(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url, AddressRules())


def test_settings_name_a_server() -> None:
    server = MailServer.of("smtps://u%40x:p%2Fw@mail.example.com", "b@example.com")
    assert server == MailServer("mail.example.com", 465, "b@example.com", "u@x", "p/w", implicit_tls=True)
    assert MailServer.of("", "") is None
    plain = MailServer.of("smtp://localhost:25", "b@example.com")
    assert plain is not None
    assert (plain.port, plain.implicit_tls) == (25, False)
    with pytest.raises(InvalidInput, match="smtp_url must be"):
        MailServer.of("http://x", "b@example.com")
    with pytest.raises(InvalidInput, match="mail_from"):
        MailServer.of("smtp://x", "")
