"""What a worker's child does: execute the runs whose ids come in by lines, and end when none has come for a while.

It stays warm from one run to the next, since the training libraries take seconds to load, and gives their memory back
once there is nothing to train.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Never, TextIO

from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.errors import BailiwickError
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import engine_for

IDLE_SECONDS = 60.0

log = logging.getLogger("bailiwick.execution")


def execute_runs(settings: Settings) -> None:
    """Answer each id with the same line once its run is over. SIGTERM gives the step in progress back at once."""
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asked, answers = _conversation()
    platform = open_platform(settings)
    try:
        for run_id in _lines(asked):
            _execute(platform, settings.workspace, run_id)
            gc.collect()  # a training leaves large cycles behind
            answers.write(f"{run_id}\n")
            answers.flush()
    finally:
        platform.close()


class _Stopped(SystemExit):
    """This process was asked to end; any other SystemExit is the user's code."""


def _stop(number: int, _frame: FrameType | None) -> Never:
    raise _Stopped(128 + number)


def _conversation() -> tuple[TextIO, TextIO]:
    """Standard input and output, out of reach of the user's code: what it prints is logged, and it has nothing to read."""
    asked, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return asked, answers


def _execute(platform: Platform, workspace: str, run_id: str) -> None:
    actor = system_actor(workspace, "training")
    try:
        run = platform.pipelines.run(workspace, run_id)
        engine_for(platform, run).execute(actor, run_id)
    except BailiwickError as error:
        log.error("run %s: %s", run_id, error)  # noqa: TRY400 - an understood error needs no traceback
    except _Stopped:
        raise
    except SystemExit as error:
        log.error("run %s is cancelled: its code called sys.exit(%s)", run_id, error.code)  # noqa: TRY400 - as above
        platform.pipelines.cancel(actor, run_id)


def _lines(source: TextIO) -> Iterator[str]:
    while select.select([source], [], [], IDLE_SECONDS)[0]:
        line = source.readline()
        if not line:
            return
        yield line.strip()
