"""What of an endpoint's predictions goes on record: a policy that travels with the routes, changed by a verb, journalled."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from bailiwick.core.errors import InvalidInput
from bailiwick.store.keys import kept_key

WHOLE = 10_000
"""Basis points: the inputs of every request are kept."""

EVERYTHING = "*"
"""In the log's column `withheld`: no input of this request was kept, because of the share."""

Treatment = Literal["keep", "hash", "omit"]
WhenFull = Literal["refuse", "drop"]

KEY_FILE = "pseudonyms.key"
_HASH_DIGITS = 32


class Recording(Struct, frozen=True, omit_defaults=True):
    """How the predictions of an endpoint are recorded. Every prediction has its row; the policy says what is in it.

    `share` is how many of 10,000 requests are kept with their inputs, chosen by a hash of the request's id; of the others
    all but the inputs is kept. `columns`, where there are any, are the only inputs that are kept; `omitted` are never
    written, not even to the spool; `hashed` become keyed hashes on their way to the log. `personal` are the columns that
    the data's schema marks as personal; `personal_rule` is what happens to those that nothing else is said of.
    `refused` keeps requests that were refused too. `when_full` says what happens while more waits to be shipped than the
    spool may hold: `refuse` answers 503, `drop` answers and counts what was not recorded.
    """

    share: int = WHOLE
    columns: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    personal_rule: Treatment = "hash"
    refused: bool = False
    when_full: WhenFull = "refuse"

    def treatment(self, column: str) -> Treatment:
        """What becomes of the values of an input. What is stricter wins."""
        if column in self.omitted:
            return "omit"
        if column in self.hashed:
            return "hash"
        if self.columns and column not in self.columns:
            return "omit"
        return self.personal_rule if column in self.personal else "keep"

    @property
    def withholds(self) -> bool:
        """Whether anything that a request holds may be kept otherwise than as it was sent."""
        marked = self.personal and self.personal_rule != "keep"
        return bool(self.share < WHOLE or self.columns or self.omitted or self.hashed or marked)


EVERYTHING_KEPT = Recording()


def checked(recording: Recording) -> Recording:
    """The policy, each column named once. Raises InvalidInput."""
    if not 0 <= recording.share <= WHOLE:
        raise InvalidInput(
            f"A share of {recording.share} is not possible: it is basis points, 0 to {WHOLE}.",
            hint="0.1 of all requests is 1000.",
        )
    both = sorted(set(recording.omitted) & {*recording.hashed, *recording.columns})
    if both:
        raise InvalidInput(f"Column {both[0]!r} cannot be left out and be kept, or be hashed, at a time.")
    named: Iterable[str] = (*recording.columns, *recording.omitted, *recording.hashed)
    if any(not name or len(name) > _LONGEST_NAME for name in named):
        raise InvalidInput(f"A column's name has 1 to {_LONGEST_NAME} characters.")
    lists = {name: tuple(dict.fromkeys(getattr(recording, name))) for name in ("columns", "omitted", "hashed")}
    return structs.replace(recording, **lists)


_LONGEST_NAME = 500


class Pseudonyms:
    """Keyed hashes (HMAC-SHA-256, 128 bits) of values that are not to be kept: equal values of a column stay equal, and
    who lacks the key of this installation can neither undo nor guess them.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def in_folder(cls, folder: Path) -> Pseudonyms:
        """With the key that is kept there (mode 0600), made on first use."""
        return cls(kept_key(folder, KEY_FILE))

    def of(self, column: str, value: object) -> str | None:
        """The pseudonym of a value of a column, 32 hex digits; a missing value stays missing."""
        if value is None:
            return None
        told = f"{column}\0{value}".encode()
        return hmac.new(self._key, told, hashlib.sha256).hexdigest()[:_HASH_DIGITS]
