"""`bailiwick models`: versions, lineage, approvals, aliases, cards."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli import cards, policies
from bailiwick.cli.former_names import FormerNames
from bailiwick.cli.ids import full_id
from bailiwick.cli.lineage import DirectionOption, print_lineage
from bailiwick.cli.output import (
    JsonOption,
    answer,
    busy,
    print_fields,
    print_json,
    print_table,
    say,
    short,
    when,
    words,
)
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput
from bailiwick.core.serving_setting import setting_words
from bailiwick.registry.model import OWN_TAGS

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.governance.model import ApprovalRequest
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.registry.model import ModelVersion

app = typer.Typer(help="Models: versions, lineage, approvals, cards.", no_args_is_help=True)
for command in (cards.card, cards.state, cards.statements, policies.policies, policies.policy):
    app.command()(command)

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
VersionArgument = Annotated[int, typer.Argument(help="Number of the version.")]
RequestArgument = Annotated[str, typer.Argument(help="Id of the request, or the end of it.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the journal.")]


@app.command("list")
def list_models(json: JsonOption = False) -> None:
    """Every model with its newest version and aliases."""
    with open_session() as (platform, actor):
        found = platform.registry.models(actor.workspace)
    if json:
        print_json(found)
        return
    rows = [(each.name, each.newest, each.versions, _aliases(each.aliases), when(each.updated)) for each in found]
    columns = ["model", "newest", "versions", "aliases", "changed (UTC)"]
    print_table("Models", columns, rows, empty="No models yet: `bailiwick run` registers the first.")


@app.command()
def show(
    model: ModelArgument,
    version: Annotated[int | None, typer.Argument(help="Number; all when left out.")] = None,
    json: JsonOption = False,
) -> None:
    """One version in full, or all versions of a model."""
    with open_session() as (platform, actor):
        if version is not None:
            found = platform.registry.version(actor.workspace, model, version)
        versions = [] if version is not None else platform.registry.versions(actor.workspace, model)
        aliases = platform.registry.aliases(actor.workspace, model)
        names = platform.identities.names(actor.workspace)
    if json:
        print_json(versions if version is None else found)
    elif version is None:
        rows = [_version_row(each, aliases, names) for each in versions]
        columns = ["version", "created (UTC)", "by", "AUC", "log loss", "digest", "aliases"]
        print_table(f"Model {model}", columns, rows, empty="No versions.")
    else:
        print_fields(f"{found.model} version {found.number}", _version_fields(found, names))


@app.command()
def register(
    model: ModelArgument,
    package: Annotated[Path, typer.Argument(help="An ONNX package that Bailiwick made.")],
    run: Annotated[str, typer.Option(help="Id of the tracking run that made it.")] = "",
    snapshot: Annotated[str, typer.Option(help="Id of the snapshot it was trained on.")] = "",
    metric: Annotated[list[str] | None, typer.Option(help="name=value; repeat for more.")] = None,
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    json: JsonOption = False,
) -> None:
    """Register a package that was made elsewhere. A run gives a model one version."""
    from bailiwick.lifecycle.scoring import load
    from bailiwick.training.metadata import read_metadata

    metrics = dict(_metric(each) for each in metric or [])
    try:
        data = package.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{package} cannot be read: {error.strerror}.") from error
    signature = read_metadata(load(data)).signature
    with open_session(create=True) as (platform, actor):
        if run:
            platform.tracking.run(actor.workspace, run)
        if snapshot:
            platform.data.snapshot(actor.workspace, snapshot)
        made = platform.registry.register(
            actor,
            model,
            package=platform.blobs.put(data),
            run_id=run,
            snapshot=snapshot,
            signature=signature,
            metrics=metrics,
            slices={},
            parity={},
            environment={},
            code_version="",
            parameters={},
            description=description,
        )
    answer(f"{made.model} version {made.number} is registered.", made, as_json=json)


@app.command()
def verify(model: ModelArgument, version: VersionArgument, json: JsonOption = False) -> None:
    """Check that a version is all there and unchanged. Exit 1, naming what is wrong, when it is not."""
    from bailiwick.lifecycle.verification import verify_version

    with open_session() as (platform, actor), busy("Reading the package and its data"):
        checks = verify_version(platform, actor.workspace, model, version)
    if json:
        print_json(checks)
    else:
        for check in checks:
            say(f"{'✓' if check.passed else '✗'} {check.what:<18}{check.problem or 'as it was registered'}")
    if not all(check.passed for check in checks):
        sys.exit(1)


@app.command()
def lineage(
    model: ModelArgument,
    version: VersionArgument,
    direction: DirectionOption = "both",
    json: JsonOption = False,
) -> None:
    """Where a version comes from, and where it went."""
    print_lineage(f"version/{model}/{version}", direction, json=json)


@app.command()
def approvals(
    status: Annotated[str | None, typer.Option(help="pending, approved, rejected or expired.")] = None,
    json: JsonOption = False,
) -> None:
    """Requests for approval, and what became of them."""
    with open_session() as (platform, actor):
        found = platform.governance.requests(actor.workspace, status=None if status is None else status.upper())
    if json:
        print_json(found)
        return
    rows = [
        (
            short(each.id),
            f"{each.model} {each.number}",
            each.target,
            each.author,
            words(each.status),
            _votes(each),
            when(each.expires),
        )
        for each in found
    ]
    columns = ["request", "version", "target", "author", "status", "votes", "expires (UTC)"]
    print_table("Approvals", columns, rows, empty="No requests.")


@app.command(cls=FormerNames)
def approve(
    request: RequestArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    json: JsonOption = False,
) -> None:
    """Approve a request. The author of a version may not."""
    with open_session() as (platform, actor):
        after = platform.governance.approve(actor, _request_id(platform, actor, request), reason)
        newer = _proposed_since(platform, after)
    answer(_told(after) + newer, after, as_json=json)


@app.command(cls=FormerNames)
def reject(
    request: RequestArgument,
    reason: Annotated[str, typer.Option(help="Why; required, and kept in the journal.")],
    json: JsonOption = False,
) -> None:
    """Reject a request. That is final for it."""
    with open_session() as (platform, actor):
        after = platform.governance.reject(actor, _request_id(platform, actor, request), reason)
    answer(_told(after), after, as_json=json)


@app.command()
def serving(
    model: ModelArgument,
    version: VersionArgument,
    threads: Annotated[int, typer.Option(help="Threads of one run of an ONNX graph.")] = 1,
    most_rows: Annotated[
        int, typer.Option(help="Most rows that a run of several requests has; 0: as the server has it.")
    ] = 0,
    workers: Annotated[int, typer.Option(help="Inference processes that it is best served with; advice.")] = 0,
    why: Annotated[str, typer.Option(help="What it was measured by; kept with it.")] = "",
    reset: Annotated[bool, typer.Option("--reset", help="Run it as others again.")] = False,
    json: JsonOption = False,
) -> None:
    """Say how a version is run wherever it is served, at once; without options, show it."""
    from bailiwick.core.serving_setting import AS_SERVED, ServingSetting

    wanted = ServingSetting(threads, most_rows, workers, why)
    if reset and wanted != AS_SERVED:
        raise InvalidInput("--reset takes the setting back, so nothing else goes with it.")
    with open_session() as (platform, actor):
        if reset or wanted != AS_SERVED:
            found = platform.registry.set_serving(actor, model, version, wanted)
        else:
            found = platform.registry.version(actor.workspace, model, version)
    told = setting_words(found.serving) or "it is run as the server runs every version"
    answer(f"{model} version {version}: {told}.", found.serving, as_json=json)


@app.command()
def promote(
    model: ModelArgument,
    version: VersionArgument,
    alias: Annotated[str, typer.Option(help="Alias to set.")] = "production",
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Point an alias to a version, if the policy on it allows."""
    from bailiwick.lifecycle.promotion import promote as promote_version

    with open_session() as (platform, actor):
        change = promote_version(platform, actor, model, version, alias, reason=reason)
    answer(f"{model} {alias} is version {change.number}.", change, as_json=json)


@app.command()
def rollback(
    model: ModelArgument,
    reason: ReasonOption,
    alias: Annotated[str, typer.Option(help="Alias to move back.")] = "production",
    stage: Annotated[str, typer.Option(help="Stage to move back, instead of an alias.")] = "",
    json: JsonOption = False,
) -> None:
    """Point an alias to the version it named before, or put that version at a stage again."""
    with open_session() as (platform, actor):
        if stage:
            back = platform.registry.rollback_stage(actor, model, stage, reason)
            answer(f"{model} version {back.number} is at {back.stage} again.", back, as_json=json)
            return
        change = platform.registry.rollback_alias(actor, model, alias, reason=reason)
    answer(f"{model} {alias} is version {change.number} again.", change, as_json=json)


def _request_id(platform: Platform, actor: Actor, given: str) -> str:
    return full_id("request", given, (each.id for each in platform.governance.requests(actor.workspace)))


def _told(after: ApprovalRequest) -> str:
    return f"{after.model} version {after.number} for {after.target} is {words(after.status)} ({_votes(after)})."


def _proposed_since(platform: Platform, after: ApprovalRequest) -> str:
    """That another version goes out by itself and this one does not, where a newer one was proposed."""
    from bailiwick.lifecycle.releasable import PRODUCTION
    from bailiwick.lifecycle.release import CANDIDATE

    proposed = platform.registry.aliases(after.workspace, after.model).get(CANDIDATE, 0)
    if after.target != PRODUCTION or proposed <= after.number:
        return ""
    by_hand = f"`bailiwick endpoints deploy ENDPOINT --model {after.model} --version {after.number}`"
    return f" Version {proposed} was proposed since, and goes out when it is approved; this one by {by_hand}."


def _votes(request: ApprovalRequest) -> str:
    given = f"{request.approvals()} of {request.needed} approvals"
    refused = "rejected by " if words(request.status) == "rejected" else ""
    return (
        given if not request.decisions else f"{given}: {refused}{', '.join(each.actor for each in request.decisions)}"
    )


def _aliases(aliases: object) -> str:
    assert hasattr(aliases, "items")
    return ", ".join(f"{alias}: {number}" for alias, number in sorted(aliases.items()))


def _version_row(version: ModelVersion, aliases: dict[str, int], names: Mapping[str, str]) -> tuple[object, ...]:
    return (
        version.number,
        when(version.created),
        names.get(version.created_by, version.created_by),
        version.metrics.get("roc_auc"),
        version.metrics.get("log_loss"),
        version.digest[:12],
        ", ".join(sorted(alias for alias, number in aliases.items() if number == version.number)),
    )


def _agreement(parity: Mapping[str, Any]) -> str:
    """Whether what serves answers as what was trained, and how that is known."""
    if parity.get("examples") == 0:
        return "not compared: it was logged without an input example"
    found = "yes" if parity.get("passed") else "NO"
    if parity.get("examples"):
        return f"{found}, its own input example"
    return (
        f"{found}, largest difference {parity['max_error']:.2g} in {parity['rows']:,} rows"
        if parity.get("rows")
        else ""
    )


def _version_fields(version: ModelVersion, names: Mapping[str, str]) -> dict[str, object]:
    return {
        "created": f"{when(version.created)} UTC by {names.get(version.created_by, version.created_by)}",
        "why": version.description,
        "digest": version.digest,
        "size": f"{version.size_bytes:,} bytes" if version.size_bytes else "",
        **_content_fields(version),
        "stage": "" if version.stage == "None" else version.stage,
        "source": version.source,
        "tags": ", ".join(f"{key}={value}" for key, value in version.tags.items() if key not in OWN_TAGS),
        "run": version.run_id,
        "snapshot": version.snapshot,
        "code": version.code_version,
        "serving": setting_words(version.serving)
        and f"{setting_words(version.serving)} ({version.serving.why or 'set by hand'})",
        "runtime": runtime_words(version) if version.package else "none: `bailiwick models package` makes a package",
        "training = serving": _agreement(version.parity),
        "logged model": version.model_id,
        **{direction: columns_words(version.signature.get(direction)) for direction in ("inputs", "outputs", "params")},
        **{f"metric {name}": value for name, value in sorted(version.metrics.items())},
        **{f"parameter {name}": value for name, value in sorted(version.parameters.items())},
    }


def runtime_words(version: ModelVersion) -> str:
    """`python: the converted graph answers otherwise…`, as far as it is known."""
    reason = str(version.parity.get("reason", ""))
    return f"{version.runtime}: {reason}" if reason else version.runtime


def _content_fields(version: ModelVersion) -> dict[str, object]:
    """What the files say of themselves; while they are not read, that, and why."""
    said = version.content
    state = {
        "pending": "not read yet; `bailiwick work` does",
        "elsewhere": "out of this server's reach",
        "missing": "not found",
    }.get(version.content_state, "")
    example = {True: "yes", False: "no"}.get(said.get("input_example", ""), "")
    return {
        "files": state or said.get("files", ""),
        "flavours": ", ".join(f"{name} {known}".strip() for name, known in version.flavors.items()),
        "MLflow": said.get("mlflow_version", ""),
        "Python": version.environment.get("python", ""),
        "requirements": said.get("requirements_digest", ""),
        "input example": example,
        "problem": said.get("problem", ""),
    }


def columns_words(columns: object) -> str:
    """`hour (double), carrier (string)`; what a package says of params is their names alone."""
    if not isinstance(columns, list):
        return ""
    told = ({"name": each} if isinstance(each, str) else each for each in columns)
    kinds = ((each["name"], each.get("datatype") or each.get("type") or "") for each in told)
    return ", ".join(f"{name} ({kind})" if kind else str(name) for name, kind in kinds)


def _metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InvalidInput(f"--metric {text!r} is not name=value.", hint="For example roc_auc=0.71.") from None
