"""Steps `register` and `propose`: the package becomes a version with its lineage, and asks to go to production."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from bailiwick.core.actor import Actor
from bailiwick.data.profile import Profile, build_profile, to_json
from bailiwick.endpoints.log import output_column
from bailiwick.governance.model import ApprovalRequest, Status
from bailiwick.lifecycle.evidence import card_evidence
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import Scorer, signature_of
from bailiwick.lifecycle.training.engine_rows import EngineRows
from bailiwick.lifecycle.training.recorded_columns import check_columns, check_fallbacks
from bailiwick.lifecycle.training.reference import profile_of
from bailiwick.lifecycle.training.repeated import same_as_newest
from bailiwick.lifecycle.training.splits import divided
from bailiwick.pipelines.model import JSON, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.registry.model import ModelVersion
from bailiwick.tracking.environment import describe_environment
from bailiwick.tracking.licences import installed_licences
from bailiwick.tracking.provenance.code import git
from bailiwick.training.entrypoint import source_digest

CANDIDATE = "candidate"
PRODUCTION = "production"
PROJECT_FILE = "the project file"


def register(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Register the version with everything that made it; a repeated step finds the version it made before.

    Where the newest version is the same already it stays the newest, unless the run has the parameter `force`.
    """
    trained, judged = context.inputs["train"], context.inputs["evaluate"]
    package = str(trained["package"])
    signature = signature_of(platform, package)
    check_columns(platform, context.actor, project, [str(spec["name"]) for spec in signature["inputs"]])
    check_fallbacks(project, signature)
    environment = describe_environment()
    commit = git(project.folder, "rev-parse", "HEAD")
    facts: dict[str, Any] = {
        "package": package,
        "snapshot": str(context.inputs["ingest"]["snapshot"]),
        "metrics": judged["metrics"],
        "slices": judged["slices"],
        "parity": trained["parity"],
        "environment": environment.to_json() | {"licences": installed_licences(environment.packages)},
        "parameters": trained["parameters"],
    }
    run_id, workspace = str(trained["run"]), context.actor.workspace
    if not context.params.get("force") and platform.registry.version_of_run(workspace, project.name, run_id) is None:
        known = same_as_newest(platform, workspace, project.name, facts)
        if known is not None:
            _state(platform, context.actor, project)
            context.progress(1.0, f"nothing changed: it is {project.name} version {known.number}")
            return {"model": project.name, "version": known.number, "unchanged": True}
    version = platform.registry.register(
        context.actor,
        project.name,
        **facts,
        run_id=run_id,
        signature=signature,
        code_version=commit or source_digest(project.train.entrypoint, project.folder),
        reference_profile=platform.blobs.put(_reference(platform, project, context, package)),
        description=str(context.params.get("reason") or ""),
    )
    _state(platform, context.actor, project)
    context.progress(1.0, f"{project.name} version {version.number}")
    return {"model": project.name, "version": version.number}


def _state(platform: Platform, actor: Actor, project: Project) -> None:
    """Say of the model what the project file says and did not say before; what people said elsewhere since stays."""
    words = project.govern.card.words
    if not words:
        return
    said: dict[str, str] = {}
    for each in platform.statements.history(actor.workspace, project.name, limit=1_000):  # newest first
        if each.origin == PROJECT_FILE:
            said.setdefault(each.field, each.text)
    for field, text in words.items():
        if said.get(field) != text.strip():
            platform.statements.state(actor, project.name, None, field, text, origin=PROJECT_FILE)


def _reference(platform: Platform, project: Project, context: StepContext, package: str) -> bytes:
    """What monitoring will hold live traffic against: all inputs of the snapshot, and answers on rows not learnt from.

    Not the event time, of which every new window differs from all before.
    """
    with closing(divided(platform, project, context)) as rows, closing(Scorer(platform, package)) as scorer:
        answers = np.concatenate([scorer.score(part) for part in rows.holdout(list(scorer.inputs))])
        names = [name for name in scorer.inputs if name != project.data.time]
        if isinstance(rows, EngineRows):
            of_inputs = rows.profile(names)
        else:
            of_inputs = profile_of(rows.all, names, rows=sum(rows.counts.values()))
    of_answers = build_profile(pa.table({output_column("probability"): answers}))
    return to_json(Profile(rows=of_inputs.rows, features=of_inputs.features + of_answers.features)).encode()


def propose(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Point the alias `candidate` to the version and, where a policy guards production, ask for approval with evidence."""
    registered = context.inputs["register"]
    model, number = str(registered["model"]), int(str(registered["version"]))
    version = platform.registry.version(context.actor.workspace, model, number)
    asked = _asked_before(platform, version) if registered.get("unchanged") else None
    if asked is not None:
        context.progress(1.0, f"its approval was asked for before: {asked.status.lower()}")
        return {"request": asked.id if asked.status == Status.PENDING else ""}
    platform.registry.set_alias(context.actor, model, CANDIDATE, number, reason=f"pipeline run {context.run_id}")
    if platform.governance.policy(context.actor.workspace, model, PRODUCTION) is None:
        context.progress(1.0, "no approval is asked for")
        return {"request": ""}
    evidence = {
        "gates": bool(project.evaluate.gates),  # `evaluate` let the version come this far only if each of them passed
        "parity": bool(version.parity.get("passed")),
        **card_evidence(platform, context.actor.workspace, model, number),
    }
    request = platform.governance.request(
        context.actor, model, number, PRODUCTION, author=version.created_by, evidence=evidence
    )
    context.progress(1.0, f"waits for approval: bailiwick models approve {request.id}")
    return {"request": request.id}


def _asked_before(platform: Platform, version: ModelVersion) -> ApprovalRequest | None:
    """The newest request for the version that has not expired: what people said holds, and a repetition asks for it no more."""
    found = platform.governance.requests(version.workspace, model=version.model)
    here = (each for each in found if (each.number, each.target) == (version.number, PRODUCTION))
    newest = next(here, None)
    return None if newest is None or newest.status == Status.EXPIRED else newest
