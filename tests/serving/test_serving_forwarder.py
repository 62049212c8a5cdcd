"""Predictions of a machine without a work process: each in the log once, whoever dies or is away meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded, Unavailable
from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import Endpoint
from bailiwick.serving import forwarder as forwarding
from bailiwick.serving.control import ControlClient
from bailiwick.serving.forwarder import Forwarder
from bailiwick.serving.frames import Definition, Outcomes, definition_payload, frame, outcomes_payload
from bailiwick.serving.inbox import SpoolInbox
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.streams import segments, streams
from bailiwick.store.delta import DeltaTables
from tests_support.serving import Serving

STREAM = "a" * 32


class Direct(ControlClient):
    """A control plane without a network, which may not hear or not be heard."""

    def __init__(self, inbox: SpoolInbox) -> None:
        super().__init__("http://127.0.0.1:9")
        self.inbox = inbox
        self.deaf = 0
        self.dumb = 0

    def send_spool(self, stream: str, start: int, *, begins: int, data: bytes) -> int:
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("not heard")
        held = self.inbox.take("default", stream, start, begins=begins, data=data)
        if self.dumb:
            self.dumb -= 1
            raise Unavailable("heard, but the answer is lost")
        return held

    def finish_spool(self, stream: str) -> None:
        self.inbox.finish("default", stream)


def request(rows: int, request_id: str) -> dict[str, object]:
    return {
        "id": request_id,
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": [float(row) for row in range(rows)]},
            {"name": "carrier", "datatype": "BYTES", "shape": [rows], "data": ["AA"] * rows},
        ],
    }


@pytest.fixture
def log(tables: DeltaTables) -> PredictionLog:
    return PredictionLog(tables, "default")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub" / "spool"


def new_inbox(hub: Path, limit: int = 1 << 30) -> SpoolInbox:
    return SpoolInbox(lambda _: hub, limit_bytes=limit)


def ids(log: PredictionLog) -> list[str]:
    return sorted(log.predictions("late")["prediction_id"].to_pylist())


def test_everything_arrives_once_though_answers_are_lost_and_control_restarts(
    new_serving: Callable[..., Serving], hub: Path, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "PART_BYTES", 700)  # in the middle of frames
    serving = new_serving()
    serving.spool.close()
    serving.spool = serving.handler._spool = SpoolWriter(
        serving.home / "spool", limit_bytes=1 << 20, segment_bytes=3000
    )
    serving.route(serving.variant(1))
    control = Direct(new_inbox(hub))
    forwarder, shipper = Forwarder(serving.home / "spool", control), Shipper(hub, log)
    expected = []
    for number in range(40):
        assert serving.infer(request(3, f"r{number}"))[0] == 200
        expected += [f"r{number}:{row}" for row in range(3)]
        control.deaf, control.dumb = number % 3 == 1, number % 4 == 2
        if number % 5 == 0 or control.deaf or control.dumb:
            try:
                forwarder.forward()
            except Unavailable:
                control.deaf = control.dumb = 0
        if number in {13, 27}:
            control.inbox.close()  # control restarts: what it has is put away, the last segment begins anew
            shipper.ship()
            control.inbox = new_inbox(hub)
        if number == 20:
            shipper.ship()
            forwarder = Forwarder(serving.home / "spool", control)  # the worker restarts
    forwarder.forward()
    shipper.ship()
    assert ids(log) == sorted(expected)
    assert len(segments(serving.spool.folder)) == 1  # all but the last are gone
    serving.spool.close()
    forwarder.forward()
    assert list(streams(serving.home / "spool")) == []
    shipper.ship()
    assert ids(log) == sorted(expected)
    assert list(streams(hub)) == []
    serving.spool = SpoolWriter(serving.home / "spool", limit_bytes=1 << 20)  # for the fixture to close


def test_the_control_planes_own_machine_ships_itself(serving: Serving) -> None:
    serving.route(serving.variant(1))
    serving.infer(request(1, "r"))
    dead = SpoolWriter(serving.home / "spool", limit_bytes=1 << 20)
    dead.close()
    forwarder = Forwarder(serving.home / "spool", Direct(new_inbox(serving.home / "spool")))
    with pytest.raises(Conflict, match="one of this machine"):
        forwarder.forward()
    assert {folder.name for folder in streams(serving.home / "spool")} == {serving.spool.stream, dead.stream}


def test_a_worker_that_ends_sends_what_it_has(
    new_serving: Callable[..., Serving], hub: Path, log: PredictionLog
) -> None:
    serving = new_serving()
    serving.route(serving.variant(1))
    forwarder = Forwarder(serving.home / "spool", Direct(new_inbox(hub)))
    forwarder.start()
    serving.infer(request(2, "last"))
    serving.spool.close()
    forwarder.stop()
    Shipper(hub, log).ship()
    assert ids(log) == ["last:0", "last:1"]
    serving.spool = SpoolWriter(serving.home / "other", limit_bytes=1 << 20)


def test_a_gap_is_not_written_over_and_what_is_there_is_not_written_twice(hub: Path) -> None:
    inbox = new_inbox(hub)
    assert inbox.take("default", STREAM, 0, begins=5, data=b"later") == 0
    assert inbox.take("default", STREAM, 0, begins=0, data=b"abc") == 3
    assert inbox.take("default", STREAM, 0, begins=0, data=b"abcde") == 5
    assert inbox.take("default", STREAM, 0, begins=1, data=b"bc") == 5
    assert (hub / STREAM / f"{0:020d}.log").read_bytes() == b"abcde"
    inbox.close()


def test_what_cannot_be_taken_is_refused(hub: Path) -> None:
    inbox = new_inbox(hub, limit=10)
    for stream, start in (("../" + "a" * 29, 0), ("A" * 32, 0), ("a" * 31, 0), (STREAM, -1)):
        with pytest.raises(InvalidInput):
            inbox.take("default", stream, start, begins=0, data=b"x")
    inbox.take("default", STREAM, 0, begins=0, data=b"x" * 8)
    with pytest.raises(LimitExceeded, match="wait to be shipped"):
        inbox.take("default", STREAM, 8, begins=0, data=b"x" * 8)
    inbox.close()
    with pytest.raises(Unavailable, match="being put away"):
        new_inbox(hub).take("default", STREAM, 8, begins=0, data=b"x")


def test_frames_that_nobody_here_wrote_cannot_name_a_table_elsewhere(hub: Path, log: PredictionLog) -> None:
    inbox = new_inbox(hub)
    bad = Definition(1, Endpoint("../../etc", "s", 1, ()), (), ())
    data = frame(definition_payload(bad)) + frame(outcomes_payload(Outcomes("../x", 1, b"{}")))
    data += frame(b"\1\1not JSON")
    inbox.take("default", STREAM, 0, begins=0, data=data)
    inbox.finish("default", STREAM)
    assert Shipper(hub, log).ship() == 0
    assert list(streams(hub)) == []
