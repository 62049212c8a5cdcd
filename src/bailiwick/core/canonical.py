"""Canonical JSON (RFC 8785) and SHA-256 digests: the only way anything is hashed."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from bailiwick.core.errors import InvalidInput


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value. Raises InvalidInput for NaN, infinities, integers past 2**53 and non-JSON types."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"The value has no canonical JSON form: {error}.") from error


def sha256_hex(data: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex: equal values have equal digests on every machine."""
    return sha256_hex(canonical_json(value))
