"""Keeping a claimed step: a thread that renews its lease and writes its progress while the step's function runs."""

from __future__ import annotations

from threading import Event, Thread
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from bailiwick.core.errors import Unavailable
from bailiwick.pipelines.board import Claim, LeaseLost, StepBoard

TICK_SECONDS = 0.5
"""Progress is written at most this often."""


class Lease:
    """Used as `with Lease(...) as lease`: alive until the block ends, so also while the step's outcome is committed."""

    def __init__(self, board: StepBoard, claim: Claim, *, lease_ms: int) -> None:
        self._board = board
        self._claim = claim
        self._lease_ms = lease_ms
        self._progress = (0.0, "")
        self._ended = Event()
        self._lost = False
        self._thread = Thread(target=self._keep, name=f"lease-{claim.name}", daemon=True)

    @property
    def message(self) -> str:
        """What the step said last."""
        return self._progress[1]

    def report(self, fraction: float, message: str) -> None:
        """Note progress in memory; the thread writes it. Raises LeaseLost when the step was cancelled or taken over."""
        if self._lost:
            raise LeaseLost(f"Step {self._claim.name} was cancelled or taken over; it should stop.")
        self._progress = (fraction, message)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        written, idle = self._progress, 0.0
        while not self._lost and not self._ended.wait(TICK_SECONDS):
            idle += TICK_SECONDS
            progress = self._progress
            if progress == written and idle * 1000 < self._lease_ms / 3:
                continue
            try:
                kept = self._board.renew(
                    self._claim, lease_ms=self._lease_ms, progress=progress[0], message=progress[1]
                )
            except (
                Unavailable,
                SQLAlchemyError,
            ):  # a busy or absent database: the next tick tries again, for as long as the lease lasts
                continue
            self._lost = not kept and not self._ended.is_set()
            written, idle = progress, 0.0
