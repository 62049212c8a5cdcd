"""Where a webhook may point: no address of our own network, however it is written or resolved.

The control plane trusts who reaches it over loopback, and networks trust who is inside. So a URL given by one person
must not make the platform call such places for them, unless the operator says so.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.webhooks.mail import check_address, is_mail

MAX_URL_LENGTH = 2_000
PORTS = {"http": 80, "https": 443}
PRIVATE_HINT = "The setting webhooks_private allows it."

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], list[Address]]

# Spellings of an IPv4 address in IPv6: its last 32 bits. (RFC 4291 2.5.5, RFC 6052, RFC 8215)
_EMBEDDING = (IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What an operator allows beyond https to public addresses."""

    private: bool = False
    plain: bool = False


def check_url(url: str, rules: AddressRules) -> str:
    """The URL, if a webhook may have it. Names are not resolved: that is done, and judged, each time it is called.

    Raises InvalidInput for what is no URL, and for an address that the rules forbid.
    """
    if not url.strip():
        raise InvalidInput("Webhook URL cannot be empty or just whitespace.")
    parts = _parsed(url)
    if is_mail(url):
        return check_address(url)
    if parts.scheme not in PORTS:
        raise InvalidInput(f"Invalid webhook URL scheme {parts.scheme!r}: use https.")
    host = parts.hostname or ""
    if not host:
        raise InvalidInput(f"Invalid webhook URL {url[:200]!r}: it names no host.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "Invalid webhook URL: it holds a user or password, which would be shown to whoever lists it."
        )
    literal = _literal(host)
    local = host == "localhost" or host.endswith(".localhost") or (literal is not None and literal.is_loopback)
    if not rules.private and (local or (literal is not None and not is_public(literal))):
        raise _private(host, host)
    if parts.scheme == "http" and not rules.plain and not (local and rules.private):
        raise InvalidInput(
            "Invalid webhook URL scheme 'http': use https.", hint="The setting webhooks_plain allows http."
        )
    return url


def split_url(url: str) -> tuple[str, str, int, str]:
    """(scheme, host, port, path with query) of a checked URL."""
    parts = _parsed(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme], target


def permitted(host: str, port: int, rules: AddressRules, resolve: Resolver) -> list[Address]:
    """Every address of a host, to be connected to as they are. Raises InvalidInput when any of them is private."""
    found = resolve(host, port)
    if not rules.private:
        for address in found:
            if not is_public(address):
                raise _private(host, str(address))
    return found


def is_public(address: Address) -> bool:
    """Whether it is on the public internet, also when an IPv4 address is wrapped in an IPv6 one."""
    inner = _unwrapped(address)
    if isinstance(inner, IPv6Address) and (inner.is_site_local or inner in _LOCAL_NAT64):
        return False
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)


def system_resolver(seconds: float) -> Resolver:
    """The operating system's resolver, waited for no longer than `seconds`. It raises Unavailable."""

    def resolve(host: str, port: int) -> list[Address]:
        found: list[Address] = []
        problem: list[str] = ["it took too long"]

        def ask() -> None:
            try:
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found.extend(dict.fromkeys(ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers))
            except (OSError, UnicodeError, ValueError) as error:
                problem[0] = str(error)

        asking = threading.Thread(target=ask, name="webhook-resolver", daemon=True)  # getaddrinfo cannot be interrupted
        asking.start()
        asking.join(seconds)
        if asking.is_alive() or not found:
            raise Unavailable(f"The host {host!r} cannot be resolved: {problem[0]}.")
        return found

    return resolve


def _parsed(url: str) -> SplitResult:
    if len(url) > MAX_URL_LENGTH:
        raise InvalidInput(
            f"Invalid webhook URL: it has {len(url)} characters, and at most {MAX_URL_LENGTH} are taken."
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput(
            f"Invalid webhook URL {url[:200]!r}: write it in printable ASCII.",
            hint="Percent-encode paths; punycode names.",
        )
    try:
        parts = urlsplit(url)
        valid_port = parts.port is None or parts.port > 0
    except ValueError as error:
        raise InvalidInput(f"Invalid webhook URL {url[:200]!r}: {error}.") from None
    if not valid_port:
        raise InvalidInput(f"Invalid webhook URL {url[:200]!r}: port 0 cannot be called.")
    return parts


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _EMBEDDING):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _private(host: str, address: str) -> InvalidInput:
    resolved = "" if host == address else f" It resolves to {address}."
    return InvalidInput(f"A webhook may not call {host!r}: it is not a public address.{resolved}", hint=PRIVATE_HINT)
