"""The text of an API token: `bw_<base62 of 32 random bytes>_<base62 of the CRC-32 before it>`.

The prefix and checksum let secret scanners find a leaked token and tell it from a look-alike without asking us.
"""

from __future__ import annotations

import binascii
import re
import secrets

PREFIX = "bw"
RANDOM_BYTES = 32
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_CHARACTERS = 43  # 62**43 > 2**256
CHECKSUM_CHARACTERS = 6  # 62**6 > 2**32

_SHAPE = re.compile(rf"{PREFIX}_([0-9A-Za-z]{{{BODY_CHARACTERS}}})_([0-9A-Za-z]{{{CHECKSUM_CHARACTERS}}})", re.ASCII)


def base62(number: int, width: int) -> str:
    """`number` in base 62, most significant digit first, padded with zeros to `width`."""
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(width, ALPHABET[0])


def new_secret() -> str:
    """A fresh token text with 256 bits from the operating system."""
    body = base62(int.from_bytes(secrets.token_bytes(RANDOM_BYTES)), BODY_CHARACTERS)
    return f"{PREFIX}_{body}_{_checksum(body)}"


def is_well_formed(text: str) -> bool:
    """Whether `text` has the shape and checksum of a token; says nothing about whether it was ever issued."""
    match = _SHAPE.fullmatch(text)
    return match is not None and _checksum(match[1]) == match[2]


def _checksum(body: str) -> str:
    return base62(binascii.crc32(f"{PREFIX}_{body}".encode()), CHECKSUM_CHARACTERS)
