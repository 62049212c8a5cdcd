"""Sends what waits: each webhook's deliveries in order, many webhooks at once, none behind another that is slow.

Two lanes keep them apart. A webhook whose last attempt failed or took long goes by the slow one, so receivers that hang
can fill only that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bailiwick.core.errors import BailiwickError
from bailiwick.store import faults
from bailiwick.webhooks.model import Answer, DeliveryStatus
from bailiwick.webhooks.outbox import Outbox, Outgoing
from bailiwick.webhooks.sender import Sender

FAST_THREADS = 8
SLOW_THREADS = 16
SLOW_MS = 1_000
TURN = 50
"""Deliveries sent in one go before other webhooks have their turn."""

log = logging.getLogger("bailiwick.outbox")


class Courier:
    """Threads over an outbox. `may_send` is asked before each attempt: whether this process is still the one that sends."""

    def __init__(self, outbox: Outbox, sender: Sender, *, may_send: Callable[[], bool] = lambda: True) -> None:
        self._outbox = outbox
        self._sender = sender
        self._may_send = may_send
        self._fast = ThreadPoolExecutor(FAST_THREADS, thread_name_prefix="webhooks")
        self._slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="webhooks-slow")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._lagging: set[str] = set()

    def dispatch(self) -> int:
        """Begin to send to every webhook that has something due and is not being sent to; returns to how many."""
        begun = 0
        for outgoing in self._outbox.heads():
            webhook = outgoing.webhook
            with self._lock:
                if webhook.id in self._under_way:
                    continue
                self._under_way.add(webhook.id)
                slow = webhook.id in self._lagging or webhook.failing_since is not None
            (self._slow if slow else self._fast).submit(self._take_turn, webhook.id)
            begun += 1
        return begun

    @property
    def busy(self) -> bool:
        """Whether anything is being sent."""
        with self._lock:
            return bool(self._under_way)

    def close(self) -> None:
        """Begin nothing more and wait for the attempts that are under way, which have an end."""
        self._may_send = lambda: False
        self._fast.shutdown(wait=True, cancel_futures=True)
        self._slow.shutdown(wait=True, cancel_futures=True)

    def _take_turn(self, webhook_id: str) -> None:
        try:
            for _ in range(TURN):
                outgoing = self._outbox.head(webhook_id) if self._may_send() else None
                if outgoing is None or not self._deliver(outgoing):
                    break
        except Exception:  # a thread's edge: the delivery stays due, and is tried again with the next turn
            log.exception("sending to webhook %s failed", webhook_id)
        finally:
            with self._lock:
                self._under_way.discard(webhook_id)

    def _deliver(self, outgoing: Outgoing) -> bool:
        """Whether the next delivery of this webhook may follow at once, in this lane."""
        faults.reach("webhooks.sending")
        try:
            headers, body = self._outbox.request(outgoing)
        except BailiwickError as error:
            answer = Answer(None, problem=str(error))
        else:
            answer = self._sender.post(outgoing.webhook.url, headers, body)
        faults.reach("webhooks.sent")
        status = self._outbox.finish(outgoing, answer)
        lagging = not answer.succeeded or answer.duration_ms > SLOW_MS
        with self._lock:
            (self._lagging.add if lagging else self._lagging.discard)(outgoing.webhook.id)
        if status is not DeliveryStatus.DELIVERED:
            log.warning(
                "webhook %s: %s %s", outgoing.webhook.id, outgoing.delivery.event, answer.problem or answer.status
            )
        return status is not DeliveryStatus.PENDING and not lagging
