"""Progress of what takes long: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bailiwick.cli import layout
from bailiwick.cli.output import say, words

if TYPE_CHECKING:
    from rich.console import Console

    from bailiwick.pipelines.model import PipelineStep, StepStatus

SAID_EVERY_SECONDS = 10.0


class _OnTerminal(ABC):
    """What a terminal shows while a block lasts. Where nobody looks, or nothing is to be said, `_shown` stays None."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console

            self._shown = self._make(Console(stderr=True))
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    @abstractmethod
    def _make(self, console: Console) -> Any:
        """Something of rich's that starts, stops and is updated."""


class StepProgress(_OnTerminal):
    """Give `update` to an engine as its watcher; it may be called as often as a step reports. `notes` keeps each
    step's last words, which the record of a finished step may be without.
    """

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self.notes: dict[str, str] = {}
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, StepStatus] = {}

    def _make(self, console: Console) -> Any:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        return Progress(*columns, console=console)

    def update(self, step: PipelineStep) -> None:
        """Show the state a step has just reached."""
        if step.message:
            self.notes[step.name] = step.message
        note = layout.plain(self.notes.get(step.name, "")).replace("\n", " ")
        if self._shown is not None:
            self._draw(step, note)
        elif not self._quiet and step.status is not self._said.get(step.name):
            self._said[step.name] = step.status
            say(f"{step.name:<10} {words(step.status)} {note}".rstrip(), err=True)

    def _draw(self, step: PipelineStep, note: str) -> None:
        if step.name not in self._tasks:
            self._tasks[step.name] = self._shown.add_task(step.name, total=1.0, note="")
        done = 1.0 if step.status.is_done else step.progress
        self._shown.update(self._tasks[step.name], completed=done, note=(note or words(step.status))[:40])


class CountProgress(_OnTerminal):
    """Things of several kinds as they are counted: bars on a terminal, elsewhere a line a kind and then every ten seconds."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._tasks: dict[str, Any] = {}
        self._said = 0.0

    def _make(self, console: Console) -> Any:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        return Progress(*columns, console=console)

    def update(self, kind: str, done: int, total: int, note: str) -> None:
        """So many of a kind are done, of `total` where that is known (else 0); `note` is what it is at."""
        if self._quiet:
            return
        word = layout.plain(note).replace("\n", " ")[:60]
        if self._shown is not None:
            if kind not in self._tasks:
                self._tasks[kind] = self._shown.add_task(kind, total=None, note="")
            self._shown.update(self._tasks[kind], completed=done, total=total or None, note=word)
        elif kind not in self._tasks or time.monotonic() - self._said > SAID_EVERY_SECONDS:
            self._tasks[kind], self._said = kind, time.monotonic()
            say(f"{kind:<18} {done:,}{f' of {total:,}' if total else ''} {word}".rstrip(), err=True)


class Doing(_OnTerminal):
    """What is being done now, where nobody knows how long it takes: a spinner on a terminal, a line each elsewhere."""

    def _make(self, console: Console) -> Any:
        return console.status("")

    def update(self, words: str) -> None:
        """Say what is begun."""
        if self._shown is not None:
            self._shown.update(f"{layout.plain(words)} …")
        elif not self._quiet:
            say(layout.plain(words), err=True)
