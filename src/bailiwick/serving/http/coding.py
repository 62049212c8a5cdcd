"""Bodies that are compressed: gzip and deflate, in both directions, and never more memory than the limit of a body."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from bailiwick.serving.protocol import Refused

LEAST_BYTES = 2048
"""Answers smaller than this go out as they are: they fit in two packets, and compressing costs more than it saves."""

_LEVEL = 1
_GZIP, _ZLIB, _BARE = 31, 15, -15
_CODINGS = ("gzip", "deflate")


def decoded(headers: Mapping[bytes, bytes], body: bytes, *, limit: int) -> bytes:
    """The body as it was before it was compressed, by `Content-Encoding`.

    Raises Refused: 415 for other codings, 400 for bytes that are not of the coding, 413 past `limit` bytes.
    """
    named = headers.get(b"content-encoding", b"").decode("latin-1").lower()
    for coding in reversed([part.strip() for part in named.split(",") if part.strip()]):
        if coding == "identity":
            continue
        if coding.removeprefix("x-") not in _CODINGS:
            raise Refused(
                415, f"Content-Encoding {coding[:50]!r} is not known here; there are: gzip, deflate, identity."
            )
        body = _inflated(coding, body, limit)
    return body


def chosen_coding(accepted: bytes) -> str | None:
    """Which of ours an `Accept-Encoding` likes best; None when it wants the body as it is."""
    liked: dict[str, float] = {}
    for part in accepted.decode("latin-1").lower().split(","):
        name, _, said = part.partition(";")
        try:
            liked[name.strip()] = float(said.partition("=")[2]) if said else 1.0
        except ValueError:
            liked[name.strip()] = 0.0
    weights = {coding: liked.get(coding, liked.get("*", 0.0)) for coding in _CODINGS}
    best = max(_CODINGS, key=weights.__getitem__)
    return best if weights[best] > 0 and weights[best] >= liked.get("identity", 0.0) else None


def encoded(coding: str, body: bytes) -> bytes:
    """The body compressed by gzip or deflate."""
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP if coding == "gzip" else _ZLIB)
    return press.compress(body) + press.flush()


def _inflated(coding: str, body: bytes, limit: int) -> bytes:
    # What is called deflate is meant to have a zlib header, and often has none (RFC 9110, section 8.4.1.2).
    windows = (_GZIP,) if coding.endswith("gzip") else (_ZLIB, _BARE)
    for window in windows:
        open_up = zlib.decompressobj(window)
        try:
            data = open_up.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(data) > limit:
            raise Refused(413, f"The body is larger than {limit} bytes when it is decompressed.")
        if not open_up.eof or open_up.unused_data:
            break
        return data
    raise Refused(400, f"The body is not of Content-Encoding {coding}.")
