"""Connections spread over workers: new ones at once, kept ones when a worker joins, none lost when it goes."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.endpoints.model import Endpoint, Policy, Quota, RouteTable
from bailiwick.serving.balance import Balance
from tests_support.server import until
from tests_support.worker import Control, Worker

BODY = json.dumps(
    {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
        ]
    }
)


class Clients:
    """Connections that are kept."""

    def __init__(self, port: int, many: int) -> None:
        self.connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(many)]

    def ask(self) -> None:
        """One request on each; a connection that was dropped would raise."""
        for connection in self.connections:
            if connection.sock is None:
                connection.connect()
            connection.auto_open = 0
            connection.request("POST", "/v2/models/late/infer", BODY)
            answer = connection.getresponse()
            assert (answer.status, b"1011.0" in answer.read()) == (200, True)

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    made.route(made.variant(1))
    yield made
    made.close()


@pytest.fixture
def worker(control: Control, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / ("a long name for a home " * 5), control.port)  # longer than a socket's path may be
    made.wait_for(1)
    yield made
    made.stop()


def spread(worker: Worker, *counts: int) -> None:
    """Wait until the workers have so many connections."""
    until(lambda: sorted(worker.connections().values()) == list(counts), f"connections {counts}")


def test_new_connections_are_dealt_evenly_and_kept_ones_follow_a_worker_that_joins(
    worker: Worker, control: Control
) -> None:
    second = Worker(worker.home, control.port, port=worker.port)
    second.wait_beside(1)
    clients = Clients(worker.port, 64)
    clients.ask()
    spread(worker, 32, 32)
    clients.ask()
    third = Worker(worker.home, control.port, port=worker.port)
    third.wait_beside(2)
    spread(worker, 21, 21, 22)
    clients.ask()
    clients.close()
    spread(worker, 0, 0, 0)
    third.stop()
    second.stop()


def test_a_worker_that_is_killed_takes_only_its_own_along(worker: Worker, control: Control) -> None:
    second = Worker(worker.home, control.port, port=worker.port)
    second.wait_beside(1)
    os.kill(second.process.pid or 0, signal.SIGKILL)
    second.process.join(10)
    clients = Clients(worker.port, 9)  # some are meant for the dead one, until somebody notices
    clients.ask()
    assert worker.connections() == {worker.process.pid: 9}
    clients.close()


def test_a_worker_that_stops_hands_over_every_connection(worker: Worker, control: Control) -> None:
    clients = Clients(worker.port, 40)
    clients.ask()
    second = Worker(worker.home, control.port, port=worker.port)
    second.wait_beside(1)
    spread(worker, 20, 20)
    second.stop()
    spread(worker, 40)
    clients.ask()  # on the same connections
    clients.close()


def test_a_request_in_the_middle_stays_where_it_is(worker: Worker, control: Control) -> None:
    halves = []
    head = f"POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
    for size in (1, 4, 40, len(head) - 1):
        client = socket.create_connection(("127.0.0.1", worker.port), timeout=10)
        client.sendall(head[:size])
        halves.append((client, head[size:]))
    clients = Clients(worker.port, 4)
    clients.ask()
    spread(worker, 8)
    second = Worker(worker.home, control.port, port=worker.port)
    second.wait_beside(1)
    spread(worker, 4, 4)
    for client, rest in halves:
        client.sendall(rest)
        assert b"1011.0" in client.recv(65536)
        client.close()
    clients.ask()
    clients.close()
    second.stop()


def test_counts_survive_nonsense(tmp_path: Path) -> None:
    async def run() -> None:
        balance = Balance(tmp_path, 1)
        balance.join(lambda _: None)
        left, right = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        assert balance.settle(transport)
        assert balance.excess() == 0
        assert not balance.hand_over(transport)
        other = Balance(tmp_path, 1)
        other._process = 999_999_999 % (1 << 22)  # nobody
        other._slot = 1
        other._write(1, other._process, 0)
        assert balance.settle(transport)  # nobody takes it
        assert balance._others() == []
        balance.left()
        balance.left()
        balance.left()
        other.close()
        transport.close()
        right.close()
        balance.close()

    asyncio.run(run())


def test_a_client_has_one_quota_at_all_workers_of_a_machine(worker: Worker, control: Control) -> None:
    second = Worker(worker.home, control.port, port=worker.port, worker=1)
    second.wait_beside(1)
    policy = Policy(quota=Quota(per_second=0.001, burst=10, by="header:x-client"))
    with control.changed:
        endpoint = Endpoint("late", "salt", 2, (control.variant(1),), "", "", policy=policy)
        control.table = RouteTable(1, 2, (endpoint,))
        control.changed.notify_all()
    connections = [http.client.HTTPConnection("127.0.0.1", worker.port, timeout=10) for _ in range(8)]
    for connection in connections:
        connection.connect()
    spread(worker, 4, 4)

    def ask(connection: http.client.HTTPConnection, client: str) -> int:
        connection.request("POST", "/v2/models/late/infer", BODY, {"x-client": client})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def revision(connection: http.client.HTTPConnection) -> int:
        connection.request("GET", "/v2/health/ready")
        return int(json.loads(connection.getresponse().read())["revision"])

    until(lambda: all(revision(connection) == 2 for connection in connections), "the policy")
    statuses = [ask(connections[n % 8], "a") for n in range(40)]
    assert sorted(statuses) == [200] * 10 + [429] * 30
    assert [ask(connection, "b") for connection in connections] == [200] * 8
    for connection in connections:
        connection.close()
    second.stop()
