"""What the supervisor starts: one kind of process, with its settings from the environment and no command line to carry.

`python -m bailiwick.processes.child control|serve|work|execute [number]`; people start the same by `bailiwick control` and so on.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial

from bailiwick.core.errors import BailiwickError
from bailiwick.core.settings import Settings, load_settings
from bailiwick.processes.parent import stop_with_parent


def run_child(kind: str, number: int = 0) -> None:
    """Be a process of this kind until SIGTERM, or until the supervisor is gone."""
    stop_with_parent()
    settings = load_settings()
    # What imports make, they keep: looking for garbage meanwhile takes a fifth of the time and finds nothing.
    gc.disable()
    run = load(kind, number)
    gc.freeze()
    gc.enable()
    run(settings)


def load(kind: str, number: int = 0) -> Callable[[Settings], None]:
    """Import what a process of this kind is made of, and return what runs it."""
    if kind == "control":
        from bailiwick.server.control import run_control

        return run_control
    if kind == "serve":
        from bailiwick.serving.worker import serve_worker

        return partial(serve_worker, worker=number)
    if kind == "execute":
        from bailiwick.processes.execution import execute_runs

        return execute_runs
    from bailiwick.processes.work import run_work

    return run_work


def main() -> None:
    """Entry point; an error that is understood goes to the log as one line."""
    kind, *rest = sys.argv[1:]
    try:
        run_child(kind, *map(int, rest))
    except BailiwickError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
