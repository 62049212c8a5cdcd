"""Values, times and sources as people read them, the same in every form of a card."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bailiwick.core.clock import to_text
from bailiwick.governance.cards.model import Answer, Dataset, Metric, ModelCard, Scalar, Source

MISSING = "(missing)"
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""What is invisible or turns the reading order of what follows; marks that scripts need (LRM, RLM, joiners) stay."""

_LABELS = {
    "roc_auc": "ROC AUC",
    "log_loss": "Log loss",
    "accuracy": "Accuracy",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "base_rate": "Base rate",
}


def visible(text: str) -> str:
    """The text with each control character, and each that reorders the text around it, written out as its code."""
    return _CONTROLS.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def line(text: str) -> str:
    """Visible text on one line."""
    return visible(" ".join(text.split("\n")).replace("\r", " ").replace("\t", " "))


def shown(value: Scalar) -> str:
    """A value in a few digits."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def label(metric: str) -> str:
    """The name of a metric as people write it; names that are not known stay as they are."""
    return _LABELS.get(metric, metric)


def bounds(metric: Metric) -> str:
    """The 95 % interval of a metric; empty where it is not known."""
    return "" if metric.low is None or metric.high is None else f"{metric.low:.4g} to {metric.high:.4g}"


def moment(milliseconds: int) -> str:
    """`2013-01-05 14:30 UTC`; times that no calendar has are given as they are."""
    try:
        return to_text(milliseconds)[:16].replace("T", " ") + " UTC"
    except (OverflowError, ValueError, OSError):
        return f"{milliseconds} ms"


def attribution(source: Source) -> str:
    """`measured: run 0199…, by ada, 2013-01-05 14:30 UTC, entry 0199…`: provenance, record, person, time, journal entry."""
    kind, _, name = source.record.partition("/")
    record = f"{kind.replace('_', ' ')} {name}".strip()
    who = source.by or source.identity
    parts = [f"stated by {who}" if who else "stated"] if source.provenance == "stated" else [f"measured: {record}"]
    if source.provenance == "stated" and kind not in {"model", "version"}:
        parts.append(record)
    if source.provenance != "stated" and who:
        parts.append(f"by {who}")
    if source.time is not None:
        parts.append(moment(source.time))
    if source.entry:
        parts.append(f"entry {source.entry}")
    return ", ".join(parts)


def span(dataset: Dataset) -> str:
    """The event times that a dataset covers; empty where it has none."""
    if dataset.time_from is None or dataset.time_to is None:
        return ""
    return f"{moment(dataset.time_from)} to {moment(dataset.time_to)}"


def bindings(card: ModelCard) -> Iterable[tuple[str, str]]:
    """What binds a written card to its version and to itself; it comes last, so that no text of a card can pose as it."""
    yield "Version digest", card.version_digest or "unknown"
    yield "Card digest", card.digest
    yield "Facts as of", moment(card.as_of)


def said_of(answer: Answer) -> str:
    """Who stated it, of what, and where the words come from."""
    whole = " of the model" if answer.scope == "model" else ""
    return f"{attribution(answer.source)}{whole}{f', from {answer.origin}' if answer.origin else ''}"


def dataset_facts(dataset: Dataset) -> Iterable[tuple[str, str]]:
    """What is known of a dataset, as names and texts."""
    known: dict[str, object] = {
        "name": dataset.name,
        "role": dataset.role,
        "snapshot": dataset.snapshot,
        "digest": dataset.digest,
        "rows": None if dataset.rows is None else f"{dataset.rows:,}",
        "columns": dataset.columns,
        "event times": span(dataset),
        "source": dataset.origin,
    }
    return [(name, str(value)) for name, value in known.items() if value not in (None, "")]
