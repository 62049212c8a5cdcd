"""What is answered where its bytes arrive is answered as the application would, and everything else by the application."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.lifecycle.platform import Platform
from bailiwick.server.asgi import create_app
from bailiwick.server.middleware import SECURITY_HEADERS
from bailiwick.server.mlflow.connection import Incomplete, PlainRequests, connections
from bailiwick.server.mlflow.desk import MlflowDesk

API = "/api/2.0/mlflow/"
NONE: Mapping[str, str] = {}
PEER = ("127.0.0.1", 4711)
HEADERS = {
    "Host": "127.0.0.1:8600",
    "User-Agent": "mlflow-python-client/3.18.0",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
    "X-MLflow-Client-Version": "3.18.0",
}
"""What the MLflow client of that version sends."""


@pytest.fixture
def desk(platform: Platform) -> MlflowDesk:
    desk: MlflowDesk = create_app(platform).state.mlflow
    desk.last = PEER
    return desk


@pytest.fixture
def run_id(platform: Platform) -> str:
    local = platform.identities.local_admin("default")
    experiment = platform.tracking.create_experiment(local, "training")
    return platform.tracking.create_run(local, experiment.id, name="first").id


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """The bytes of a request; a header that is empty is left out."""
    data = b"" if body is None else json.dumps(body).encode()
    sent = {**HEADERS, **({"Content-Type": "application/json", "Content-Length": str(len(data))} if data else {})}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + data


def logged(run_id: str, step: int = 0, headers: Mapping[str, str] = NONE) -> bytes:
    """One point."""
    point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1_000 + step, "step": step}
    return request("POST", f"{API}runs/log-metric", point, **headers)


class TestWhatIsAnsweredAtOnce:
    """A whole, small request to a prompt route, from the user of this machine, who is alone."""

    def test_a_run_is_read(self, desk: MlflowDesk, run_id: str) -> None:
        answer = PlainRequests(desk).answer(request("GET", f"{API}runs/get?run_id={run_id}"), PEER)
        assert answer is not None
        assert isinstance(answer.said, bytes)
        assert json.loads(answer.said)["run"]["info"]["run_name"] == "first"

    def test_a_point_is_logged(self, desk: MlflowDesk, platform: Platform, run_id: str) -> None:
        answer = PlainRequests(desk).answer(logged(run_id), PEER)
        assert answer is not None
        assert answer.said == b"{}"
        assert platform.tracking.run("default", run_id).metrics == {"loss": 0.5}

    def test_a_refusal_is_told_in_the_words_of_the_protocol(self, desk: MlflowDesk) -> None:
        answer = PlainRequests(desk).answer(logged("no-such-run"), PEER)
        assert answer is not None
        assert not isinstance(answer.said, bytes)
        assert answer.said.status_code == 404
        assert json.loads(bytes(answer.said.body))["error_code"] == "RESOURCE_DOES_NOT_EXIST"

    def test_it_is_counted(self, desk: MlflowDesk, platform: Platform, run_id: str) -> None:
        PlainRequests(desk).answer(logged(run_id), PEER)
        text = desk.metrics.text(platform, "default").decode()
        assert 'bailiwick_http_requests_total{method="POST",route="/mlflow/runs/log-metric",status="200"} 1.0' in text

    @pytest.mark.parametrize("kept", [1, 30, 150, -1])
    def test_the_rest_of_a_request_is_waited_for(self, desk: MlflowDesk, run_id: str, kept: int) -> None:
        whole = logged(run_id)
        if kept == 1:
            assert PlainRequests(desk).answer(b"G", PEER) is None  # may be anything yet
        else:
            with pytest.raises(Incomplete):
                PlainRequests(desk).answer(whole[:kept], PEER)


class TestWhatIsHandedOn:
    """Nothing of it is done, so the application may do it."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "Bearer secret"},
            {"Cookie": "bailiwick_token=secret"},
            {"Origin": "http://elsewhere.example"},
            {"Sec_Fetch_Site": "cross-site"},
            {"X_Forwarded_For": "10.0.0.1"},
            {"Forwarded": "for=10.0.0.1"},
            {"X_MLFLOW_WORKSPACE": "other"},
            {"Bailiwick_Workspace": "other"},
            {"Host": "control.example:8600"},
            {"Host": ""},
            {"Connection": "close"},
            {"Connection": "keep-alive, upgrade"},
            {"Expect": "100-continue"},
            {"Transfer_Encoding": "chunked"},
            {"Content_Encoding": "gzip"},
            {"Content_Type": "text/plain"},
            {"Content_Type": "application/json; charset=latin-1"},
            {"Content_Length": "99999"},
            {"Content_Length": "+10"},
            {"Content_Length": "1e2"},
            {"User_Agent": "caf\u00e9"},
        ],
    )
    def test_any_other_header(self, desk: MlflowDesk, platform: Platform, run_id: str, headers: dict[str, str]) -> None:
        assert PlainRequests(desk).answer(logged(run_id, headers=headers), PEER) is None
        assert platform.tracking.run("default", run_id).metrics == {}

    @pytest.mark.parametrize(
        "change",
        [
            (b"HTTP/1.1", b"HTTP/1.0"),
            (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
            (b"POST", b"PUT"),
            (b"log-metric", b"log-m%65tric"),
            (b"log-metric", b"../runs/log-metric"),
            (b"log-metric", b"delete"),
            (b" /api", b"  /api"),
            (b"Accept: */*", b"Accept : */*"),
            (b"Accept: */*", b"Accept: */*\r\nAccept: */*"),
            (b"Accept: */*", b"Accept: a\r\n b"),
            (b"Accept: */*", b"Accept: a\x00b"),
            (b"Content-Length", b"Content-Length: 5\r\nContent-Length"),
        ],
    )
    def test_anything_written_in_another_way(
        self, desk: MlflowDesk, platform: Platform, run_id: str, change: tuple[bytes, bytes]
    ) -> None:
        assert change[0] in logged(run_id)
        assert PlainRequests(desk).answer(logged(run_id).replace(*change, 1), PEER) is None
        assert platform.tracking.run("default", run_id).metrics == {}

    def test_a_request_behind_which_another_is_here_already(self, desk: MlflowDesk, run_id: str) -> None:
        assert PlainRequests(desk).answer(logged(run_id) + logged(run_id, 1), PEER) is None
        assert PlainRequests(desk).answer(logged(run_id) + b"G", PEER) is None

    def test_a_change_of_one_client_among_several(self, desk: MlflowDesk, run_id: str) -> None:
        desk.last = ("127.0.0.1", 4712)
        assert PlainRequests(desk).answer(logged(run_id), PEER) is None

    def test_a_client_on_another_machine(self, desk: MlflowDesk, run_id: str) -> None:
        elsewhere = desk.last = ("192.0.2.7", 4711)
        assert PlainRequests(desk).answer(logged(run_id), elsewhere) is None

    def test_a_question_with_a_body(self, desk: MlflowDesk, run_id: str) -> None:
        assert PlainRequests(desk).answer(request("GET", f"{API}runs/get", {"run_id": run_id}), PEER) is None

    def test_a_large_body(self, desk: MlflowDesk, run_id: str) -> None:
        points = [{"key": f"m{n}", "value": 1, "timestamp": 1} for n in range(900)]
        assert (
            PlainRequests(desk).answer(
                request("POST", f"{API}runs/log-batch", {"run_id": run_id, "metrics": points}), PEER
            )
            is None
        )

    def test_a_head_that_does_not_end(self, desk: MlflowDesk) -> None:
        assert PlainRequests(desk).answer(b"GET /" + b"a" * 5_000, PEER) is None

    def test_a_change_while_another_process_writes(self, desk: MlflowDesk, platform: Platform, run_id: str) -> None:
        other = sqlite3.connect(platform.database.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert PlainRequests(desk).answer(logged(run_id), PEER) is None
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert PlainRequests(desk).answer(logged(run_id), PEER) is not None
        assert platform.tracking.run("default", run_id).metrics == {"loss": 0.5}


@pytest.fixture
def port(platform: Platform) -> Iterator[int]:
    """The control plane on a socket, with our connections."""
    app = create_app(platform)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=connections(app.state.mlflow),
            log_config=None,
            lifespan="off",
            timeout_keep_alive=1,
            server_header=False,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(20)


class Wire:
    """A connection on which bytes are sent as they are, and answers are read one by one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        """Each as a packet of its own."""
        for part in parts:
            self._socket.sendall(part)
            if len(parts) > 1:
                time.sleep(0.002)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        status = int(self._stream.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self._stream.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self._stream.read(int(headers.get("content-length", 0)))

    def is_closed(self) -> bool:
        """Whether the server closes the connection now."""
        return self._stream.read(1) == b""

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture
def wire(port: int) -> Iterator[Wire]:
    made = Wire(port)
    yield made
    made.close()


class TestOnAConnection:
    """Requests of both kinds, one after the other and cut anywhere."""

    def test_both_ways_answer_with_the_same_bytes(self, wire: Wire, run_id: str) -> None:
        reading = f"{API}runs/get?run_id={run_id}"
        for sent in (reading, f"{API}runs/get?run_id=nothing", f"{API}runs/get"):
            wire.send(request("GET", sent, User_Agent="curl/8"))
            at_once = wire.answer()
            wire.send(request("GET", sent, User_Agent="curl/8", X_Anything="else"))
            by_the_application = wire.answer()
            for each in (at_once, by_the_application):
                each[1].pop("date")
            assert at_once == by_the_application

    def test_mlflows_client_is_not_told_what_only_browsers_heed(self, wire: Wire, run_id: str) -> None:
        """It takes 10 µs to read each header."""
        for sent in (request("GET", f"{API}runs/get?run_id={run_id}"), request("GET", f"{API}runs/get")):
            wire.send(sent)
            headers = wire.answer()[1]
            assert set(headers) == {"date", "content-length", "content-type", "cache-control"}
            assert headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("agent", ["Mozilla/5.0", "python-requests/2.32", "not-mlflow-python-client/3", ""])
    def test_everyone_else_is_told_everything(self, wire: Wire, run_id: str, agent: str) -> None:
        wire.send(request("GET", f"{API}runs/get?run_id={run_id}", User_Agent=agent))
        told = wire.answer()[1]
        assert {name.lower() for name in SECURITY_HEADERS} < set(told)
        assert told["cache-control"] == "no-store"

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_however_the_bytes_are_cut_each_request_has_its_answer(
        self, wire: Wire, run_id: str, data: st.DataObject
    ) -> None:
        kinds = data.draw(st.lists(st.sampled_from("gphb"), min_size=1, max_size=5))
        made = {
            "g": request("GET", f"{API}runs/get?run_id={run_id}"),
            "p": logged(run_id, 7),
            "h": request("GET", "/health"),
            "b": request("POST", f"{API}runs/log-metric", {"run_id": run_id}),
        }
        stream = b"".join(made[kind] for kind in kinds)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
        wire.send(*(stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
        expected = {"g": 200, "p": 200, "h": 200, "b": 400}
        assert [wire.answer()[0] for _ in kinds] == [expected[kind] for kind in kinds]

    def test_the_body_may_come_after_the_head(self, wire: Wire, run_id: str) -> None:
        for step in range(3):  # the first makes this client the one that is alone
            head, _, body = logged(run_id, step).partition(b"\r\n\r\n")
            wire.send(head + b"\r\n\r\n", body)
            assert wire.answer()[::2] == (200, b"{}")

    def test_what_is_no_http_is_refused(self, wire: Wire) -> None:
        wire.send(b"GET /" + b"\x00" * 10 + b"\r\n\r\n")
        assert wire.answer()[0] == 400
        assert wire.is_closed()

    def test_a_client_that_asks_to_close_is_closed(self, wire: Wire, run_id: str) -> None:
        wire.send(request("GET", f"{API}runs/get?run_id={run_id}", Connection="close"))
        assert wire.answer()[0] == 200
        assert wire.is_closed()

    def test_an_idle_connection_is_closed_after_a_while(self, wire: Wire, run_id: str) -> None:
        wire.send(request("GET", f"{API}runs/get?run_id={run_id}"))
        assert wire.answer()[0] == 200
        assert wire.is_closed()

    def test_a_page_of_another_site_is_refused(self, wire: Wire, run_id: str) -> None:
        wire.send(logged(run_id), logged(run_id, 1, {"Origin": "http://elsewhere.example"}))
        assert [wire.answer()[0], wire.answer()[0]] == [200, 403]

    def test_several_clients_log_at_once(self, port: int, platform: Platform, run_id: str) -> None:
        def log(first: int) -> None:
            wire = Wire(port)
            for step in range(first, first + 20):
                wire.send(logged(run_id, step))
                assert wire.answer()[0] == 200
            wire.close()

        threads = [threading.Thread(target=log, args=(first,)) for first in range(0, 80, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(platform.tracking.metric_history("default", run_id, "loss")) == 80
