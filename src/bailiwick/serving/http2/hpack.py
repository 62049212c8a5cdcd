"""Header compression (RFC 7541): decoding with the dynamic table, encoding without."""

from __future__ import annotations

from collections import deque
from functools import cache

TABLE_BYTES = 4096
"""Size of the dynamic table; clients may use less. It is HTTP/2's default, so nobody needs to be told."""

_ENTRY_OVERHEAD = 32
_MOST_DIGITS = 5  # of an integer after its prefix: 35 bits, more than any length or index here
_END_OF_STRING = 256

_STATIC: tuple[tuple[bytes, bytes], ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    *((b":status", status) for status in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name, b"")
        for name in (
            b"accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
            b"content-disposition content-encoding content-language content-length content-location content-range "
            b"content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range "
            b"if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range "
            b"referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary "
            b"via www-authenticate"
        ).split()
    ),
)

# Bits of each symbol's code, 0 to 255 and the end of a string (RFC 7541, appendix B). Codes follow from their lengths:
# shorter ones come first, and those of one length in the order of their symbols.
_CODE_BITS = (
    *(13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28),
    *(28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15),
    *(6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6),
    *(15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20),
    *(20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23),
    *(24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22),
    *(22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27),
    *(24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26),
    *(26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30),
)


class HeadersUnreadable(ValueError):
    """A header block that does not follow RFC 7541; the connection's compression state is lost with it."""


class HeaderDecoder:
    """The receiving end of one connection. `generation` grows whenever the meaning of an index changes."""

    def __init__(self) -> None:
        self._entries: deque[tuple[bytes, bytes]] = deque()  # newest first, as indices count
        self._size = 0
        self._limit = TABLE_BYTES
        self.generation = 0

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The block's fields in order. Raises HeadersUnreadable."""
        fields: list[tuple[bytes, bytes]] = []
        position = 0
        try:
            while position < len(block):
                first = block[position]
                if first >= 0x80:  # indexed
                    index, position = _integer(block, position, 0x7F)
                    fields.append(self._entry(index))
                elif first >= 0x40:  # literal, to be remembered
                    field, position = self._literal(block, position, 0x3F)
                    self._remember(field)
                    fields.append(field)
                elif first >= 0x20:  # the size of the table
                    if fields:
                        raise HeadersUnreadable("The table's size changes within a header block.")
                    size, position = _integer(block, position, 0x1F)
                    self._resize(size)
                else:  # literal, not to be remembered
                    field, position = self._literal(block, position, 0x0F)
                    fields.append(field)
        except IndexError:
            raise HeadersUnreadable("A header block is cut short.") from None
        return fields

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        place = index - len(_STATIC) - 1
        if not 0 <= place < len(self._entries):
            raise HeadersUnreadable(f"There is no header {index}.")
        return self._entries[place]

    def _remember(self, field: tuple[bytes, bytes]) -> None:
        self.generation += 1
        self._entries.appendleft(field)
        self._size += _entry_bytes(field)
        self._evict()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES:
            raise HeadersUnreadable(f"A header table of {size} bytes is more than the {TABLE_BYTES} that are allowed.")
        self.generation += 1
        self._limit = size
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            self._size -= _entry_bytes(self._entries.pop())


def literal(name: bytes, value: bytes) -> bytes:
    """One field, written out: it needs no state that two ends must agree on. Both are shorter than 2 MiB."""
    return b"".join((b"\x00", _length(len(name)), name, _length(len(value)), value))


def _length(size: int) -> bytes:
    if size < 0x7F:
        return bytes((size,))
    size -= 0x7F
    digits = [0x7F]
    while size >= 0x80:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    digits.append(size)
    return bytes(digits)


def _entry_bytes(field: tuple[bytes, bytes]) -> int:
    return len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    for digit in range(_MOST_DIGITS):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << (7 * digit)
        if byte < 0x80:
            return value, position
    raise HeadersUnreadable("A number in a header block is too large.")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    is_coded = block[position] >= 0x80
    length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise HeadersUnreadable("A header block is cut short.")
    text = block[position:end]
    return (_decoded(text) if is_coded else text), end


@cache
def _symbols() -> dict[tuple[int, int], int]:
    """(bits, code) → symbol."""
    symbols: dict[tuple[int, int], int] = {}
    code = bits = 0
    for symbol in sorted(range(len(_CODE_BITS)), key=lambda symbol: (_CODE_BITS[symbol], symbol)):
        code <<= _CODE_BITS[symbol] - bits
        bits = _CODE_BITS[symbol]
        symbols[bits, code] = symbol
        code += 1
    return symbols


@cache
def _prefixes() -> dict[tuple[int, int], int]:
    """(bits, code) of everything that a code may begin with → the number of that state; 0 is nothing read."""
    prefixes: dict[tuple[int, int], int] = {(0, 0): 0}
    for bits, code in sorted(_symbols()):
        for cut in range(1, bits):
            prefixes.setdefault((cut, code >> (bits - cut)), len(prefixes))
    return prefixes


@cache
def _steps() -> list[list[tuple[int, bytes]]]:
    """For each state (what has been read of a code) and each following byte: the next state and the symbols completed.

    A state that a string may not contain is -1.
    """
    return [[_step(bits, code, nibble) for nibble in range(16)] for bits, code in _prefixes()]


def _step(bits: int, code: int, nibble: int) -> tuple[int, bytes]:
    symbols, made = _symbols(), bytearray()
    for shift in (3, 2, 1, 0):
        bits, code = bits + 1, code << 1 | (nibble >> shift & 1)
        symbol = symbols.get((bits, code))
        if symbol == _END_OF_STRING:
            return -1, b""
        if symbol is not None:
            made.append(symbol)
            bits = code = 0
    return _prefixes()[bits, code], bytes(made)


@cache
def _endings() -> frozenset[int]:
    """States in which a string may end: nothing pending, or up to seven ones."""
    return frozenset(_prefixes()[bits, (1 << bits) - 1] for bits in range(8))


def _decoded(text: bytes) -> bytes:
    steps, state = _steps(), 0
    made: list[bytes] = []
    for byte in text:
        state, first = steps[state][byte >> 4]
        if state < 0:
            break
        state, second = steps[state][byte & 15]
        if state < 0:
            break
        made += (first, second)
    if state not in _endings():
        raise HeadersUnreadable("A header's text does not end where it should.")
    return b"".join(made)
