"""More of `bailiwick models`: stages, what pointed where, comparing, moving versions between homes, deleting and destroying."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli import models
from bailiwick.cli.former_names import FormerNames
from bailiwick.cli.models import ModelArgument, ReasonOption, VersionArgument, runtime_words
from bailiwick.cli.output import JsonOption, answer, busy, print_json, print_table, say, when, words
from bailiwick.cli.progress import Doing
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.registry.comparison import Line, VersionComparison

app = models.app
SECTIONS = ("origin", "parameters", "metrics", "signature", "data", "slices")
WholeModel = Annotated[int | None, typer.Argument(help="Number of the version; the whole model when left out.")]


@app.command()
def stage(
    model: ModelArgument,
    version: VersionArgument,
    stage: Annotated[str, typer.Argument(help="None, Staging, Production or Archived.")],
    archive_existing: Annotated[bool, typer.Option(help="Archive other versions that are there.")] = False,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Put a version at a stage, if the policy on it allows."""
    from bailiwick.lifecycle.promotion import promote_to_stage

    with open_session() as (platform, actor):
        moved = promote_to_stage(
            platform, actor, model, version, stage, archive_existing=archive_existing, reason=reason
        )
    answer(f"{model} version {version} is at {moved.stage}.", moved, as_json=json)


@app.command()
def request(
    model: ModelArgument,
    version: VersionArgument,
    target: Annotated[str, typer.Option(help="Alias or stage it is to become.")] = "production",
    json: JsonOption = False,
) -> None:
    """Request the approval that a policy wants. Evidence is taken from the records."""
    from bailiwick.lifecycle.promotion import request_approval

    with open_session() as (platform, actor):
        made = request_approval(platform, actor, model, version, target)
    answer(f"Request {made.id} for {target} needs {made.needed} to approve it.", made, as_json=json)


@app.command()
def history(
    model: ModelArgument,
    name: Annotated[str, typer.Argument(help="Alias or stage; all when left out.")] = "",
    at: Annotated[str, typer.Option(help="A UTC time, e.g. 2026-03-01T12:00; now when left out.")] = "",
    changes: Annotated[bool, typer.Option(help="Every change instead, with what was there before.")] = False,
    json: JsonOption = False,
) -> None:
    """What was champion, or in Production, at a time: which version, set by whom, why."""
    from bailiwick.core.clock import from_text

    if changes:
        _print_changes(model, name, json=json)
        return
    try:
        time = from_text(at) if at else None
    except ValueError:
        raise InvalidInput(f"--at {at!r} is no time.", hint="Write 2026-03-01 or 2026-03-01T12:00:00Z.") from None
    with open_session() as (platform, actor):
        found = platform.registry.pointing_at(actor.workspace, model, name, time)
    if json:
        print_json(found)
        return
    rows = [
        (each.kind, each.name, each.number, when(each.since, seconds=True), each.actor, each.reason) for each in found
    ]
    columns = ["kind", "name", "version", "since (UTC)", "by", "why"]
    print_table(f"What points at {model}", columns, rows, empty="Nothing pointed at a version then.")


def _print_changes(model: str, name: str, *, json: bool) -> None:
    """Every move of aliases and stages, or of one, oldest first."""
    with open_session() as (platform, actor):
        platform.registry.pointing_at(actor.workspace, model, name)
        aliases = platform.registry.alias_history(actor.workspace, model)
        stages = platform.registry.stage_history(actor.workspace, model)
    aliases = [each for each in aliases if name in {"", each.alias}]
    stages = [each for each in stages if not name or name.lower() in {each.stage.lower(), each.previous.lower()}]
    if json:
        print_json({"aliases": aliases, "stages": stages})
        return
    moves = [
        (each.time, each.alias, each.action, _version(each.previous), _version(each.number), each.actor, each.reason)
        for each in aliases
    ]
    moves += [
        (each.time, f"version {each.number}", each.action, each.previous, each.stage, each.actor, each.reason)
        for each in stages
    ]
    ordered = sorted(moves, key=lambda each: each[0])
    rows = [(when(time, seconds=True), what, words(action), *rest) for time, what, action, *rest in ordered]
    columns = ["time (UTC)", "what", "how", "before", "after", "by", "why"]
    print_table(f"History of {model}", columns, rows, empty="Nothing was ever set.")


def _version(number: int | None) -> str:
    return "" if number is None else f"version {number}"


@app.command()
def compare(
    model: ModelArgument,
    left: Annotated[int, typer.Argument(help="Number of one version.")],
    right: Annotated[int, typer.Argument(help="Number of the other.")],
    everything: Annotated[bool, typer.Option("--all", help="Show what is equal too.")] = False,
    json: JsonOption = False,
) -> None:
    """Set two versions side by side. Parameters, metrics, signature, data, slices, size."""
    from bailiwick.lifecycle.comparing import compare_versions

    with open_session() as (platform, actor):
        found = compare_versions(platform, actor.workspace, model, left, right)
    if json:
        print_json(found)
        return
    rows = [(each.name, each.left, each.right, each.change) for each in _shown(found, everything=everything)]
    columns = ["", f"version {left}", f"version {right}", "change"]
    print_table(f"Model {model}", columns, rows, empty="No difference is known.")
    if found.same_content:
        say("Both versions have the same content.")


def _shown(found: VersionComparison, *, everything: bool) -> list[Line]:
    lines: list[Line] = [line for section in SECTIONS for line in getattr(found, section)]
    return [line for line in lines if everything or not line.same]


@app.command(cls=FormerNames)
def export(
    model: ModelArgument,
    version: VersionArgument,
    out: Annotated[Path | None, typer.Option(help="File to write; MODEL-VERSION.zip when left out.")] = None,
    json: JsonOption = False,
) -> None:
    """Write a version as one verifiable file: record, package or files, card, proof from the journal."""
    from bailiwick.lifecycle.transfer import export_version

    target = out or Path(f"{model}-{version}.zip")
    with open_session() as (platform, actor), busy("Writing the archive"):
        made = export_version(platform, actor.workspace, model, version, target)
    told = f"{target} holds {model} version {version} in {len(made.members)} files; its SHA-256 is {made.sha256}."
    answer(told, {"file": str(target), "sha256": made.sha256, "members": made.members}, as_json=json)


@app.command("import")
def import_archive(
    archive: Annotated[Path, typer.Argument(help="A file that `models export` wrote.")],
    name: Annotated[str, typer.Option("--as", help="Name of the model here; as it was when left out.")] = "",
    json: JsonOption = False,
) -> None:
    """Register what an exported file holds, after checking each byte of it. The same file again changes nothing."""
    from bailiwick.lifecycle.transfer import import_version

    with open_session(create=True) as (platform, actor), busy("Checking the archive"):
        made = import_version(platform, actor, archive, model=name)
    answer(f"{made.model} version {made.number} is registered.", made, as_json=json)


@app.command()
def package(
    model: ModelArgument,
    version: VersionArgument,
    build_environment: Annotated[
        bool, typer.Option("--build-environment", help="Install what the model was logged with, as wheels.")
    ] = False,
    refuse_nulls: Annotated[
        bool, typer.Option("--refuse-nulls", help="Take an ONNX graph that differs only where a value is null.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option("--files", help="A folder with the version's files, where this server does not keep them."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a version that MLflow logged ready to serve: as ONNX where that answers the same, else as it is."""
    from bailiwick.lifecycle.packaging.story import package_version

    with open_session() as (platform, actor), Doing(quiet=json) as doing:
        made = package_version(
            platform,
            actor,
            model,
            version,
            build_environment=build_environment,
            refuse_nulls=refuse_nulls,
            given=files,
            watch=doing.update,
        )
    told = f"{model} version {version} has a package for {runtime_words(made)}."
    if made.signature.get("documents"):
        told += " So it takes documents: a row of any columns to /predict, or any body of MLflow's scoring protocol."
    answer(told, made, as_json=json)


@app.command()
def delete(
    model: ModelArgument, version: WholeModel = None, reason: ReasonOption = "", json: JsonOption = False
) -> None:
    """Hide a version, or a model with all versions. `models restore` brings it back."""
    from bailiwick.lifecycle.origins import Dependents

    with open_session() as (platform, actor):
        if version is None:
            count = platform.registry.delete_model(actor, model, reason=reason)
            answer(f"{model} and {count} versions are deleted.", {"model": model, "versions": count}, as_json=json)
            return
        gone = platform.registry.delete_version(actor, model, version, reason=reason)
        routes = Dependents(platform.endpoints, platform.projects, platform.governance)
        serving = routes.of_version(actor.workspace, model, version)
    still = f" It goes on answering at {', '.join(serving)}: `bailiwick endpoints deploy` routes to another."
    answer(f"{model} version {version} is deleted.{still if serving else ''}", gone, as_json=json)


@app.command()
def restore(model: ModelArgument, version: WholeModel = None, json: JsonOption = False) -> None:
    """Show a deleted version, or model, again. Aliases and stages stay where they are."""
    with open_session() as (platform, actor):
        if version is None:
            back = platform.registry.restore_model(actor, model)
            answer(f"{model} is back with {back.versions} versions.", back, as_json=json)
            return
        shown = platform.registry.restore_version(actor, model, version)
    answer(f"{model} version {version} is back.", shown, as_json=json)


@app.command()
def purge(
    model: ModelArgument,
    version: VersionArgument,
    reason: Annotated[str, typer.Option(help="Why; required, and kept in the journal.")],
    json: JsonOption = False,
) -> None:
    """Destroy a deleted version's content for good. A tombstone stays, so that lineage and journal hold."""
    with open_session() as (platform, actor):
        gone = platform.registry.purge_version(actor, model, version, reason=reason)
    answer(f"{model} version {version} is purged; its number and origin are kept.", gone, as_json=json)
