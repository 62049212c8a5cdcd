"""Canonical JSON (RFC 8785) and SHA-256 digests: the only way anything is hashed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import rfc8785
else:
    rfc8785 = deferred("rfc8785")

_LARGEST_SAFE_INTEGER = 2**53 - 1
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value. Raises InvalidInput for NaN, infinities, integers past 2**53 and non-JSON types."""
    try:
        return _encode_sorted(value) if _is_plain(value) else rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"The value has no canonical JSON form: {error}.") from error


def _is_plain(value: Any) -> bool:
    """Whether any JSON encoder that sorts keys writes these bytes: floats, and keys and texts outside ASCII, are the hard part.

    What is journalled a thousand times a second is of this kind, and is encoded in a tenth of the time.
    """
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is dict:
        return all(type(key) is str and key.isascii() and _is_plain(inner) for key, inner in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    return value is None or kind is bool or (kind is int and abs(value) <= _LARGEST_SAFE_INTEGER)


def from_canonical(text: str | bytes) -> Any:
    """What `canonical_json` wrote, such that writing it again gives the same bytes.

    RFC 8785 writes 9.1e18 as a whole number of 19 digits; read back as an integer it would have no canonical form.
    """
    return json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    value = int(digits)
    return value if abs(value) <= _LARGEST_SAFE_INTEGER else float(digits)


def sha256_hex(data: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex: equal values have equal digests on every machine."""
    return sha256_hex(canonical_json(value))
