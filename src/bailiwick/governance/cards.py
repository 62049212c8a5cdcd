"""Model cards: what a version is, generated from what was measured, each fact with where it comes from.

A card never guesses. A fact is `measured` (with the run that measured it) or `stated` (with who said so), and a
question that nobody has answered is shown as open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from bailiwick.core.clock import to_text
from bailiwick.governance.model import ApprovalRequest

QUESTIONS: Mapping[str, str] = {
    "purpose": "What is it for?",
    "out_of_scope": "What must it not be used for?",
    "limitations": "Where is it known to be weak?",
    "people": "Whose data is it, and who is affected?",
    "owner": "Who answers for it?",
}
_ESCAPED = {ord(letter): f"\\{letter}" for letter in "\\`*_[]|"} | {
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("&"): "&amp;",
    ord("\n"): " ",
    ord("\r"): " ",
}


class VersionFacts(Protocol):
    """What a card needs to know of a version; the registry's `ModelVersion` has it all."""

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def size_bytes(self) -> int: ...  # noqa: D102
    @property
    def run_id(self) -> str: ...  # noqa: D102
    @property
    def snapshot(self) -> str: ...  # noqa: D102
    @property
    def signature(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def slices(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def parity(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def environment(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def code_version(self) -> str: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def created(self) -> int: ...  # noqa: D102
    @property
    def created_by(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person said in answer to one of `QUESTIONS`."""

    text: str
    by: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a card. `provenance` is `measured` or `stated`; `source` is the run, or who said it."""

    name: str
    value: str
    provenance: str
    source: str


@dataclass(frozen=True, slots=True)
class Section:
    """Facts about one matter."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A card; `open_questions` are the keys of `QUESTIONS` that nobody has answered."""

    model: str
    number: int
    sections: tuple[Section, ...]
    open_questions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    def to_markdown(self) -> str:
        """GitHub-flavoured Markdown; every text is escaped, so that nothing in a card can add markup to it."""
        lines = [f"# {_escape(self.model)}, version {self.number}", ""]
        for section in self.sections:
            lines += [f"## {section.title}", "", "| Fact | Value | From |", "| --- | --- | --- |"]
            lines += [
                f"| {_escape(fact.name)} | {_escape(fact.value)} | {fact.provenance}: {_escape(fact.source)} |"
                for fact in section.facts
            ]
            lines.append("")
        if self.open_questions:
            lines += ["## Not answered yet", "", *(f"- {QUESTIONS[key]}" for key in self.open_questions), ""]
        return "\n".join(lines)


def build_card(
    version: VersionFacts,
    *,
    lineage: Mapping[str, Any],
    data: Mapping[str, object] | None = None,
    approvals: Sequence[ApprovalRequest] = (),
    stated: Mapping[str, Statement] | None = None,
) -> ModelCard:
    """The card of a version. `data` are facts about its snapshot (rows, times …), `approvals` its requests.

    Sections without facts are left out. Statements under other keys than those of `QUESTIONS` are kept under their key.
    """
    answers = stated or {}
    source = f"run {version.run_id}" if version.run_id else f"registered by {version.created_by}"
    data_facts = {"snapshot": version.snapshot} if version.snapshot else {}
    measured = {
        "Version": {
            "digest": version.digest,
            "size (bytes)": version.size_bytes,
            "registered": f"{to_text(version.created)} by {version.created_by}",
        },
        "Data": data_facts | dict(data or {}),
        "Metrics": version.metrics,
        "Slices": dict(_leaves(version.slices)),
        "Training and serving agree": version.parity,
        "Signature": dict(_leaves(version.signature)),
        "Parameters": dict(_leaves(version.parameters)),
        "Made with": {"code": version.code_version or "unknown"} | dict(_leaves(version.environment)),
    }
    sections = [_measured(title, facts, source) for title, facts in measured.items()]
    sections.insert(0, Section("In words", tuple(_statements(answers))))
    sections.append(Section("Lineage", tuple(_lineage(lineage, source))))
    sections.append(Section("Approvals", tuple(_approvals(approvals))))
    unanswered = tuple(key for key in QUESTIONS if key not in answers or not answers[key].text.strip())
    return ModelCard(version.model, version.number, tuple(each for each in sections if each.facts), unanswered)


def _measured(title: str, facts: Mapping[str, object], source: str) -> Section:
    return Section(title, tuple(Fact(name, _shown(value), "measured", source) for name, value in facts.items()))


def _statements(answers: Mapping[str, Statement]) -> Iterable[Fact]:
    for key in dict.fromkeys((*QUESTIONS, *answers)):
        if key in answers and answers[key].text.strip():
            yield Fact(QUESTIONS.get(key, key), answers[key].text, "stated", answers[key].by)


def _lineage(graph: Mapping[str, Any], source: str) -> Iterable[Fact]:
    labels = {node["id"]: node["label"] for node in graph.get("nodes", ())}
    for edge in graph.get("edges", ()):
        start, end = labels.get(edge["from"], edge["from"]), labels.get(edge["to"], edge["to"])
        yield Fact(start, f"{edge['label']} {end}", "measured", source)


def _approvals(requests: Sequence[ApprovalRequest]) -> Iterable[Fact]:
    for request in requests:
        yield Fact(
            f"for {request.target}", f"{request.status}, {to_text(request.created)}", "stated", request.requested_by
        )
        for vote in request.decisions:
            said = f": {vote.comment}" if vote.comment else ""
            yield Fact(f"for {request.target}", f"{vote.verdict}, {to_text(vote.time)}{said}", "stated", vote.actor)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Nested mappings as one level, with the path as the name."""
    for key, value in tree.items():
        path = f"{prefix} / {key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, value


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "undefined"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(each)}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_shown, value))
    return str(value)


def _escape(text: str) -> str:
    return text.translate(_ESCAPED)
