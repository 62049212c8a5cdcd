"""A table's features fitted, and made into another table, by the executors of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bailiwick.adapters.spark.features import fit_on_spark, transform_on_spark
from bailiwick.adapters.spark.frames import read_frame, write_frame
from bailiwick.adapters.spark.session import is_spark, open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.features.model import FeatureSpec, FittedFeatures


def fit_there(
    url: str, source: str, specs: Sequence[FeatureSpec], *, label: str = "", positive: object = 1
) -> FittedFeatures:
    """`fit_on_spark` of a source that Spark names. Raises as it does, and InvalidInput for an engine other than Spark."""
    with _frame(url, source) as frame:
        return fit_on_spark(frame, specs, label=label, positive=positive)


def transform_there(
    url: str, source: str, graph: bytes, target: str, *, keep: Sequence[str], column: str, existing: str
) -> int:
    """`transform_on_spark` of a source, written to a target by `write_frame`; how many rows. Raises as they do."""
    with _frame(url, source) as frame:
        return write_frame(transform_on_spark(frame, graph, keep=keep, column=column), target, existing=existing)


@contextmanager
def _frame(url: str, source: str) -> Iterator[Any]:
    if not is_spark(url):
        raise InvalidInput(f"Features are fitted and made on Spark, not by {url.partition(':')[0]!r}.",
                           hint="Name a spark://… engine, or leave --engine out to compute here.")  # fmt: skip
    session, owned = open_session(url)
    try:
        yield read_frame(session, source)
    finally:
        if owned:
            session.stop()
