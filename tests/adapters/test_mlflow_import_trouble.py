"""A server that is none, that wants a login, that dies or talks garbage: one clear message, and nothing half."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bailiwick.adapters.mlflow.census import Report
from bailiwick.adapters.mlflow.connection import Credentials, MlflowConnection
from bailiwick.adapters.mlflow.migration import Migration
from bailiwick.adapters.mlflow.remote import RemoteMlflow
from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError, InvalidInput, Unauthenticated, Unavailable
from bailiwick.lifecycle.platform import Platform
from tests_support.fake_mlflow import FILES, Answer, FakeMlflow
from tests_support.mlflow_story import RUNS
from tests_support.server import free_port

Look = Callable[..., Report]


def always(status: int, data: bytes, within: str = "") -> Callable[..., Answer | None]:
    return lambda _method, path, _given: (status, data) if within in path else None


def times(count: int, status: int, data: bytes, within: str) -> Callable[..., Answer | None]:
    left = [count]

    def fault(_method: str, path: str, _given: dict[str, Any]) -> Answer | None:
        if within not in path or not left[0]:
            return None
        left[0] -= 1
        return status, data

    return fault


@pytest.mark.parametrize(
    ("status", "data", "error", "words"),
    [
        (404, b"<html>not here</html>", InvalidInput, "There is no MLflow server at"),
        (200, b"<html>hello</html>", Unavailable, r"was not answered in JSON.*Is this the address of an MLflow server"),
        (200, b"[1]", Unavailable, "was not answered with a JSON object"),
        (200, b'{"experiments": 5}', Unavailable, "'experiments' is not a list of objects"),
        (200, b'{"experiments": [{"name": 5}]}', Unavailable, "name is '5'"),
        (200, b"[" * 100_000, Unavailable, "was not answered in JSON"),
        (401, b"", Unauthenticated, "BAILIWICK_SOURCE_TOKEN"),
        (403, b"no", Unauthenticated, "refuses to be read"),
        (302, b"https://elsewhere.example/login", InvalidInput, r"leads on to https://elsewhere\.example/login"),
        (400, b"\x1b[31mwhat\xff", Unavailable, "HTTP 400"),
        (503, b"starting", Unavailable, "HTTP 503 starting"),
    ],
)
def test_what_is_no_mlflow_server_is_said_and_nothing_is_written(
    platform: Platform,
    move: Look,
    remote: FakeMlflow,
    status: int,
    data: bytes,
    error: type[BailiwickError],
    words: str,
) -> None:
    remote.fault = always(status, data)
    with pytest.raises(error, match=words):
        move()
    assert platform.journal.entries("default", limit=5) == []


@pytest.mark.parametrize(
    "url",
    [
        "mlflow:5000",
        "ftp://host",
        "http://",
        "http://a b",
        "http://host:99999",
        "http://[::1",
        "http://host/?x=1",
        "http://höst",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the address of an MLflow server"):
        MlflowConnection(url)


def test_credentials_in_the_address_are_refused_unsaid() -> None:
    with pytest.raises(InvalidInput, match="do not belong into the address") as refusal:
        MlflowConnection("http://ana:secret@host:5000")
    assert "secret" not in str(refusal.value)


def test_nobody_listening_is_said_at_once() -> None:
    connection = MlflowConnection(f"http://127.0.0.1:{free_port()}", sleep=lambda _: pytest.fail("it waits"))
    with pytest.raises(Unavailable, match=r"cannot be read: .*refused.*Is its address right"):
        RemoteMlflow(connection).check()


def test_credentials_are_sent_as_the_server_wants_them(remote: FakeMlflow) -> None:
    for credentials, sent in (
        (Credentials(token="t0"), "Bearer t0"),
        (Credentials(user="ana", password="é:x"), "Basic YW5hOsOpOng="),
    ):
        connection = MlflowConnection(remote.url, credentials, workspace="team")
        RemoteMlflow(connection).check()
        connection.close()
        assert remote.headers[-1]["Authorization"] == sent
        assert remote.headers[-1]["X-MLFLOW-WORKSPACE"] == "team"
    with pytest.raises(InvalidInput, match="no HTTP header can"):
        MlflowConnection(remote.url, Credentials(token="a\nb"))


@pytest.mark.parametrize("within", ["runs/search", "get-history", "mlflow-artifacts", "model-versions/search"])
@pytest.mark.parametrize("status", [503, 299])
def test_passing_faults_are_tried_again(move: Look, remote: FakeMlflow, within: str, status: int) -> None:
    remote.fault = times(2, status, b"{", within)
    assert move().agrees


@pytest.mark.parametrize(
    "within", ["runs/search", "get-history", f"{FILES}/", "logged-models", "registered-models/get"]
)
def test_a_server_that_dies_leaves_what_came_and_the_rest_comes_the_next_time(
    platform: Platform, move: Look, remote: FakeMlflow, within: str
) -> None:
    seen = [0]

    def dies(_method: str, path: str, _given: dict[str, Any]) -> Answer | None:
        seen[0] += within in path
        return (503, b"gone") if seen[0] > 1 or (within in path and "models" in within) else None

    remote.fault = dies
    with pytest.raises(Unavailable, match="cannot be read"):
        move()
    assert not [each for each in platform.artifacts.files("default", "") if each.digest == ""]
    remote.fault = lambda *_: None
    assert move().agrees


def test_a_file_that_never_comes_whole_is_not_kept(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    remote.fault = always(299, b"to", f"/{RUNS[0]}/artifacts/top.txt")
    with pytest.raises(Unavailable, match="broke off"):
        move()
    assert "top.txt" not in {each.path.rpartition("/")[2] for each in platform.artifacts.files("default", "")}


def test_a_file_of_another_size_than_was_listed_is_not_kept(move: Look, remote: FakeMlflow) -> None:
    remote.fault = always(200, b"longer than it was", "top.txt")
    with pytest.raises(Unavailable, match=r"sends 18 bytes of 'top\.txt', which it lists with 3"):
        move()


def test_a_file_that_is_gone_when_it_is_asked_for_is_not_counted(move: Look, remote: FakeMlflow) -> None:
    remote.fault = always(404, b"{}", "top.txt")
    report = move()
    assert (report.agrees, report.there.artifact_files) == (True, 3)


@pytest.mark.parametrize("status", [400, 500])
def test_files_that_the_server_will_not_list_or_send_are_told_and_the_rest_comes(
    platform: Platform, move: Look, remote: FakeMlflow, status: int
) -> None:
    def refuses(_method: str, path: str, given: dict[str, Any]) -> Answer | None:
        folder = path == FILES and str(given.get("path", "")).endswith(f"{RUNS[0]}/artifacts")
        return (status, b"Invalid path") if folder or "best" in path else None

    remote.files[f"7/{RUNS[1]}/artifacts/best.bin"] = b"x"
    remote.files[f"7/{RUNS[1]}/artifacts/good.txt"] = b"y"
    remote.fault = refuses
    report = move()
    told = {note.what: note.why for note in report.notes if not note.kept_there}
    assert f"HTTP {status}" in told[f"artifacts of run {RUNS[0]}"]
    assert f"HTTP {status}" in told[f"artifact 'best.bin' of run {RUNS[1]}"]
    assert "good.txt" in {each.path.rpartition("/")[2] for each in platform.artifacts.files("default", "")}
    assert report.there.runs == report.here.runs == len(RUNS) + 1
    remote.fault = lambda *_: None
    assert move().agrees


def test_folders_without_end_are_not_followed(move: Look, remote: FakeMlflow) -> None:
    def endless(_method: str, path: str, _given: dict[str, Any]) -> Answer | None:
        listed = {"files": [{"path": "again", "is_dir": True}]}
        return (200, json.dumps(listed).encode()) if path == FILES else None

    remote.fault = endless
    with pytest.raises(Unavailable, match="more than 50 folders within each other"):
        move()


def test_pages_without_end_are_not_followed(move: Look, remote: FakeMlflow) -> None:
    remote.fault = always(200, b'{"experiments": [], "next_page_token": "x"}', "experiments/search")
    with pytest.raises(Unavailable, match="the same page again and again"):
        move()


@pytest.mark.parametrize(
    "record",
    [
        {"info": 5},
        {"info": {}},
        {"info": {"run_id": "x", "start_time": "soon"}},
        {"info": {"run_id": "x"}, "data": {"params": [5]}},
        {"info": {"run_id": "x"}, "data": {"tags": {"a": "b"}}},
        {"info": {"run_id": "x"}, "inputs": {"dataset_inputs": [{"dataset": {}}]}},
        {"info": {"run_id": "x"}, "data": {"metrics": [{"value": 1}]}},
    ],
)
def test_runs_that_no_mlflow_server_tells_of_stop_the_move(
    move: Look, remote: FakeMlflow, record: dict[str, Any]
) -> None:
    remote.fault = always(200, json.dumps({"runs": [record]}).encode(), "runs/search")
    with pytest.raises(Unavailable, match=r"does not answer as MLflow does|is not a list"):
        move()


@pytest.mark.parametrize("value", ["much", True, None, [1]])
def test_a_metric_without_a_number_stops_the_move(move: Look, remote: FakeMlflow, value: object) -> None:
    point = {"key": "loss", "value": value, "timestamp": 1, "step": 0}
    remote.fault = always(200, json.dumps({"metrics": [point]}).encode(), "get-history")
    with pytest.raises(Unavailable, match="the value of a metric is"):
        move()


def test_a_model_name_that_cannot_be_kept_is_refused_first(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    remote.model("up/../../here", 1)
    with pytest.raises(InvalidInput, match="must be printable"):
        move()
    assert platform.tracking.runs("default") == []


def test_two_moves_at_once_double_nothing(
    platform: Platform, migration: Callable[..., Migration], actor: Actor
) -> None:
    with ThreadPoolExecutor(2) as together:
        moves = [together.submit(migration(actor=actor).move) for _ in range(2)]
    assert [each.result().source for each in moves]
    assert migration().verify().agrees
