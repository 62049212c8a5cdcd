"""Where a webhook may point: every spelling of a private address is one, and what a name means is judged when it is called."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.webhooks.address import AddressRules, check_url, is_public, permitted, split_url, system_resolver

STRICT = AddressRules()
PRIVATE = AddressRules(private=True)

HIDDEN = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
    "fec0::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
]  # fmt: skip
OPEN = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_private_address_is_not_public_however_it_is_wrapped(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", OPEN)
def test_a_public_address_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_makes_it_public(address: IPv4Address) -> None:
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_public(ip_address(wrapped)) == is_public(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "cannot be empty"),
        ("   ", "cannot be empty or just whitespace"),
        ("ftp://example.com", "Invalid webhook URL scheme 'ftp'"),
        ("example.com/hook", "Invalid webhook URL scheme ''"),
        ("http://example.com", "Invalid webhook URL scheme 'http'"),
        ("http://[invalid", "Invalid webhook URL"),
        ("https://", "names no host"),
        ("https://user:pass@example.com", "user or password"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "Invalid webhook URL"),
        ("https://exämple.com/", "printable ASCII"),
        ("https://example.com/a b", "printable ASCII"),
        ("https://example.com/\r\nX-Injected: 1", "printable ASCII"),
        ("https://example.com/" + "a" * 2000, "2020 characters"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://localhost/", "not a public address"),
        ("https://a.localhost/", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("https://169.254.169.254/latest/meta-data", "webhooks_private"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_url(url, STRICT)


def test_an_operator_may_allow_more() -> None:
    assert check_url("https://example.com/hook?a=1", STRICT)
    assert check_url("http://example.com", AddressRules(plain=True))
    assert check_url("http://localhost:5000/x", PRIVATE)
    assert check_url("https://10.0.0.1/x", PRIVATE)
    with pytest.raises(InvalidInput, match="webhooks_plain"):
        check_url("http://10.0.0.1/x", PRIVATE)


def test_one_private_address_among_public_ones_is_enough_to_refuse_a_name() -> None:
    def resolve(_host: str, _port: int) -> list[object]:
        return [ip_address("1.1.1.1"), ip_address("10.0.0.1")]

    with pytest.raises(
        InvalidInput, match=r"'rebind\.example': it is not a public address\. It resolves to 10\.0\.0\.1"
    ):
        permitted("rebind.example", 443, STRICT, resolve)  # type: ignore[arg-type]
    assert len(permitted("rebind.example", 443, PRIVATE, resolve)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1"])
def test_old_spellings_of_addresses_are_judged_by_what_they_resolve_to(host: str) -> None:
    try:
        found = system_resolver(5.0)(host, 443)
    except Unavailable:
        return  # this system's resolver does not know the spelling, so it leads nowhere
    if not any(is_public(address) for address in found):
        with pytest.raises(InvalidInput, match="not a public address"):
            permitted(host, 443, STRICT, system_resolver(5.0))


def test_a_name_that_nobody_knows_is_said() -> None:
    with pytest.raises(Unavailable, match=r"'nowhere\.invalid' cannot be resolved"):
        system_resolver(5.0)("nowhere.invalid", 443)


def test_a_url_is_taken_apart_for_the_request() -> None:
    assert split_url("https://example.com") == ("https", "example.com", 443, "/")
    assert split_url("http://[::1]:8080/a/b?c=d#e") == ("http", "::1", 8080, "/a/b?c=d")
