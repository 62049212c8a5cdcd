"""What a reader of a card would look for and does not find there, said in so many words."""

from __future__ import annotations

from collections.abc import Iterator

from bailiwick.governance.cards.model import Gap, ModelCard
from bailiwick.lifecycle.cards.origins import Origins
from bailiwick.registry.model import ModelVersion

_SECTIONS = {
    "gates": ("Quality gates", "No quality gate is known to have judged it."),
    "parity": ("Training and serving", "It was not compared: whether it answers as it did in training is not known."),
    "inputs": ("Inputs in training", "What its inputs were like in training was not kept, so drift cannot be told."),
    "parameters": ("Parameters", "No parameter was recorded."),
    "approvals": ("Approvals", "Nobody has asked for approval."),
    "deployments": ("Deployments", "It has not served on any endpoint."),
    "monitoring": ("Monitoring", "No window of its predictions has been judged."),
}


def gaps_of(card: ModelCard, version: ModelVersion, origins: Origins) -> tuple[Gap, ...]:
    """In the order of the card."""
    return (*_made_of(card, version, origins), *_made_with(card), *_measured(card, version), *_sections(card))


def _made_of(card: ModelCard, version: ModelVersion, origins: Origins) -> Iterator[Gap]:
    if not version.package:
        yield Gap("Package", "It is not packaged as one ONNX graph; what serves it is the registered artifact.")
    if not version.run_id:
        yield Gap("Training run", "No run is linked: who trained it, how and when is not known.")
    elif origins.run is None:
        yield Gap("Training run", f"Its run {version.run_id} is not kept here any more.")
    if not card.datasets:
        yield Gap("Data", "No snapshot is linked: what it was trained on is not known.")
    for each in card.datasets:
        if each.rows is None:
            yield Gap("Data", f"Snapshot {each.snapshot} ({each.role}) is not kept here any more.")


def _made_with(card: ModelCard) -> Iterator[Gap]:
    if not card.tensors:
        yield Gap("Signature", "Its inputs and outputs were not declared.")
    facts = card.section("code")
    if facts is None or all(fact.name != "code version" for fact in facts.facts):
        yield Gap("Code", "The version of the code that made it is not known.")
    if not card.packages:
        yield Gap("Environment", "The packages it was made with are not known.")
    elif unknown := [each.name for each in card.packages if not each.licence]:
        yield Gap(
            "Licences", f"Not known for {len(unknown)} of {len(card.packages)} packages: {', '.join(unknown[:10])}."
        )


def _measured(card: ModelCard, version: ModelVersion) -> Iterator[Gap]:
    if not card.metrics:
        yield Gap("Metrics", "No metric was recorded, with it or with its run.")
        return
    if not version.metrics:
        yield Gap("Metrics", "They are what the training code logged; on which rows it measured is not known.")
    if all(not each.column for each in card.metrics):
        yield Gap("Slices", "It was not measured by slice: for whom it works worse is not known.")
    uncertain = sorted({each.name for each in card.overall if each.low is None})
    if uncertain:
        yield Gap("Uncertainty", f"How far these may be off is not known: {', '.join(uncertain[:10])}.")


def _sections(card: ModelCard) -> Iterator[Gap]:
    for key, (topic, text) in _SECTIONS.items():
        if card.section(key) is None:
            yield Gap(topic, text)
