"""Fields of forms: texts within bounds, numbers, and what must not be left out."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.errors import InvalidInput

MAX_TEXT = 2000


def text(fields: Mapping[str, str], name: str, *, required: str = "", most: int = MAX_TEXT) -> str:
    """A field without the white space around it. Raises InvalidInput, with `required` as the words where it is blank."""
    found = fields.get(name, "").strip()
    if required and not found:
        raise InvalidInput(required)
    if len(found) > most:
        raise InvalidInput(f"The {name} has {len(found)} characters; at most {most} are kept.")
    return found


def number(fields: Mapping[str, str], name: str) -> int:
    """A field that is a whole number. Raises InvalidInput."""
    found = fields.get(name, "").strip()
    if not (found.isascii() and found.isdigit() and len(found) <= 16):
        raise InvalidInput(f"The {name} {found[:40]!r} is not a whole number.")
    return int(found)
