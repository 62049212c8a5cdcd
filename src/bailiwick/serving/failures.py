"""What a model itself may raise."""

from __future__ import annotations

from bailiwick.core.errors import BailiwickError


class ModelFailed(BailiwickError):
    """The model raised an error on values that its signature allows: the fault is the version's, not the client's.

    `status` is less than 500 where nothing says what the model takes, and it does take other requests.
    """

    code = "model_failed"
    status = 500

    def blaming_the_request(self) -> ModelFailed:
        """The same, told as what was asked being at fault."""
        self.status = 400
        return self
