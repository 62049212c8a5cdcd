"""Run by test_webhooks_crash.py: forks a process for each fault point of the outbox, which kills itself there, and a successor.

Prints one JSON line a round: whether the first process died, and what is in the database in the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from bailiwick.core.actor import system_actor
from bailiwick.lifecycle.events.cloudevents import CloudEventsFormat
from bailiwick.store import faults
from bailiwick.store.database import Database
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.webhooks.address import AddressRules
from bailiwick.webhooks.courier import Courier
from bailiwick.webhooks.file_sink import FileSink
from bailiwick.webhooks.outbox import Outbox
from bailiwick.webhooks.sender import Sender
from bailiwick.webhooks.service import MANAGE, WebhookService
from bailiwick.webhooks.vault import Vault

ACTOR = system_actor("default", "crash")
EVENTS = 3


def parts(home: Path) -> tuple[Records, WebhookService, Outbox, Sender]:
    records = Records(Database(f"sqlite:///{home}/bailiwick.db"))
    vault, sender, formats = Vault(home / "keys"), Sender(AddressRules(private=True)), (CloudEventsFormat(),)
    return records, WebhookService(records, vault, sender, formats), Outbox(records, vault, formats), sender


def prepare(home: Path, url: str) -> None:
    migrate(Database(f"sqlite:///{home}/bailiwick.db"))
    records, service, _, _ = parts(home)
    hook = service.create(ACTOR, "a", url=url, events=["thing.*"], format="cloudevents", secret="a secret of length")
    for number in range(EVENTS):
        with records.change(ACTOR, MANAGE) as change:
            change.record(f"thing.n{number}", "thing/one")
    service.replay(ACTOR, hook.id, position=0)
    records.database.close()


def work(home: Path) -> None:
    """Collect, replay and send until nothing is left."""
    records, _, outbox, sender = parts(home)
    Sequencer(records.database, home / "journal", Signer.in_folder(home / "keys")).integrate()
    sink = FileSink(records.database, CloudEventsFormat(), home / "events.jsonl")
    while outbox.collect() + outbox.catch_up() + sink.collect():
        pass
    courier = Courier(outbox, sender)
    while courier.dispatch() or courier.busy:
        pass
    courier.close()


def forked(fault: str, home: Path) -> int:
    child = os.fork()
    if child == 0:
        faults.arm(fault)
        work(home)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status


def main(folder: Path, url: str) -> None:
    prepared = folder / "prepared"
    prepared.mkdir()
    prepare(prepared, f"{url}/ROUND")
    for number in range(1, 100):
        home = folder / str(number)
        shutil.copytree(prepared, home)
        rewrite(home, f"{url}/{number}")
        died = os.WTERMSIG(status) == signal.SIGKILL if (status := forked(f"*:{number}", home)) else False
        successor = forked("", home)
        _, service, _, _ = parts(home)
        hook = service.webhooks("default")[0]
        ended = [[each.id, each.event, each.status] for each in reversed(service.deliveries("default", hook.id))]
        lines = [json.loads(line)["type"] for line in (home / "events.jsonl").read_text().splitlines()]
        told = {"round": number, "died": died, "successor": successor, "deliveries": ended, "lines": lines}
        print(json.dumps(told), flush=True)
        if not died:
            return


def rewrite(home: Path, url: str) -> None:
    records, service, _, _ = parts(home)
    service.update(ACTOR, service.webhooks("default")[0].id, url=url)
    records.database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
