"""Story: the model card of a version, put together from what each domain recorded and what people stated."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from bailiwick.governance.cards.fields import FIELDS, REQUIRED
from bailiwick.governance.cards.model import Answer, ModelCard, Provenance, Section, Source, evidence, sealed
from bailiwick.governance.statements import Statement
from bailiwick.lifecycle.cards import sections
from bailiwick.lifecycle.cards.gaps import gaps_of
from bailiwick.lifecycle.cards.measurements import datasets_of, metrics_of, packages_of, tensors_of
from bailiwick.lifecycle.cards.origins import Origins, find_origins
from bailiwick.lifecycle.lineage.walk import Direction, trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion


def model_card(platform: Platform, workspace: str, model: str, number: int) -> ModelCard:
    """The card of one version, however little is known of it. Raises NotFound."""
    version = platform.registry.version(workspace, model, number)
    origins = find_origins(platform, version)
    answers = tuple(_answer(each) for each in platform.statements.statements(workspace, model, number).values())
    answered = {each.field for each in answers}
    card = ModelCard(
        workspace=workspace,
        model=model,
        number=number,
        version_digest=version.digest,
        as_of=version.created,
        answers=answers,
        missing=tuple(key for key in REQUIRED if key not in answered),
        unanswered=tuple(key for key in FIELDS if key not in answered),
        metrics=metrics_of(version, origins),
        datasets=datasets_of(platform, version, origins),
        tensors=tensors_of(version, origins),
        packages=packages_of(version, origins),
    )
    told = tuple(each for each in _sections(platform, version, origins, card) if each.facts)
    card = replace(card, sections=told)
    return sealed(replace(card, gaps=gaps_of(card, version, origins)))


def card_evidence(platform: Platform, workspace: str, model: str, number: int) -> dict[str, Any]:
    """What a request for approval of a version says of its card: `card`, and `card_missing` where that is false."""
    stated = platform.statements.statements(workspace, model, number)
    missing = tuple(key for key in REQUIRED if key not in stated)
    return evidence(ModelCard(workspace, model, number, version_digest="", as_of=0, missing=missing))


def _answer(statement: Statement) -> Answer:
    number, model = statement.number, statement.model
    source = Source(
        Provenance.STATED,
        f"model/{model}" if number is None else f"version/{model}/{number}",
        by=statement.actor,
        identity=statement.identity,
        time=statement.time,
        entry=statement.entry,
    )
    return Answer(statement.field, statement.text, "model" if number is None else "version", source, statement.origin)


def _sections(platform: Platform, version: ModelVersion, origins: Origins, card: ModelCard) -> list[Section]:
    workspace, model, number = version.workspace, version.model, version.number
    requests = platform.governance.requests(workspace, model=model)
    appearances = platform.endpoints.appearances(workspace, model, number)
    return [
        sections.version_section(version, platform.registry.model(workspace, model), origins),
        sections.files_section(version, origins),
        sections.tags_section(version, platform.registry.model(workspace, model)),
        sections.gates_section(origins),
        sections.importance_section(origins),
        sections.parity_section(version, origins),
        sections.limits_section(version, card.metrics, origins),
        sections.inputs_section(platform, version, origins),
        sections.parameters_section(version, origins),
        sections.code_section(version, origins),
        sections.lineage_section(
            asdict(trace(platform, workspace, f"version/{model}/{number}", Direction.BACKWARD)), origins
        ),
        sections.aliases_section(platform.registry.alias_history(workspace, model), number),
        sections.stages_section(platform.registry.stage_history(workspace, model), number),
        sections.approvals_section([each for each in requests if each.number == number]),
        sections.deployments_section(appearances, version),
        sections.monitoring_section(platform, version, (endpoint for endpoint, _ in appearances)),
    ]
