"""Opaque page tokens: where a keyset page ended, bound to the query it belongs to."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import InvalidInput

_MARK_LENGTH = 8


def page_token(position: list[Any], query: object) -> str:
    """A token that says: go on after `position`. `query` is everything else that decides what the pages hold, as JSON values."""
    return base64.urlsafe_b64encode(msgspec.json.encode([_mark(query), *position])).decode()


def page_position(token: str, query: object, kinds: tuple[Any, ...]) -> list[Any]:
    """The position in a token: one value of each kind, e.g. `(int, str)` or `(float | None, str)`.

    Raises InvalidInput for a token that is none, is another query's, or holds values of other kinds: whoever sends it
    may have written it.
    """
    try:
        mark, *position = msgspec.json.decode(base64.urlsafe_b64decode(token.encode("ascii")), type=list)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise _unknown(token) from None
    if mark != _mark(query):
        raise InvalidInput(
            "This page_token belongs to another query.", hint="Repeat the query it came from, or begin without a token."
        )
    try:
        return list(msgspec.convert(position, tuple[kinds]))  # type: ignore[valid-type]
    except msgspec.MsgspecError:
        raise _unknown(token) from None


def _unknown(token: str) -> InvalidInput:
    return InvalidInput(f"page_token {token[:100]!r} is not one that was given here.")


def _mark(query: object) -> str:
    return sha256_hex(msgspec.json.encode(query, order="sorted"))[:_MARK_LENGTH]
