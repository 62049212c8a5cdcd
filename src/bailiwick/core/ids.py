"""Identifiers: UUIDv7 as 32 hex digits, so that ids sort by creation time and fit where MLflow wants a run id."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562) as 32 lower-case hex digits."""
    return uuid_utils.uuid7().hex
