"""Finding a record by the end of its id, which is what tables show."""

from __future__ import annotations

from collections.abc import Iterable

from bailiwick.core.errors import InvalidInput

FULL = 32
LEAST = 4


def full_id(kind: str, given: str, known: Iterable[str]) -> str:
    """The one id that ends (or begins) with `given`, or `given` itself, which a service then says it does not know.

    `known` is read only when `given` is not a whole id. Raises InvalidInput when several match.
    """
    if len(given) >= FULL or len(given) < LEAST:
        return given
    everything = set(known)
    found = {one for one in everything if one.endswith(given)} or {one for one in everything if one.startswith(given)}
    if len(found) > 1:
        raise InvalidInput(
            f"{len(found)} ids of a {kind} match {given!r}.", hint="Give more digits of the one you mean."
        )
    return found.pop() if found else given
