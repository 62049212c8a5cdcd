"""What the demo shows on a terminal: chapters, quoted output, one progress bar, a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

_MONTHS = 30 * 86_400_000


class Screen:
    """Prints for people; lines printed while the bar runs stay above it. Without a terminal the bar is a line a month."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._chapters = 0

    def chapter(self, title: str, about: str) -> None:
        """Begin a numbered chapter."""
        self._chapters += 1
        self._console.print(f"\n[bold]{self._chapters}  {title}[/bold]  [dim]{about}[/dim]")

    def say(self, text: str) -> None:
        """One line."""
        style = "cyan" if text.startswith("$ ") else None
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def quote(self, text: str) -> None:
        """Output of a command, set in."""
        for line in text.rstrip("\n").split("\n"):
            if line.strip():
                self._console.print(f"    {line}", style="dim", markup=False, overflow="ellipsis", no_wrap=True)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
        """A bar over `total` milliseconds of event time; call what is yielded with (done, predictions so far)."""
        if not self._console.is_terminal:
            yield self._monthly(total)
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[count]:,} predictions"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(name, total=total, count=0)

            def advance(done: int, count: int) -> None:
                progress.update(task, completed=done, count=count)

            yield advance

    def _monthly(self, total: int) -> Callable[[int, int], None]:
        said = 0

        def advance(done: int, count: int) -> None:
            nonlocal said
            if done // _MONTHS > said or done >= total:
                said = done // _MONTHS
                self.say(f"  {done / total:4.0%}  {count:,} predictions")

        return advance

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of text; all columns but the first are numbers."""
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)
