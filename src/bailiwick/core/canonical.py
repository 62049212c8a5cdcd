"""Canonical JSON (RFC 8785) and SHA-256 digests: the only way anything is hashed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

from bailiwick.core.errors import InvalidInput

_LARGEST_SAFE_INTEGER = 2**53 - 1


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value. Raises InvalidInput for NaN, infinities, integers past 2**53 and non-JSON types."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"The value has no canonical JSON form: {error}.") from error


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
