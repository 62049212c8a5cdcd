"""What a division is, wherever the rows are: its parts, their shares, what it is called on record."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import CheckFailed
from bailiwick.data.splits import Kind, Split
from bailiwick.pipelines.notation import holdout_text
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import Split as Declared

LEAST_ROWS = 200
TRAIN, VALID, HOLDOUT = "train", "valid", "holdout"
PARTS = (TRAIN, VALID, HOLDOUT)
BATCH_BYTES = 32 << 20
SHARE = 0.2
"""Of the rows that judge, where a split that is not by time leaves it out."""


def split_name(project: Project) -> str:
    """What the division is called on record: another one for other words in the project file."""
    said = project.data.split.model_dump(mode="json") if project.data.split else {}
    return f"training-{digest_of([said, holdout_text(project.evaluate.holdout), project.data.time])[:12]}"


def by_share(declared: Declared, project: Project) -> Split:
    """A division at random, by hash or by group."""
    holdout = SHARE if declared.holdout is None else declared.holdout
    known = 1 - holdout
    shares = ((TRAIN, known * (1 - declared.valid)), (VALID, known * declared.valid), (HOLDOUT, holdout))
    kind: Kind = declared.by
    column = declared.column or (project.data.key if kind == "hash" else "")
    return Split(kind, shares, column, declared.seed)


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raises CheckFailed for a part that is too small to learn from or to judge by."""
    if min(sizes.values()) < LEAST_ROWS:
        raise CheckFailed(f"Too few rows to train and to judge: {dict(sizes)}; each part needs {LEAST_ROWS}.")
