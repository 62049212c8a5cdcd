"""Pieces worked on by threads, a few ahead of whoever takes the results, which come in the order of the pieces."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")
_MOST_THREADS = 4


def in_turn(work: Callable[[Piece], Result], pieces: Iterator[Piece]) -> Iterator[tuple[Piece, Result]]:
    """Each piece with what became of it. One more piece than there are threads is held beside the one at hand.

    `pieces` are made by the caller's thread. Nothing is started for none; threads end with the iterator.
    """
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    started = list(islice(pieces, 1))
    if not started:
        return
    waiting: deque[tuple[Piece, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            waiting.append((started[0], pool.submit(work, started.pop())))
            while waiting:
                for piece in islice(pieces, threads + 1 - len(waiting)):
                    waiting.append((piece, pool.submit(work, piece)))
                piece, running = waiting.popleft()
                yield piece, running.result()
        finally:
            pool.shutdown(cancel_futures=True)
