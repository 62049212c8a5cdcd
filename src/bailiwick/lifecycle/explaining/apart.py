"""Explaining in a process of its own: bounded in time and memory, given files and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa

from bailiwick.core.errors import InvalidInput, LimitExceeded, Unavailable
from bailiwick.lifecycle.explaining.answering import Answered
from bailiwick.lifecycle.explaining.child import REFUSED, Request, to_arrow
from bailiwick.lifecycle.explaining.model import Asked
from bailiwick.lifecycle.explaining.subject import Rows, joined

SECONDS = 30.0
MEMORY_BYTES = 3 << 30
AT_ONCE = 2
WAIT_SECONDS = 20.0
_STARTING_SECONDS = 30.0

_turns = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def one_of_few() -> Iterator[None]:
    """A turn; explanations wait for each other so that they never take a machine over. Raises Unavailable."""
    if not _turns.acquire(timeout=WAIT_SECONDS):
        raise Unavailable(f"{AT_ONCE} explanations are being computed.", hint="Ask again in a moment.")
    try:
        yield
    finally:
        _turns.release()


def answered_apart(
    package: Path, row: Rows, sample: Rows, near: Rows | None, asked: Asked, *, seconds: float = SECONDS
) -> Answered:
    """What the package's graph has to say. Raises InvalidInput for what cannot be asked of it, LimitExceeded."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-explain-") as name:
        folder = Path(name)
        (folder / "package").symlink_to(package.resolve())
        count = 0 if near is None else len(next(iter(near.values())))
        request = Request(asked, count, seconds, MEMORY_BYTES, threads=1)
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        table = to_arrow(joined([row, *([near] if near is not None else []), sample]))
        with pa.OSFile(str(folder / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        status = _run(folder, seconds + _STARTING_SECONDS)
        if status == REFUSED:
            raise InvalidInput(f"It cannot be explained: {(folder / 'refusal').read_text(encoding='utf-8')}")
        if status != 0:
            words = (folder / "said").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = f" It said: {words[-1][:300]}" if words else ""
            raise LimitExceeded(
                f"The explanation was ended (status {status}); it may take {MEMORY_BYTES >> 30} GiB of memory.{last}",
                hint="Ask for fewer background rows.",
            )
        return msgspec.json.decode((folder / "answer.json").read_bytes(), type=Answered)


def _run(folder: Path, seconds: float) -> int:
    command = [sys.executable, "-m", "bailiwick.lifecycle.explaining.child", str(folder)]
    with (folder / "said").open("wb") as said:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise LimitExceeded(
                f"The explanation took longer than {seconds:g} seconds and was ended.",
                hint="Ask for fewer background rows, fewer permutations or a smaller budget.",
            ) from None
    return done.returncode
