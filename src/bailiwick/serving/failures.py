"""What a model itself may raise."""

from __future__ import annotations

from bailiwick.core.errors import BailiwickError


class ModelFailed(BailiwickError):
    """The model raised an error on values that its signature allows: the fault is the version's, not the client's."""

    code = "model_failed"
