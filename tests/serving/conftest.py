"""A handler on a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests_support.serving import Serving


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.spool.close()


@pytest.fixture
def new_serving(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    made: list[Serving] = []

    def make(**options: int) -> Serving:
        made.append(Serving(tmp_path / f"home{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.spool.close()
