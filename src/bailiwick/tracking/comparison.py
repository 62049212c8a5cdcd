"""Several runs side by side: everything that one of them was given, measured or ran on, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bailiwick.tracking.model import Run
from bailiwick.tracking.provenance import code, host, lock

MAX_COMPARED = 100
CODE_TAGS = {
    code.COMMIT_TAG: "commit",
    code.DIFF_TAG: "changes",
    code.BRANCH_TAG: "branch",
    code.REPOSITORY_TAG: "repository",
    "mlflow.source.name": "source",
}
"""What tags say of the code of a run; `changes` is the digest of what differed from the commit."""
Value = str | float | None


@dataclass(frozen=True, slots=True)
class ComparedKey:
    """One param, metric, tag or other fact: a value for each run in order, None where a run has none."""

    key: str
    values: tuple[Value, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class RunComparison:
    """`runs` in the order that was asked for; the keys of each kind by name.

    `code` and `host` are told again by tags, under their long names; `data` by context and name, `packages` with the
    interpreter among them as far as the runs keep environment locks.
    """

    runs: tuple[Run, ...]
    params: tuple[ComparedKey, ...]
    metrics: tuple[ComparedKey, ...]
    tags: tuple[ComparedKey, ...]
    code: tuple[ComparedKey, ...] = ()
    data: tuple[ComparedKey, ...] = ()
    packages: tuple[ComparedKey, ...] = ()
    host: tuple[ComparedKey, ...] = ()


def compare(runs: Sequence[Run]) -> RunComparison:
    """Two NaN metrics are the same; a missing value differs from every other."""
    return RunComparison(
        tuple(runs),
        params=side_by_side(run.params for run in runs),
        metrics=side_by_side(run.metrics for run in runs),
        tags=side_by_side(run.tags for run in runs),
        code=side_by_side(_named(run.tags, CODE_TAGS) for run in runs),
        host=side_by_side(_below(run.tags, host.TAGS) for run in runs),
    )


def told_elsewhere(tag: str) -> bool:
    """Whether a tag is a fact of the code, the packages or the host."""
    return tag in CODE_TAGS or tag.startswith(host.TAGS) or tag in {code.DIRTY_TAG, lock.LOCK_TAG, lock.PYTHON_TAG}


def _named(tags: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {name: tags[tag] for tag, name in names.items() if tag in tags}


def _below(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {tag.removeprefix(prefix): value for tag, value in tags.items() if tag.startswith(prefix)}


def side_by_side(columns: Iterable[Mapping[str, Value]]) -> tuple[ComparedKey, ...]:
    """Every key that one of the columns has, with the value of each."""
    kept = list(columns)
    keys = sorted({key for column in kept for key in column})
    rows = ((key, tuple(column.get(key) for column in kept)) for key in keys)
    return tuple(ComparedKey(key, values, len({_identity(value) for value in values}) > 1) for key, values in rows)


def _identity(value: Value) -> object:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
