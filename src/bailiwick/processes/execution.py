"""What a worker's child does: execute the runs whose ids come in by lines, and end when none has come for a while.

It stays warm from one run to the next, since the training libraries take seconds to load, and gives their memory back
once there is nothing to train.
"""

from __future__ import annotations

import gc
import logging
import select
import signal
import sys
from collections.abc import Iterator
from typing import TextIO

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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    platform = open_platform(settings)
    try:
        for run_id in _lines(sys.stdin):
            _execute(platform, settings.workspace, run_id)
            gc.collect()  # a training leaves large cycles behind
            sys.stdout.write(f"{run_id}\n")
            sys.stdout.flush()
    finally:
        platform.close()


def _execute(platform: Platform, workspace: str, run_id: str) -> None:
    try:
        run = platform.pipelines.run(workspace, run_id)
        engine_for(platform, run).execute(system_actor(workspace, "training"), run_id)
    except BailiwickError as error:
        log.error("run %s: %s", run_id, error)  # noqa: TRY400 - an understood error needs no traceback


def _lines(source: TextIO) -> Iterator[str]:
    while select.select([source], [], [], IDLE_SECONDS)[0]:
        line = source.readline()
        if not line:
            return
        yield line.strip()
