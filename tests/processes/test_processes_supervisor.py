"""`bailiwick up` with real processes: each is killed in turn, then the supervisor itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.processes.home import announced
from tests_support.server import Server, bailiwick, free_port, is_alive, until


def _last_pass(server: Server) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.control}/api/v1/duties", timeout=5) as response:
        duties = json.load(response)["items"]
    return max((duty["pass_finished"] for duty in duties), default=0)


def _fails(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, err


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_three_kinds_of_process_run_and_log_under_the_home(server: Server) -> None:
    assert set(server.children()) == {"control", "serve", "work"}
    assert server.ready()
    assert {path.name for path in (server.home / "logs").iterdir()} == {"control.log", "serve-0.log", "work.log"}


def test_only_its_owner_can_enter_a_home_that_it_made(server: Server) -> None:
    assert server.home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["control", "serve", "work"])
def test_a_killed_child_is_started_again_and_its_service_resumes(server: Server, kind: str) -> None:
    before = server.children()
    os.kill(before[kind], signal.SIGKILL)
    if kind == "control":
        assert server.serves()
    until(lambda: server.children().get(kind) not in {None, before[kind]}, f"another {kind}")
    until(server.ready, "control and inference")
    others = {name: pid for name, pid in server.children().items() if name != kind}
    assert others == {name: pid for name, pid in before.items() if name != kind}
    seen = _last_pass(server)
    until(lambda: _last_pass(server) > seen, "another pass of duties")


def test_a_second_supervisor_on_the_home_is_refused(server: Server) -> None:
    ports = ("--control-port", str(free_port()), "--inference-port", str(free_port()))
    code, err = _fails(bailiwick("up", *ports, home=server.home))
    assert code == 1
    assert (
        err == f"error: Another `bailiwick up` is running on {server.home}. Stop it first, or choose another --home.\n"
    )
    assert announced(server.home, "default") == f"http://127.0.0.1:{server.control}"
    assert server.ready()


@pytest.mark.parametrize("what", ["control", "inference"])
def test_a_port_in_use_is_one_clear_error(server: Server, tmp_path: Path, what: str) -> None:
    taken = server.control if what == "control" else server.inference
    other = "inference" if what == "control" else "control"
    options = (f"--{what}-port", str(taken), f"--{other}-port", str(free_port()))
    code, err = _fails(bailiwick("up", *options, home=tmp_path / "home"))
    assert code == 5
    assert err == (
        f"error: Port {taken} on 127.0.0.1 cannot be used for {what}: Address already in use. "
        f"Stop what uses it, or choose another with --{what}-port.\n"
    )


def test_a_grpc_port_in_use_is_one_clear_error(server: Server, tmp_path: Path) -> None:
    ports = ("--control-port", str(free_port()), "--inference-port", str(free_port()))
    taken = server.inference + 1
    code, err = _fails(bailiwick("up", *ports, "--grpc-port", str(taken), home=tmp_path / "home"))
    assert code == 5
    assert "cannot be used for grpc: Address already in use" in err
    assert "--grpc-port" in err
    code, err = _fails(bailiwick("up", *ports, "--grpc-port", ports[1], home=tmp_path / "home"))
    assert (code, f"Port {ports[1]} is taken by another part of the server" in err) == (2, True)


def test_sigterm_stops_everything_and_frees_the_ports(server: Server) -> None:
    children = server.children().values()
    code, out, _ = server.stop()
    assert (code, out.splitlines()[-1]) == (0, "Stopping …")
    assert not any(is_alive(pid) for pid in children)
    assert _can_listen(server.control)
    assert _can_listen(server.inference)


def test_a_worker_is_heard_to_leave_where_all_are_stopped_in_order_and_not_where_it_is_killed(server: Server) -> None:
    def unstopped() -> set[str]:
        platform = open_platform(Settings(home=server.home))
        try:
            return {each.worker for each in platform.serving_watch.workers("default") if not each.report.stopped}
        finally:
            platform.close()

    until(unstopped, "the worker to report")
    before = unstopped()
    os.kill(server.children()["serve"], signal.SIGKILL)
    until(lambda: unstopped() > before and server.ready(), "another worker to report")
    server.stop()
    assert unstopped() == before


def test_children_of_a_killed_supervisor_end_and_the_next_one_waits_for_them(server: Server) -> None:
    orphans = list(server.children().values())
    server.kill()
    server.start()
    server.wait_up()
    assert not any(is_alive(pid) for pid in orphans)
    assert set(server.children()) == {"control", "serve", "work"}
    assert server.ready()
    code, _, err = server.stop(signal.SIGINT)
    assert code == 0
    assert err in {"", "Waiting for the processes of a supervisor that was killed to end.\n"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    starting = Server(tmp_path / "home")
    until(lambda: len(starting.children()) == 3, "three children")
    children = starting.children().values()
    code, out, _ = starting.stop(number)
    assert (code, out) == (128 + number, "")
    assert not any(is_alive(pid) for pid in children)


def test_one_port_for_both_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    port = str(free_port())
    code, err = _fails(bailiwick("up", "--control-port", port, "--inference-port", port, home=tmp_path / "home"))
    assert code == 2
    assert f"Port {port} cannot be both" in err
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, err = _fails(bailiwick("up", home=tmp_path / "file" / "home"))
    assert code == 5
    home = tmp_path / "file" / "home"
    assert err == f"error: {home} cannot be used as home: Not a directory. Choose another with --home.\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_the_right_to_write_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    code, err = _fails(bailiwick("up", home=tmp_path / "home"))
    assert code == 5
    assert "cannot be used as home: Permission denied" in err


def test_a_child_that_cannot_start_is_given_up_with_its_own_words(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "bailiwick.db").write_bytes(b"this is no database at all" * 100)
    ports = ("--control-port", str(free_port()), "--inference-port", str(free_port()))
    process = bailiwick("up", *ports, home=home)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (5, "")
    assert "is not a database" in err.splitlines()[-1]
    assert str(home / "logs") in err.splitlines()[-1]
