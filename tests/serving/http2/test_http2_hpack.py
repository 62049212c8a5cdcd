"""Header compression against the examples of RFC 7541 and against an encoder that uses all of it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.serving.http2 import hpack
from bailiwick.serving.http2.hpack import HeaderDecoder, HeadersUnreadable, literal

Fields = list[tuple[bytes, bytes]]

EXAMPLE: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]


def test_the_requests_of_appendix_c4_with_huffman_codes_and_a_dynamic_table() -> None:
    decoder = HeaderDecoder()
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == EXAMPLE
    assert decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf")) == [*EXAMPLE, (b"cache-control", b"no-cache")]
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[1] == (b":scheme", b"https")
    assert third[4] == (b"custom-key", b"custom-value")


def test_the_responses_of_appendix_c6_evict_entries() -> None:
    decoder = HeaderDecoder()
    decoder.decode(bytes.fromhex("3fe101"))  # a table of 256 bytes
    first = decoder.decode(
        bytes.fromhex(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
        )
    )
    assert first[2] == (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT")
    assert decoder.decode(bytes.fromhex("4883640effc1c0bf"))[0] == (b":status", b"307")
    third = decoder.decode(
        bytes.fromhex(
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3"
            "672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
        )
    )
    assert third[5] == (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")


@pytest.mark.parametrize(
    "block",
    [
        "80",  # index 0
        "ff00",  # an index that is not there
        "4003616263",  # no value
        "400a61",  # a name cut short
        "0085",  # a coded name cut short
        "3fe2ffffff0f",  # a table that is too large
        "7fffffffffff0f",  # a number that is too large
        "000161ff",  # a length cut short
        "00016181ff00",  # nothing
        "0001618110",  # padding that is not all ones
        "00016184ffffffff",  # the end of a string inside of it
        "823f00",  # a table's size after a field
    ],
)
def test_what_is_broken_is_refused(block: str) -> None:
    with pytest.raises(HeadersUnreadable):
        HeaderDecoder().decode(bytes.fromhex(block))


class Encoder:
    """Indexes what it has sent before, and codes what `coded` says."""

    def __init__(self) -> None:
        self.codes = {symbol: (bits, code) for (bits, code), symbol in hpack._symbols().items()}
        self.table: Fields = []

    def text(self, data: bytes, coded: bool) -> bytes:
        if not coded:
            return self.number(len(data), 7, 0) + data
        bits = "".join(f"{self.codes[byte][1]:0{self.codes[byte][0]}b}" for byte in data)
        bits += "1" * (-len(bits) % 8)
        packed = int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
        return self.number(len(packed), 7, 0x80) + packed

    def number(self, value: int, bits: int, flags: int) -> bytes:
        most = (1 << bits) - 1
        if value < most:
            return bytes((flags | value,))
        value -= most
        out = [flags | most]
        while value >= 128:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes((*out, value))

    def encode(self, fields: Fields, coded: bool) -> bytes:
        out = b""
        for field in fields:
            if field in self.table:
                out += self.number(62 + self.table.index(field), 7, 0x80)
            else:
                out += b"\x40" + self.text(field[0], coded) + self.text(field[1], coded)
                self.table.insert(0, field)
                while sum(len(name) + len(value) + 32 for name, value in self.table) > hpack.TABLE_BYTES:
                    self.table.pop()
        return out


field = st.tuples(st.binary(min_size=1, max_size=30), st.binary(max_size=200))


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(field, max_size=6), st.booleans()), max_size=12))
def test_whatever_an_encoder_says_is_understood(blocks: list[tuple[Fields, bool]]) -> None:
    encoder, decoder = Encoder(), HeaderDecoder()
    for fields, coded in blocks:
        sent = [*fields, *fields]  # the second time by index
        assert decoder.decode(encoder.encode(sent, coded)) == sent


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_headers_or_are_refused(block: bytes) -> None:
    with contextlib.suppress(HeadersUnreadable):
        HeaderDecoder().decode(block)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 70_000))
def test_what_is_written_is_read(name: bytes, size: int) -> None:
    assert HeaderDecoder().decode(literal(name, b"x" * size)) == [(name, b"x" * size)]
