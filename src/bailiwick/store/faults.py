"""Fault points: named places around a commit where a crash test makes the process kill itself with SIGKILL.

`BAILIWICK_FAULT` names the place: `pipelines.step.claimed` (the first time it is reached), `pipelines.step.claimed:3`
(the third time) or `*:7` (the seventh place of any name, so that a test can walk through all of them). Unset, a fault
point is one comparison with None.
"""

from __future__ import annotations

import os
import signal

from bailiwick.core.errors import InvalidInput

VARIABLE = "BAILIWICK_FAULT"


class _Plan:
    """Counts matching fault points down to the fatal one."""

    def __init__(self, text: str) -> None:
        self.point, _, count = text.partition(":")
        if count and not count.isdecimal():
            raise InvalidInput(f"{VARIABLE}={text!r} is not a fault point.", hint="Write `name`, `name:3` or `*:7`.")
        self.left = int(count or 1)

    def meet(self, point: str) -> None:
        if self.point in {point, "*"}:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(text: str) -> None:
    """Plan a death as `BAILIWICK_FAULT=text` would; the empty text disarms. For processes that a test forks."""
    global _plan  # noqa: PLW0603 - one plan a process, as the environment variable is
    _plan = _Plan(text) if text else None


def reach(point: str) -> None:
    """Say that `point` has been reached; does not return if the plan is to die here."""
    if _plan is not None:
        _plan.meet(point)


_plan: _Plan | None = None
arm(os.environ.get(VARIABLE, ""))
