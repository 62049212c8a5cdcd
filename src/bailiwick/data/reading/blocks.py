"""Text files in blocks of whole records: unpacked, in UTF-8, with memory bounded by the block and not by the file."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator

import pyarrow as pa

from bailiwick.core.errors import InvalidInput
from bailiwick.data.reading.places import Place

BLOCK_BYTES = 8 << 20
LONGEST_RECORD = 512 << 20


def blocks(place: Place, *, encoding: str, quote: str, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The file in pieces that end where a record ends: at a line feed that no quotes enclose (`quote` may be empty)."""
    mark, wanted = quote.encode(), size
    held: list[bytes] = []
    held_size = open_quotes = 0
    for chunk in _in_utf8(_unpacked(place), encoding, place.name):
        data = chunk
        while held_size + len(data) >= wanted:
            end = _record_end(data, wanted - held_size, mark, open_quotes)
            if not end and held:  # the record began in an earlier chunk
                data, held, held_size, open_quotes = b"".join((*held, data)), [], 0, 0
                continue
            if end:
                yield b"".join((*held, data[:end]))
                data, held, held_size, open_quotes = data[end:], [], 0, 0
            wanted = size if end else wanted * 2
            if wanted > LONGEST_RECORD:
                raise InvalidInput(
                    f"{place.name}: a record is longer than {LONGEST_RECORD >> 21} MiB.",
                    hint="Is a quotation mark left open? Give another quote character, or none.",
                )
        if data:
            held.append(data)
            held_size += len(data)
            open_quotes ^= data.count(mark) % 2 if mark else 0
    if held:
        yield b"".join(held)


def _record_end(data: bytes, within: int, quote: bytes, open_quotes: int) -> int:
    """Just after the last line feed of the first `within` bytes before which quotes are balanced; 0 for none.

    `open_quotes` is 1 where the data before was left within quotes.
    """
    end = data.rfind(b"\n", 0, within) + 1
    if not quote or not end:
        return end
    open_quotes ^= data.count(quote, 0, end) % 2
    while open_quotes and end:
        before = data.rfind(b"\n", 0, end - 1) + 1
        open_quotes ^= data.count(quote, before, end) % 2
        end = before
    return end


def _unpacked(place: Place) -> Iterator[bytes]:
    lower = place.short.lower()
    if lower.endswith(".gz"):
        return _gunzipped(place)
    if lower.endswith((".zst", ".zstd")):
        return _unzstd(place)
    return place.chunks()


def _gunzipped(place: Place) -> Iterator[bytes]:
    unpack, ended = zlib.decompressobj(wbits=31), True
    for chunk in place.chunks():
        left = chunk
        while left:
            if unpack.eof:  # files are at times several packed ones end to end
                unpack = zlib.decompressobj(wbits=31)
            try:
                data = unpack.decompress(left, 8 << 20)
            except zlib.error as error:
                raise InvalidInput(f"{place.name} cannot be read: it is not gzip, or damaged ({error}).") from error
            left = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
            ended = unpack.eof
            if data:
                yield data
    if not ended:
        raise InvalidInput(f"{place.name} cannot be read: it ends in the middle of its compressed data.")


def _unzstd(place: Place) -> Iterator[bytes]:
    try:
        with pa.CompressedInputStream(place.opened(), "zstd") as stream:
            while data := stream.read(4 << 20):
                yield data
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{place.name} cannot be read: it is not Zstandard, or damaged ({error}).") from error


def _refusing_wide(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """UTF-16 and UTF-32 begin with a mark, or have NUL bytes in their first line, which no text in UTF-8 has."""
    for count, chunk in enumerate(chunks):
        if not count and (
            chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in chunk.partition(b"\n")[0]
        ):
            raise InvalidInput(
                f"{name}, row 1: the text is not UTF-8, it looks like UTF-16.", hint="Name its encoding, e.g. utf-16."
            )
        yield chunk


def _in_utf8(chunks: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise InvalidInput(f"Encoding {encoding!r} is not known.", hint="Say e.g. utf-8, latin-1 or utf-16.") from None
    if codec.name in {"utf-8", "ascii"}:
        yield from _refusing_wide(chunks, name)
        return
    decoder = codec.incrementaldecoder()
    lines = 1
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            lines += text.count("\n")
            yield text.encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise InvalidInput(
            f"{name}: the text is not {encoding} (after line {lines}: {error}).", hint="Name its real encoding."
        ) from error
