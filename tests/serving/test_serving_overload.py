"""More load than a worker can answer: it goes on answering what it can, and tells the rest so at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import Endpoint, Policy, RouteTable, Variant
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.turns import HOLD_SECONDS
from bailiwick.store.delta import DeltaTables
from tests_support.logged_models import python_package
from tests_support.serving import heavy_package
from tests_support.worker import Control, Worker

ROW_SECONDS = 0.01
QUEUE = 30
MODEL = f"""
import time
import numpy as np
class Model:
    def predict(self, rows):
        time.sleep({ROW_SECONDS} * len(rows))
        return {{"probability": rows["x"].to_numpy(np.float32)}}
"""
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [7]}]}).encode()
REQUEST = b"POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    yield made
    made.close()


def route(control: Control, variant: Variant, policy: Policy) -> None:
    with control.changed:
        revision = control.table.revision + 1
        control.table = RouteTable(
            1, revision, (Endpoint("late", "salt", revision, (variant,), "", "", policy=policy),)
        )
        control.changed.notify_all()


async def capacity(port: int, seconds: float, request: bytes = REQUEST) -> float:
    """Requests a second that clients get answered who each send the next when the last is answered."""

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.monotonic() < stop:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
            answered += head.startswith(b"HTTP/1.1 200 ")
        writer.close()
        return answered

    began = time.monotonic()
    stop = began + seconds
    return sum(await asyncio.gather(*(client() for _ in range(QUEUE)))) / (time.monotonic() - began)


async def offered(
    port: int, rate: float, seconds: float, connections: int, requests: Sequence[bytes] = (REQUEST,)
) -> list[tuple[int, float]]:
    """(status, seconds) of each request of an open loop: sent when it is due, whether or not others are answered."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def one(request: bytes) -> tuple[int, float]:
        connection = await free.get()
        began = time.monotonic()
        reader, writer = connection
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        answer = await reader.readexactly(size)
        status = int(head[9:12])
        assert status != 200 or b'"data":[7.0' in answer
        assert status != 503 or b"retry-after: 1" in head
        took = time.monotonic() - began
        free.put_nowait(connection)
        return status, took

    began, tasks = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(one(requests[number % len(requests)])))
    found = await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return list(found)


def three_times(port: int, *, seconds: float) -> tuple[float, list[float], list[float]]:
    """(share of what it could answer that it did answer, seconds of each answer, seconds of each refusal), in order."""
    most = asyncio.run(capacity(port, 2.0))
    found = asyncio.run(offered(port, 3 * most, seconds, 200))
    assert {status for status, _ in found} == {200, 503}
    took = sorted(seconds for status, seconds in found if status == 200)
    refused = sorted(seconds for status, seconds in found if status == 503)
    return len(took) / (most * seconds), took, refused


def test_three_times_what_it_can_answer_leaves_it_answering_what_it_can(control: Control, tmp_path: Path) -> None:
    package = python_package(tmp_path / "package", MODEL, {"x": "FP32"}, {"probability": "FP32"}).read_bytes()
    route(control, control.variant(1, data=package), Policy(queue=QUEUE))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)
    shares: list[float] = []
    for _ in range(4):  # what collapses does so each time; a machine that is busy with other things, now and then
        share, took, refused = three_times(worker.port, seconds=3.0)
        shares.append(share)
        # At worst it waits for one full run and is part of the next; twice that, for a machine that does other things too.
        well = took[int(len(took) * 0.99)] <= 4 * QUEUE * ROW_SECONDS and refused[len(refused) // 2] < 0.1
        if share >= 0.9 and well:
            break
    assert (share >= 0.9, well) == (True, True), (shares, took[-1], refused[-1])
    assert worker.call("POST", "/v2/models/late/infer", json.loads(BODY))[0] == 200  # and it is well again
    worker.stop()


HEAVY_ROWS = 16
IN_LINE = 100
DEADLINE_MS = 60


def heavy(*headers: str) -> bytes:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [HEAVY_ROWS, 1], "data": [7] * HEAVY_ROWS},
        {"name": "carrier", "datatype": "BYTES", "shape": [HEAVY_ROWS, 1], "data": ["AA"] * HEAVY_ROWS},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    said = "".join(f"{header}\r\n" for header in ("Host: x", *headers, f"Content-Length: {len(body)}"))
    return b"POST /v2/models/late/infer HTTP/1.1\r\n%b\r\n%b" % (said.encode(), body)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_model_in_the_event_loop_is_no_slower_for_three_times_what_it_can_answer(
    control: Control, tmp_path: Path
) -> None:
    """By the worker's processor time, which does not depend on what else the machine does."""
    route(control, control.variant(1, data=heavy_package(20_000)), Policy(queue=IN_LINE))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)
    pid, seconds, share, held = worker.process.pid or 0, 2.0, 0.0, 0
    for _ in range(3):  # what collapses does so each time; a machine that is busy with other things, now and then
        before = cpu_seconds(pid)
        most = asyncio.run(capacity(worker.port, 1.5, heavy()))
        each = (cpu_seconds(pid) - before) / (most * 1.5)  # processor seconds of an answer
        held = held or resident_bytes(pid)
        before = cpu_seconds(pid)
        found = asyncio.run(offered(worker.port, 3 * most, seconds, 300, [heavy()]))
        statuses = [status for status, _ in found]
        assert set(statuses) == {200, 503}
        share = max(share, statuses.count(200) * each / (cpu_seconds(pid) - before))
        if share >= 0.9:
            break
    assert share >= 0.9
    assert resident_bytes(pid) - held < 20 << 20
    took = sorted(seconds for status, seconds in found if status == 200)
    line = IN_LINE / most  # what the last in line waits
    assert took[int(len(took) * 0.99)] < 10 * line + 2.0

    found = asyncio.run(offered(worker.port, 3 * most, 1.0, 300, [heavy(f"x-request-deadline-ms: {DEADLINE_MS}")]))
    assert {status for status, _ in found} >= {200, 504}
    assert worker.call("POST", "/v2/models/late/infer", heavy().partition(b"\r\n\r\n")[2])[0] == 200
    worker.stop()


def plain(x: float, rows: int = 1) -> bytes:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": [x] * rows},
        {"name": "carrier", "datatype": "BYTES", "shape": [rows, 1], "data": ["AA"] * rows},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    return b"POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def answers(port: int, x: float, count: int) -> list[tuple[int, bool]]:
    """(status, whether the row is this client's) of requests one after another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for _ in range(count):
        writer.write(plain(x))
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        found.append((int(head[9:12]), b'"data":[%.1f]' % (1010 + x) in answer))
    writer.close()
    return found


def test_clients_that_do_not_read_hold_up_nobody_and_take_no_memory(control: Control, tmp_path: Path) -> None:
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)

    async def story() -> list[list[tuple[int, bool]]]:
        silent = []
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", worker.port, limit=1024)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(plain(5, rows=500) * 400)
            silent.append(writer)
        await asyncio.gather(*(answers(worker.port, float(x), 50) for x in range(4)))
        before = resident_bytes(worker.process.pid or 0)
        found = await asyncio.gather(*(answers(worker.port, float(x), 200) for x in range(8)))
        assert resident_bytes(worker.process.pid or 0) - before < 30 << 20
        for writer in silent:
            writer.transport.abort()
        return list(found)

    for found in asyncio.run(story()):
        assert set(found) == {(200, True)}
    worker.stop()


def test_a_log_that_nobody_ships_is_503_and_no_memory_and_then_well_again(control: Control, tmp_path: Path) -> None:
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port, spool_bytes=100_000)
    worker.wait_for(1)

    async def story(count: int) -> set[tuple[int, bool]]:
        return {
            each
            for found in await asyncio.gather(*(answers(worker.port, 1.0, count) for _ in range(8)))
            for each in found
        }

    assert asyncio.run(story(100)) == {(200, True), (503, False)}
    before = resident_bytes(worker.process.pid or 0)
    assert asyncio.run(story(100)) == {(503, False)}
    assert resident_bytes(worker.process.pid or 0) - before < 10 << 20
    log = PredictionLog(DeltaTables(str(tmp_path / "tables")), "default")
    kept = Shipper(tmp_path / "spool", log).ship()
    assert asyncio.run(story(3)) == {(200, True)}
    assert kept == log.predictions("late").num_rows > 100
    worker.stop()


def test_a_worker_that_is_killed_loses_no_answer_it_gave(control: Control, tmp_path: Path) -> None:
    """Answers of a turn leave only when all of it is written down."""
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)
    given: set[str] = set()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                writer.write(plain(1.0))
                head = await reader.readuntil(b"\r\n\r\n")
                answer = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
                given.add(json.loads(answer)["id"])
        writer.close()

    async def story() -> None:
        clients = [asyncio.create_task(client()) for _ in range(12)]
        await asyncio.sleep(1.0)
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        await asyncio.gather(*clients)

    asyncio.run(story())
    worker.process.join(10)
    log = PredictionLog(DeltaTables(str(tmp_path / "tables")), "default")
    Shipper(tmp_path / "spool", log).ship()
    kept = log.predictions("late")["request_id"].to_pylist()
    assert len(kept) == len(set(kept))
    assert given <= set(kept)
    assert len(given) > 100


def test_clients_that_are_refused_and_ask_again_at_once_do_not_keep_others_from_being_answered(
    control: Control, tmp_path: Path
) -> None:
    route(control, control.variant(1), Policy(queue=4))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)
    seconds, connections = 2.0, 60

    async def client(statuses: list[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        while time.monotonic() < stop:
            writer.write(plain(1.0))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
            statuses.append(int(head[9:12]))
        writer.close()

    async def story() -> list[int]:
        statuses: list[int] = []
        await asyncio.gather(*(client(statuses) for _ in range(connections)))
        return statuses

    stop = time.monotonic() + seconds
    statuses = asyncio.run(story())
    assert set(statuses) == {200, 503}
    assert statuses.count(503) <= connections * (seconds / HOLD_SECONDS + 2)
    assert statuses.count(200) > 100
    worker.stop()
