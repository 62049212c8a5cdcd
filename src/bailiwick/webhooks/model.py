"""Webhooks, deliveries and attempts, and the rules for their fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bailiwick.core.errors import InvalidInput, LimitExceeded

MAX_NAME_LENGTH = 63
MAX_DESCRIPTION_LENGTH = 5_000
MAX_SECRET_LENGTH = 1_000
MAX_EVENTS = 100

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)


class WebhookStatus(StrEnum):
    """A disabled webhook is told nothing, and nothing is kept for it; what already waits goes out when it is active again."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class DeliveryStatus(StrEnum):
    """Where a delivery stands; FAILED is given up, and can be replayed."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that is told of events. The secret that signs them is in no record that can be read: `signed` says if there is one.

    `failing_since` is when the attempts began to fail that no success has followed; `problem` says why it was disabled.
    Times are UTC milliseconds.
    """

    id: str
    workspace: str
    name: str
    url: str
    events: tuple[str, ...]
    format: str
    status: WebhookStatus
    description: str
    signed: bool
    created: int
    updated: int
    created_by: str
    failing_since: int | None = None
    problem: str = ""
    catching_up_from: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook; `id` stays the same however often it is sent, so that a receiver can tell repetitions.

    `position` is the place in the journal's tree of the entry it tells of. `due` is when the next attempt may be made,
    `queued` when waiting began: what has waited too long is given up. `failures` are those since then, `attempts` all.
    """

    id: str
    workspace: str
    webhook_id: str
    position: int
    entry: str
    event: str
    body: str
    status: DeliveryStatus
    attempts: int
    failures: int
    created: int
    queued: int
    due: int
    finished: int | None
    response_status: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending: what was answered within the time allowed, or why nothing was. `response` is the beginning of the answer."""

    delivery_id: str
    number: int
    time: int
    duration_ms: int
    response_status: int | None
    response: str
    problem: str

    @property
    def succeeded(self) -> bool:
        """Whether the receiver said 2xx."""
        return self.response_status is not None and 200 <= self.response_status < 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request. `retry_after_ms` is how long the receiver asked to be left alone."""

    status: int | None
    text: str = ""
    problem: str = ""
    duration_ms: int = 0
    retry_after_ms: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver said 2xx."""
        return self.status is not None and 200 <= self.status < 300


def check_name(name: str) -> str:
    """Raises InvalidInput unless it is 1 to 63 letters, digits, dots, underscores and hyphens, with a letter or digit at each end."""
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Webhook name {name[:200]!r} cannot be used: 1 to {MAX_NAME_LENGTH} letters, digits, dots, underscores and "
            "hyphens, beginning and ending with a letter or digit."
        )
    return name


def check_description(text: str) -> str:
    """Raises LimitExceeded past 5,000 characters, InvalidInput for what cannot be stored."""
    if len(text) > MAX_DESCRIPTION_LENGTH:
        raise LimitExceeded(
            f"A webhook's description has at most {MAX_DESCRIPTION_LENGTH} characters, not {len(text)}."
        )
    return _storable("A webhook's description", text)


def check_secret(secret: str) -> str:
    """Raises LimitExceeded past 1,000 characters, InvalidInput for what has no UTF-8 form."""
    if len(secret) > MAX_SECRET_LENGTH:
        raise LimitExceeded(f"A webhook's secret has at most {MAX_SECRET_LENGTH} characters, not {len(secret)}.")
    return _storable("A webhook's secret", secret)


def check_status(status: str) -> WebhookStatus:
    """Raises InvalidInput naming the choices."""
    if status not in set(WebhookStatus):
        raise InvalidInput.choice("webhook status", status, list(WebhookStatus))
    return WebhookStatus(status)


def _storable(what: str, text: str) -> str:
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise InvalidInput(f"{what} holds a NUL or half of a surrogate pair, which cannot be stored as text.")
    return text
