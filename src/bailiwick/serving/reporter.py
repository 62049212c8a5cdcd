"""A worker's heartbeat: every few seconds it tells the control plane what it serves and how requests fared."""

from __future__ import annotations

import logging
import socket
import threading

from bailiwick.core.errors import BailiwickError
from bailiwick.core.ids import new_id
from bailiwick.endpoints.reporting import WorkerReport
from bailiwick.serving.breaker import State
from bailiwick.serving.control import ControlClient
from bailiwick.serving.handler import InferenceHandler
from bailiwick.serving.metrics import Metrics

REPORT_SECONDS = 5.0
TIMEOUT_SECONDS = 4.0
LAST_TIMEOUT_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Reporter:
    """A background thread. Counts are since the start, so a report that is lost is made good by the next."""

    def __init__(self, control: ControlClient, handler: InferenceHandler, metrics: Metrics, worker: int) -> None:
        self.worker = f"{socket.gethostname()[:100]}/{worker}/{new_id()}"
        self._control = control
        self._handler = handler
        self._metrics = metrics
        self._stopping = threading.Event()
        self._reached = True
        self._thread = threading.Thread(target=self._report_on, name="reporter", daemon=True)

    def start(self) -> None:
        """Report at once, then every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Say once that this worker ends, without waiting long for anybody to hear it."""
        self._stopping.set()
        self._thread.join(LAST_TIMEOUT_SECONDS)
        self._send(LAST_TIMEOUT_SECONDS, last=True)

    def _report_on(self) -> None:
        while not self._stopping.is_set():
            self._send(TIMEOUT_SECONDS)
            self._stopping.wait(REPORT_SECONDS)

    def _send(self, timeout: float, *, last: bool = False) -> None:
        routes = self._handler.routes
        report = WorkerReport(
            worker=self.worker,
            revision=routes.revision,
            endpoints=tuple(routes.endpoints),
            failures={name: why[:1000] for name, why in self._handler.failures.items() if name not in routes.endpoints},
            counts=self._metrics.counts(),
            leaving=last or self._handler.draining,
            breakers=self._breakers(),
            stopped=last,
        )
        try:
            self._control.report(report, timeout)
        except BailiwickError as error:
            if self._reached and not last:  # once, not every few seconds of an outage
                _log.warning("the control plane is not told how this worker does: %s", error)
            self._reached = False
        else:
            self._reached = True

    def _breakers(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for endpoint, variant, state in self._metrics.breakers():
            if state:
                found.setdefault(endpoint, {})[variant] = State(state).name.lower()
        return found
