"""What the pages of a model card are made of: charts of slices, rows of tables, sources in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from markupsafe import Markup

from bailiwick.governance.cards.model import Dataset, Metric, ModelCard, Section, Source
from bailiwick.governance.cards.wording import dataset_facts, label, shown
from bailiwick.server.ui.charts import Dot, dot_chart
from bailiwick.server.ui.words import short

CHARTED = ("roc_auc", "log_loss", "accuracy")
METRICS_DRAWN = 2
SLICES_DRAWN = 16
COLUMNS_DRAWN = 6
_ID = re.compile(r"\b[0-9a-f]{32}\b")


def slice_charts(card: ModelCard) -> Iterator[Markup]:
    """One chart for each slicing column and each of the first metrics; the largest slices where there are many."""
    named = {each.name for each in card.metrics if each.column}
    drawn = [name for name in CHARTED if name in named] or sorted(named)
    overall = {each.name: each.value for each in card.overall}
    for column, slices in list(card.sliced().items())[:COLUMNS_DRAWN]:
        for name in drawn[:METRICS_DRAWN]:
            found = [
                each for listed in slices.values() for each in listed if each.name == name and each.value is not None
            ]
            found.sort(key=lambda each: -(each.rows or 0))
            left = f" The {SLICES_DRAWN} largest of {len(found)} slices." if len(found) > SLICES_DRAWN else ""
            yield dot_chart(
                [_dot(each) for each in found[:SLICES_DRAWN]],
                title=f"{label(name)} by {column}",
                reference=overall.get(name),
                form=lambda value: f"{value:.3g}",
                note=f"Lines are 95 % intervals, where they are known.{left}",
            )


def _dot(metric: Metric) -> Dot:
    assert metric.value is not None
    detail = "" if metric.rows is None else f"{metric.rows:,} rows"
    return Dot(metric.slice or "(missing)", metric.value, metric.low, metric.high, detail)


def recorded(record: str, *, brief: bool = False) -> tuple[str, str]:
    """`pipeline_run/0199…/evaluate` as its kind in words and its name; `brief` names ids by their last digits."""
    kind, _, name = record.partition("/")
    return kind.replace("_", " "), _ID.sub(lambda found: short(found[0]), name) if brief else name


def one_source(sources: Iterable[Source]) -> Source | None:
    """The source of all, where they have the same: then it is said once and not in every line."""
    known = set(sources)
    return known.pop() if len(known) == 1 else None


def fact_rows(section: Section) -> list[tuple[str, str, Source]]:
    """Rows of a table: name, value, source."""
    return [(fact.name, shown(fact.value), fact.source) for fact in section.facts]


def dataset_rows(dataset: Dataset) -> list[tuple[str, str, Source]]:
    """The same for a dataset."""
    return [(name, text, dataset.source) for name, text in dataset_facts(dataset)]
