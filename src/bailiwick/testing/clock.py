"""A clock that a test moves by hand."""

from __future__ import annotations


class FakeClock:
    """Stands at `now` milliseconds until `advance` is called; satisfies `core.clock.Clock`."""

    def __init__(self, now: int = 1_750_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:  # noqa: D102 - the contract is `core.clock.Clock`
        return self.now

    def advance(self, milliseconds: int) -> None:
        """Move forward."""
        self.now += milliseconds
