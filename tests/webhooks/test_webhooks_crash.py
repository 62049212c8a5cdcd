"""`kill -9` of the sender at every point: nothing is lost, order is kept, and what comes twice has the same id."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests_support.receiver import receiving

DRIVER = Path(__file__).with_name("sender_crash_driver.py")
EVENTS = ["thing.n0", "thing.n1", "thing.n2"]


def test_a_kill_at_any_point_loses_no_event(tmp_path: Path) -> None:
    with receiving() as receiver:
        command = [sys.executable, str(DRIVER), str(tmp_path), receiver.url]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
        rounds = [json.loads(line) for line in done.stdout.splitlines()]
        assert [each["died"] for each in rounds] == [True] * (len(rounds) - 1) + [False]
        # Collecting and replaying (2 each), the file (2 a batch), and sending, sent, finished for each of three events.
        assert len(rounds) - 1 >= 2 + 2 + 2 + 3 * len(EVENTS)
        for each in rounds:
            assert each["successor"] == 0
            assert [(event, status) for _, event, status in each["deliveries"]] == [
                (event, "DELIVERED") for event in EVENTS
            ]
            ids = {event: delivery for delivery, event, _ in each["deliveries"]}
            came = [got for got in receiver.got if got.path == f"/{each['round']}"]
            order = [got.json["type"].removeprefix("dev.bailiwick.") for got in came]
            assert sorted(set(order)) == EVENTS
            assert order == sorted(order), "a later event came before an earlier one"
            assert len(order) <= len(EVENTS) + 1, "only the one attempt under way may be repeated"
            assert all(got.headers["webhook-id"] == ids[event] for got, event in zip(came, order, strict=True))
            assert set(each["lines"]) >= {f"dev.bailiwick.{event}" for event in EVENTS}
