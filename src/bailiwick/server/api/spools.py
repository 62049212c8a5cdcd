"""Predictions that workers on other machines have recorded, on their way to the log."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.core.errors import NotFound
from bailiwick.server.api.route import Call, Nothing


class SpoolPart(Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes of a segment, base64, from the place `begins` on."""

    begins: Annotated[int, Meta(ge=0)]
    data: bytes


class Held(Struct, frozen=True):
    """Bytes of the segment that the control plane has."""

    held: int


def take_spool(call: Call[Nothing, SpoolPart]) -> Held:
    """Keep a part of a segment; what is there already is not kept again."""
    start = call.path["segment"]
    if not (start.isascii() and start.isdigit() and len(start) <= 20):
        raise NotFound.of("Segment", start[:100])
    held = call.platform.inbox.take(
        call.workspace, call.path["stream"], int(start), begins=call.body.begins, data=call.body.data
    )
    return Held(held)


def finish_spool(call: Call[Nothing, Nothing]) -> Nothing:
    """The worker has ended, and everything of it was taken."""
    call.platform.inbox.finish(call.workspace, call.path["stream"])
    return Nothing()
