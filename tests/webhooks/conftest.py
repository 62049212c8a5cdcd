"""Webhooks over each database, with a journal that is sequenced when a test says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.events.cloudevents import CloudEventsFormat
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.webhooks.address import AddressRules
from bailiwick.webhooks.courier import Courier
from bailiwick.webhooks.model import Answer, Webhook
from bailiwick.webhooks.outbox import Outbox
from bailiwick.webhooks.sender import Sender
from bailiwick.webhooks.service import WebhookService
from bailiwick.webhooks.vault import Vault

URL = "https://example.com/hook"


@dataclass
class Post:
    """The parts as `app.py` joins them."""

    records: Records
    clock: FakeClock
    service: WebhookService
    outbox: Outbox
    sequencer: Sequencer
    sender: Sender
    vault: Vault

    def note(self, actor: Actor, *actions: str) -> None:
        """Journal things that were done, one a change."""
        for action in actions:
            with self.records.change(actor, Permission.READ) as change:
                change.record(action, "thing/one", word=action)

    def collect(self) -> int:
        """Give entries their places, and pass over all of them."""
        self.sequencer.integrate()
        passed = 0
        while step := self.outbox.collect():
            passed += step
        return passed

    def send(self) -> None:
        """Send everything that is due now, and wait for it."""
        courier = Courier(self.outbox, self.sender)
        while courier.dispatch():
            while courier.busy:
                pass
        courier.close()

    def fail_once(self, webhook: Webhook, answer: Answer | None = None) -> str:
        """Pretend that the attempt that is due got this answer; returns what became of the delivery."""
        outgoing = self.outbox.head(webhook.id)
        assert outgoing is not None
        return self.outbox.finish(outgoing, answer or Answer(503))

    def events(self, webhook: Webhook) -> list[str]:
        """Events of all deliveries, oldest first."""
        return [each.event for each in reversed(self.service.deliveries(webhook.workspace, webhook.id))]


@pytest.fixture
def post(records: Records, clock: FakeClock, tmp_path: Path) -> Post:
    """Loopback may be called."""
    vault = Vault(tmp_path / "keys")
    sender = Sender(AddressRules(private=True), total_seconds=2.0)
    formats = (CloudEventsFormat(),)
    service = WebhookService(records, vault, sender, formats)
    outbox = Outbox(records, vault, formats, jitter=lambda: 0.5)
    sequencer = Sequencer(records.database, tmp_path / "journal", Signer("test/journal", bytes(range(32))), clock=clock)
    return Post(records, clock, service, outbox, sequencer, sender, vault)


@pytest.fixture
def hook(post: Post, admin: Actor) -> Webhook:
    """A webhook that hears everything."""
    return post.service.create(admin, "all", url=URL, events=["*"], format="cloudevents")
