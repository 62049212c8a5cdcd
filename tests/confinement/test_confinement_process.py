"""A program that wants to do harm: what it tries, and what comes of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bailiwick.confinement import landlock, seccomp
from bailiwick.confinement.model import Limits, Program
from bailiwick.confinement.process import CannotConfine, ConfinedProcess, examine, start
from bailiwick.pyfunc.interpreter import described
from tests_support.server import free_port, is_alive, until

Run = Callable[..., tuple[str, str]]

PYTHON = described(Path(sys.executable))

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
needs_filter = pytest.mark.skipif(not seccomp.known(), reason="there is no filter for this machine")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with what must never be read."""
    made = tmp_path / "home"
    (made / "keys").mkdir(parents=True, mode=0o700)
    (made / "bailiwick.db").write_text("every secret")
    (made / "keys" / "vault.key").write_text("the key")
    made.chmod(0o700)
    return made


@pytest.fixture
def begin(home: Path, tmp_path: Path) -> Callable[..., ConfinedProcess]:
    """Start Python code, confined."""
    tmp_path.chmod(0o711)
    work = tmp_path / "work"
    work.mkdir()

    def begin(code: str, **options: object) -> ConfinedProcess:
        program = Program(
            command=[str(PYTHON.python), "-I", "-c", textwrap.dedent(code), "{channel}"],
            cwd=work,
            readable=PYTHON.libraries,
            writable=[work],
            protected=[home, home / "bailiwick.db", home / "keys"],
            environment={"TMPDIR": str(work)},
            **options,  # type: ignore[arg-type]
        )
        return start(program)

    return begin


@pytest.fixture
def run(begin: Callable[..., ConfinedProcess]) -> Run:
    """Run it to its end: how it ended, and what it said last."""

    def run(code: str, **options: object) -> tuple[str, str]:
        process = begin(code, **options)
        try:
            return process.ending(60), process.last_words()
        finally:
            process.close()

    return run


def tries(statement: str) -> str:
    """Code that says what comes of a statement."""
    return f"import os, sys\ntry:\n    {statement}\n    print('done')\nexcept OSError as error:\n    print(type(error).__name__, error.errno)\n"


def test_it_runs_and_its_words_are_kept(run: Run) -> None:
    assert run("print('hello')") == ("exit status 0", "hello")


@needs_landlock
@pytest.mark.parametrize(
    "what", ["open({home!r} + '/bailiwick.db').read()", "open({home!r} + '/keys/vault.key')", "os.listdir({home!r})"]
)
def test_it_cannot_read_the_database_or_the_keys(run: Run, home: Path, what: str) -> None:
    assert run(tries(what.format(home=str(home)))) == ("exit status 0", "PermissionError 13")


@needs_landlock
@pytest.mark.parametrize(
    "what",
    [
        "open({other!r})",
        "open({other!r}, 'w')",
        "os.unlink({other!r})",
        "os.rename({other!r}, {other!r} + '2')",
        "os.symlink('/', os.path.dirname({other!r}) + '/link')",
        "os.truncate({other!r}, 0)",
        "open('/etc/passwd')",
        "os.listdir('/')",
        "open(f'/proc/{{os.getppid() or 1}}/environ')",
        "open('/proc/self/root/etc/passwd')",
        "open('/proc/self/../1/environ')",
    ],
)
def test_it_cannot_reach_other_files(run: Run, tmp_path: Path, what: str) -> None:
    other = tmp_path / "other"
    other.write_text("somebody's")
    ended, said = run(tries(what.format(other=str(other))))
    assert ended == "exit status 0"
    assert said.startswith(("PermissionError", "FileNotFoundError", "OSError"))
    assert other.read_text() == "somebody's"


@needs_filter
def test_it_cannot_change_the_modes_of_files_it_would_own(run: Run, home: Path) -> None:
    database = home / "bailiwick.db"
    database.chmod(0o600)
    assert run(tries(f"os.chmod({str(database)!r}, 0)")) == ("exit status 0", "done")  # so it was told
    assert database.stat().st_mode & 0o777 == 0o600


def test_it_writes_in_its_own_folder_and_no_more_than_it_may(run: Run) -> None:
    assert run("open('mine', 'w').write('x'); print(open('mine').read())") == ("exit status 0", "x")
    large = tries("open('large', 'wb').write(bytes(3 << 20))")
    assert run(large, limits=Limits(file_bytes=1 << 20)) == ("exit status 0", "OSError 27")


def test_it_sees_nothing_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    ended, said = run("import os; print(sorted(os.environ))")
    assert ended == "exit status 0"
    assert said in {"['TMPDIR']", "['LC_CTYPE', 'TMPDIR']"}


def test_it_has_no_descriptors_of_ours(run: Run, home: Path) -> None:
    with (home / "bailiwick.db").open() as file:
        os.set_inheritable(file.fileno(), True)
        code = """
            import os, sys
            def there(fd):
                try: os.fstat(fd)
                except OSError: return False
                return True
            print([fd for fd in range(200) if there(fd)] == [0, 1, 2, int(sys.argv[1])])
        """
        assert run(code) == ("exit status 0", "True")


@pytest.mark.parametrize(
    "what",
    [
        "__import__('socket').create_connection(('127.0.0.1', {port}), 2)",
        "__import__('socket').socket(__import__('socket').AF_UNIX).connect('/run/docker.sock')",
        "__import__('socket').socket(__import__('socket').AF_INET, __import__('socket').SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
        "a = __import__('socket').socketpair(1, 2)[0]; a.connect('/dev/log')",
    ],
)
def test_it_cannot_use_the_network(run: Run, what: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port := free_port()))
        listening.listen()
        ended, said = run(tries(what.format(port=port)))
    assert ended == "exit status 0"
    assert said.startswith(("PermissionError", "ConnectionRefusedError", "OSError", "FileNotFoundError"))


@needs_filter
@pytest.mark.parametrize(
    "what",
    [
        "os.fork()",
        "__import__('subprocess').run(['/bin/true'])",
        "os.kill(1 if os.getpid() != 1 else 2, 9)",
        "os.kill(-1, 9)",
        "os.posix_spawn('/bin/true', ['true'], {{}})",
        "os.setpriority(os.PRIO_USER, 0, 5)",
        "__import__('resource').prlimit(2, 7, (1, 1))",
    ],
)
def test_it_cannot_start_or_touch_processes(run: Run, what: str) -> None:
    ended, said = run(tries(what.format()))
    assert (ended, said.split()[0]) == ("exit status 0", "PermissionError")


def test_threads_are_left_to_it(run: Run) -> None:
    code = "import threading; t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()"
    assert run(code) == ("exit status 0", "thread")


def test_a_fork_bomb_is_no_bomb(run: Run) -> None:
    code = "import os\nwhile True:\n    os.fork()"
    ended, said = run(code, limits=Limits(cpu_seconds=5))
    assert ended == "exit status 1"
    assert "Error" in said


def test_a_memory_bomb_meets_its_limit(run: Run) -> None:
    ended, said = run("held = [bytearray(1 << 20) for _ in range(4096)]", limits=Limits(memory_bytes=512 << 20))
    assert (ended, said.splitlines()[-1]) == ("exit status 1", "MemoryError")


def test_an_endless_loop_meets_the_limit_of_its_time(run: Run) -> None:
    began = time.monotonic()
    ended, _ = run("while True: pass", limits=Limits(cpu_seconds=1))
    assert ended == "killed by SIGKILL"
    assert time.monotonic() - began < 30


def test_closing_ends_it_whatever_it_does(begin: Callable[..., ConfinedProcess]) -> None:
    code = """
        import signal, sys, time
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        print("ready", flush=True)
        while True: time.sleep(1)
    """
    process = begin(code)
    until(lambda: "ready" in process.last_words(), "the program")
    assert is_alive(process.pid)
    process.close()
    assert not is_alive(process.pid)
    assert process.resident_bytes == 0


def test_it_ends_when_who_started_it_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from bailiwick.confinement.model import Program
from bailiwick.confinement.process import start
from bailiwick.pyfunc.interpreter import described
python = described(Path({sys.executable!r}))
process = start(Program([str(python.python), "-I", "-c", "while True: pass"], Path({str(tmp_path)!r}), python.libraries, []))
print(process.pid, flush=True)
time.sleep(600)
"""
    tmp_path.chmod(0o711)
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert is_alive(pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    until(lambda: not is_alive(pid), "the program's end", 20)


def test_no_rights_are_to_be_had_again(run: Run) -> None:
    code = """
        lines = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
        print(lines["NoNewPrivs"].strip(), lines["CapEff"].strip(), lines["CapPrm"].strip(), lines["CapBnd"].strip())
    """
    ended, said = run(code)
    assert ended == "exit status 0", said  # a process may look at itself
    assert said.split()[:3] == ["1", "0" * 16, "0" * 16]


def test_a_program_is_not_started_when_what_is_protected_can_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    work = tmp_path / "work"
    work.mkdir()
    (work / "secret").write_text("left where it can write")
    (work / "secret").chmod(0o644)
    program = Program(["/bin/true"], work, [Path("/usr/bin"), Path("/bin")], [work], protected=[work / "secret"])
    with pytest.raises(CannotConfine, match="can be read in spite of all"):
        start(program)
    accepted = Program(**{**{name: getattr(program, name) for name in program.__slots__}, "unconfined": True})
    started = start(accepted)
    assert started.ending(10) == "exit status 0"
    assert not started.in_force.files
    assert "files of the platform can be read" in started.in_force.lacking()
    started.close()


def test_what_is_in_force_here_is_told(home: Path) -> None:
    found = examine(home)
    assert found.files
    assert found.network
    assert found.landlock == landlock.version()
    assert found.system_calls == seccomp.known()
    assert found.lacking() == [] or not seccomp.known()
    if os.geteuid() == 0:
        assert found.user == 65534


def test_a_user_that_is_not_root_confines_as_well(tmp_path: Path) -> None:
    """The same by an ordinary user, where this test can become one."""
    if os.geteuid() != 0:
        pytest.skip("it is one already")
    code = (
        "from bailiwick.confinement.process import examine; from pathlib import Path; print(examine(Path('/nowhere')))"
    )
    source = Path(landlock.__file__).parents[2]
    program = f"import sys, os; sys.path[:0] = {[str(source)]!r}; os.setgroups([]); os.setgid(12345); os.setuid(12345); {code}"
    told = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", program], capture_output=True, text=True, check=False, cwd="/"
    )
    if "PermissionError" in told.stderr or "ModuleNotFoundError" in told.stderr or "No such file" in told.stderr:
        pytest.skip("an ordinary user cannot reach this interpreter")
    assert told.returncode == 0, told.stderr
    assert "files=True, network=True" in told.stdout


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_made_for_each_known_machine(machine: str) -> None:
    made = seccomp.program(machine, 7)
    assert len(made) % 8 == 0
    assert len(made) // 8 < 4096
