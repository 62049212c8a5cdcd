"""What the demo asks of the control plane, all through its public API: is everything settled, what awaits approval, what happened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bailiwick.core.clock import system_clock
from bailiwick.core.errors import Unavailable
from bailiwick.demo.client import JsonClient

PASS_SECONDS = 60.0
RUN_SECONDS = 300.0
ACTIVE = frozenset({"PENDING", "RUNNING"})


@dataclass(frozen=True, slots=True)
class State:
    """What the platform is doing and has done, newest first, as its API tells it."""

    runs: list[dict[str, Any]]
    pending: list[dict[str, Any]]
    rollouts: list[dict[str, Any]]
    alarms: list[dict[str, Any]]

    @property
    def busy(self) -> bool:
        """Whether a training run is under way."""
        return any(run["status"] in ACTIVE for run in self.runs)

    @property
    def rolling_out(self) -> bool:
        """Whether a canary is under way."""
        return any(rollout["status"] == "RUNNING" for rollout in self.rollouts)

    @property
    def mark(self) -> tuple[object, ...]:
        """Changes whenever anything happened."""
        return (
            [(run["id"], run["status"]) for run in self.runs],
            [(rollout["id"], rollout["status"], rollout["step"]) for rollout in self.rollouts],
            [(alarm["id"], alarm["status"]) for alarm in self.alarms],
            len(self.pending),
        )


class PlatformClient:
    """The control plane as a second person sees it: reads everything, approves what waits."""

    def __init__(self, address: str, *, approver_token: str, endpoint: str) -> None:
        self._control = JsonClient(address, token=approver_token)
        self._endpoint = endpoint

    def state(self) -> State:
        """One look."""
        get = self._control.get
        return State(
            runs=get("/api/v1/pipeline-runs?limit=10")["items"],
            pending=get("/api/v1/approvals?status=PENDING")["items"],
            rollouts=get(f"/api/v1/rollouts?endpoint={self._endpoint}")["items"],
            alarms=get(f"/api/v1/alarms?endpoint={self._endpoint}")["items"],
        )

    def get(self, path: str) -> Any:
        """Any other page of the API."""
        return self._control.get(path)

    def blob(self, digest: str) -> bytes:
        """Bytes of a blob, such as a model package."""
        return self._control.raw("GET", f"/api/v1/blobs/{digest}")

    def approve(self, request: str, comment: str) -> None:
        """Approve as the second person."""
        self._control.post(f"/api/v1/approvals/{request}/approve", {"comment": comment})

    def wait_for_pass(self) -> None:
        """Return once the worker has finished a look at everything that began after now."""
        asked = system_clock()
        deadline = time.monotonic() + PASS_SECONDS
        while time.monotonic() < deadline:
            duties = self._control.get("/api/v1/duties")["items"]
            if any(duty["pass_started"] > asked for duty in duties):
                return
            time.sleep(0.05)
        raise Unavailable(
            f"The worker made no pass in {PASS_SECONDS:.0f} s.", hint="See logs/work.log in the home folder."
        )

    def wait_while_training(self) -> None:
        """Return once no pipeline run is under way."""
        deadline = time.monotonic() + RUN_SECONDS
        while any(run["status"] in ACTIVE for run in self._control.get("/api/v1/pipeline-runs?limit=3")["items"]):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"A training run took over {RUN_SECONDS:.0f} s.", hint="See logs/runs.log in the home folder."
                )
            time.sleep(0.3)
