"""One request: receivers that fail, hang, redirect, drip and lie; and no second look-up of a name."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bailiwick.webhooks.address import Address, AddressRules
from bailiwick.webhooks.model import Answer
from bailiwick.webhooks.sender import ORIGIN_HEADER, Sender
from tests_support.receiver import OK, Behaviour, Got, answers, drips, hangs, receiving, status

RULES = AddressRules(private=True)
LOCAL = Sender(RULES, total_seconds=1.0)


def posted(behave: Behaviour, sender: Sender = LOCAL) -> Answer:
    with receiving(behave) as receiver:
        return sender.post(receiver.url + "/hook?a=1", {"Content-Type": "application/json"}, b'{"a": 1}')


def test_a_request_arrives_as_it_was_meant() -> None:
    with receiving() as receiver:
        answer = LOCAL.post(receiver.url + "/hook?a=1", {"X-Mark": "m"}, b"body")
        (got,) = receiver.got
    assert (answer.status, answer.text, answer.problem) == (200, "ok", "")
    assert (got.path, got.body, got.headers["x-mark"]) == ("/hook?a=1", b"body", "m")
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers[ORIGIN_HEADER.lower()] == "webhook"
    assert got.headers["user-agent"].startswith("bailiwick/")


@pytest.mark.parametrize("code", [201, 204, 400, 404, 429, 500, 503])
def test_the_status_is_the_answer(code: int) -> None:
    answer = posted(answers(status(code)))
    assert answer.status == code
    assert answer.succeeded == (code < 300)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with receiving() as other:
        answer = posted(answers(status(302, f"Location: {other.url}/internal\r\n")))
        assert (answer.status, answer.succeeded, other.got) == (302, False, [])


def test_a_receiver_that_hangs_is_waited_for_no_longer_than_allowed() -> None:
    begun = time.monotonic()
    answer = posted(hangs())
    assert answer.status is None
    assert answer.problem == "no answer within 1 s"
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize("response", [OK, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000])
def test_a_receiver_that_drips_is_waited_for_no_longer_than_allowed(response: bytes) -> None:
    begun = time.monotonic()
    assert posted(drips(response, 0.1)).status is None
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nno length at all",
    ],
)
def test_who_lies_about_the_length_of_an_answer_has_answered_all_the_same(response: bytes) -> None:
    begun = time.monotonic()
    assert posted(answers(response)).status == 200
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize("response", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 banana\r\n\r\n", b"\x00" * 70_000])
def test_what_is_no_http_is_a_problem_and_no_crash(response: bytes) -> None:
    answer = posted(answers(response))
    assert answer.status is None
    assert answer.problem


def test_an_endless_answer_is_read_to_its_beginning_only() -> None:
    def endless(connection: socket.socket, _got: Got) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    answer = posted(endless)
    assert (answer.status, answer.text) == (200, "x" * 1000)


def test_an_answer_that_is_no_text_is_kept_as_text() -> None:
    assert posted(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\x00a")).text == "\ufffda"


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7_000, 7_000),
        ("later", None, None),
        ("-1", None, None),
        ("99999999999999999999", 1, 10**13),
        (format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1), usegmt=True), 1, 3_601_000),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, least: int | None, most: int | None) -> None:
    asked = posted(answers(status(429, f"Retry-After: {value}\r\n"))).retry_after_ms
    if least is None or most is None:
        assert asked is None
    else:
        assert asked is not None
        assert least <= asked <= most


def test_nothing_is_connected_to_before_its_address_is_judged() -> None:
    with receiving() as receiver:
        answer = Sender(AddressRules(plain=True)).post(f"http://localtest.example:{receiver.port}/", {}, b"")
        assert answer.status is None
        strict = Sender(AddressRules(plain=True), resolve=lambda _host, _port: [ip_address("127.0.0.1")])
        answer = strict.post(f"http://rebind.example:{receiver.port}/", {}, b"")
        assert "not a public address" in answer.problem
        assert receiver.got == []


def test_a_name_is_resolved_once_and_the_judged_address_is_the_one_connected_to() -> None:
    """DNS that changes its answer between the judgement and the connection changes nothing."""
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1")]

    with receiving() as receiver:
        sender = Sender(AddressRules(private=True, plain=True), resolve=resolve)
        answer = sender.post(f"http://does-not-exist.invalid:{receiver.port}/", {}, b"")
        assert (answer.status, asked) == (200, ["does-not-exist.invalid"])
        assert receiver.got[0].headers["host"] == f"does-not-exist.invalid:{receiver.port}"


def test_the_next_address_is_tried_when_one_does_not_take_the_connection() -> None:
    both = [ip_address("127.0.0.2"), ip_address("127.0.0.1")]
    with receiving() as receiver:
        sender = Sender(AddressRules(private=True, plain=True), resolve=lambda _host, _port: both)
        assert sender.post(f"http://two.example:{receiver.port}/", {}, b"").status == 200


def test_over_tls_the_certificate_must_be_the_names(tmp_path: Path) -> None:
    authority = _certificate(tmp_path, "good.example")
    with _tls_receiver(tmp_path) as port:
        resolve = lambda _host, _port: [ip_address("127.0.0.1")]  # noqa: E731
        trusting = Sender(RULES, resolve=resolve, trust=lambda: ssl.create_default_context(cafile=str(authority)))
        assert trusting.post(f"https://good.example:{port}/", {}, b"{}").status == 200
        wrong = trusting.post(f"https://bad.example:{port}/", {}, b"{}")
        assert wrong.status is None
        assert "CERTIFICATE_VERIFY_FAILED" in wrong.problem
        unknown = Sender(RULES, resolve=resolve).post(f"https://good.example:{port}/", {}, b"{}")
        assert "CERTIFICATE_VERIFY_FAILED" in unknown.problem


def _certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem"


class _tls_receiver:  # noqa: N801 - used as a word
    def __init__(self, folder: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._listening = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(raw, server_side=True) as connection:
                    data = b""
                    while not data.endswith(b"{}"):  # closing on unread bytes would take the answer back
                        data += connection.recv(65536) or b"{}"
                    connection.sendall(OK)
            except OSError:
                continue
