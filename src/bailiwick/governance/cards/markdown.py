"""A card as Hugging Face's hub keeps them: YAML front matter with a model index, then Markdown.

The front matter is written so that it ends where it should whatever a text holds: each text is one double-quoted line in
ASCII. In the body every letter that could be markup is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.licences import hugging_face
from bailiwick.governance.cards.model import Metric, ModelCard
from bailiwick.governance.cards.wording import (
    attribution,
    bindings,
    bounds,
    dataset_facts,
    label,
    line,
    said_of,
    shown,
    visible,
)

TASK = "tabular-classification"
OTHER_TASK = "other"
_CLASSIFICATION = frozenset(
    {"roc_auc", "log_loss", "accuracy", "brier", "f1", "precision", "recall", "average_precision"}
)
_ESCAPED = {ord(letter): f"\\{letter}" for letter in "\\`*_[]|~$!{}"} | {
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("&"): "&amp;",
}
_BLOCK_START = re.compile(r"^(\s*)(?:(#|\+|-|=|:)|(\d{1,9})([.)]))")


class _Dumper(yaml.SafeDumper):
    """Writes every text double-quoted, and repeats rather than refers: an anchor could be mistaken for content."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Never an alias."""
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:  # noqa: FBT001
        """Keys are ours, and plain."""
        node = super().represent_mapping(tag, mapping, flow_style)
        for key, _ in node.value:
            key.style = None
        return node


def _quoted(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style='"')


_Dumper.add_representer(str, _quoted)


def markdown(card: ModelCard) -> str:
    """The whole card."""
    header = yaml.dump(
        front_matter(card),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=False,
        width=float("inf"),
        default_flow_style=False,
    )
    lines = ["---", header.rstrip("\n"), "---", "", f"# {escape(card.title)}", ""]
    lines += _stated(card)
    lines += _metrics(card)
    for dataset in card.datasets:
        rows = [(name, told, attribution(dataset.source)) for name, told in dataset_facts(dataset)]
        lines += _table(f"Data for {dataset.role}", ("Fact", "Value", "From"), rows)
    for section in card.sections:
        rows = [(fact.name, shown(fact.value), attribution(fact.source)) for fact in section.facts]
        lines += _table(section.title, ("Fact", "Value", "From"), rows)
    tensors = [
        (each.name, each.direction, each.datatype, each.shape, attribution(each.source)) for each in card.tensors
    ]
    lines += _table("Inputs and outputs", ("Name", "Direction", "Type", "Shape", "From"), tensors)
    packages = [
        (each.name, each.version, each.licence or "unknown", attribution(each.source)) for each in card.packages
    ]
    lines += _table("Packages", ("Package", "Version", "Licence", "From"), packages)
    lines += _table("Not known", ("Matter", "What is not known"), [(each.topic, each.text) for each in card.gaps])
    bound = ". ".join(f"{name} {value}" for name, value in bindings(card))
    return "\n".join([*lines, f"{escape(bound)}.", ""])


def front_matter(card: ModelCard) -> dict[str, Any]:
    """What the hub reads; the metrics as a model index, one entry for all rows and one for each slice."""
    licence = card.answer("licence")
    found: dict[str, Any] = {}
    if licence:
        found["license"] = hugging_face(licence.text)
        if found["license"] == "other":
            found["license_name"] = licence.text
    if any(each.name == "onnx" for each in card.packages):
        found["library_name"] = "onnx"
    found["tags"] = ["bailiwick"]
    if _task(card) == TASK:
        found["pipeline_tag"] = TASK
    names = list(dict.fromkeys(each.name for each in card.overall if each.value is not None))
    if names:
        found["metrics"] = names
    results = _results(card)
    if results:
        found["model-index"] = [{"name": card.model, "results": results}]
    found["bailiwick"] = {
        "model": card.model,
        "version": card.number,
        "version_digest": card.version_digest,
        "card_digest": card.digest,
        "complete": card.complete,
    }
    return found


def escape(text: str) -> str:
    """One line on which nothing is markup but what is ours."""
    return line(text).translate(_ESCAPED)


def paragraphs(text: str) -> list[str]:
    """Lines of prose in which nothing is markup: no heading, list, quote, code or link starts in them."""
    return [_BLOCK_START.sub(_defused, visible(each.strip()).translate(_ESCAPED)) for each in text.split("\n")]


def _defused(found: re.Match[str]) -> str:
    margin, mark, number, stop = found.groups()
    return f"{margin}\\{mark}" if mark else f"{margin}{number}\\{stop}"


def _task(card: ModelCard) -> str:
    return TASK if any(each.name in _CLASSIFICATION for each in card.metrics) else OTHER_TASK


def _results(card: ModelCard) -> list[dict[str, Any]]:
    """Grouped as `huggingface_hub` groups them: by task and dataset, the slice being the dataset's configuration."""
    groups: dict[tuple[str, str], list[Metric]] = {}
    for each in card.metrics:
        if each.value is not None:
            groups.setdefault((each.column, each.slice), []).append(each)
    first = card.datasets[0] if card.datasets else None
    name = first.name if first and first.name else "unknown"
    found = []
    for (column, value), metrics in groups.items():
        dataset: dict[str, Any] = {"name": name, "type": name}
        if column:
            dataset["config"] = f"{column} = {value or '(missing)'}"
        if metrics[0].source.record.startswith("pipeline_run/"):
            dataset["split"] = "holdout"
        if first:
            dataset |= {"revision": first.digest or first.snapshot, "args": {"snapshot": first.snapshot}}
        task = {"type": _task(card)}
        found.append({"task": task, "dataset": dataset, "metrics": [_result(each) for each in metrics]})
    return found


def _result(metric: Metric) -> dict[str, Any]:
    result: dict[str, Any] = {"type": metric.name, "value": metric.value, "name": label(metric.name)}
    known: Mapping[str, Any] = {
        "rows": metric.rows,
        "low": metric.low,
        "high": metric.high,
        "interval": f"95 % {metric.method}" if metric.method else None,
    }
    given = {key: value for key, value in known.items() if value is not None}
    return {**result, "args": given} if given else result


def _stated(card: ModelCard) -> list[str]:
    lines: list[str] = []
    for answer in card.answers:
        lines += [f"## {answer.title}", "", *paragraphs(answer.text), "", f"*{escape(_sentence(said_of(answer)))}*", ""]
    if card.unanswered:
        lines += ["## Not stated by anybody", ""]
        for key in card.unanswered:
            required = " (required)" if key in card.missing else ""
            lines.append(f"- {FIELDS[key].title}{required}: {FIELDS[key].question}")
        lines.append("")
    return lines


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _metrics(card: ModelCard) -> list[str]:
    head = ("Metric", "Value", "95 % interval", "Rows", "From")
    lines = _table("Metrics", head, [(label(each.name), *_measured(each)) for each in card.overall])
    for column, slices in card.sliced().items():
        rows = [
            (value or "(missing)", label(each.name), *_measured(each))
            for value, found in slices.items()
            for each in found
        ]
        lines += _table(f"Metrics by {column}", ("Slice", *head), rows, level=3)
    return lines


def _measured(metric: Metric) -> tuple[str, str, str, str]:
    rows = "unknown" if metric.rows is None else f"{metric.rows:,}"
    return shown(metric.value), bounds(metric) or "unknown", rows, attribution(metric.source)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, level: int = 2) -> list[str]:
    body = [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    if not body:
        return []
    rule = f"| {' | '.join('---' for _ in head)} |"
    return [f"{'#' * level} {escape(title)}", "", f"| {' | '.join(head)} |", rule, *body, ""]
