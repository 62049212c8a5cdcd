"""Requests on record, whatever protocol they came by: read as they were sent."""

from __future__ import annotations

from bailiwick.serving.messages.requests import MESSAGE_MARK, read_infer
from bailiwick.serving.protocol import InferRequest
from bailiwick.serving.wire import recorded_request


def read_recorded(body: bytes) -> InferRequest:
    """Raises Refused for what nobody can have sent."""
    if body.startswith(MESSAGE_MARK):
        return read_infer(body[len(MESSAGE_MARK) :]).request
    return recorded_request(body)
