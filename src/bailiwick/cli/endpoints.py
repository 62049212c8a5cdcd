"""`bailiwick endpoints`: the stable names that are called, and what answers them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, answer, print_fields, print_json, print_table, say, shortened, when
from bailiwick.cli.session import open_session
from bailiwick.cli.traffic import policy, shadows
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.endpoints.model import Endpoint, Variant
    from bailiwick.lifecycle.platform import Platform

app = typer.Typer(help="Endpoints: the names that are called, and what answers.", no_args_is_help=True)

app.command()(policy)
app.command()(shadows)

NameArgument = Annotated[str, typer.Argument(help="Name of the endpoint.")]


@app.command("list")
def list_endpoints(json: JsonOption = False) -> None:
    """Every endpoint with its traffic split."""
    with open_session() as (platform, actor):
        found = platform.endpoints.endpoints(actor.workspace)
    if json:
        print_json(found)
        return
    rows = [(each.name, split(each.variants), each.epoch, each.key, each.time) for each in found]
    columns = ["endpoint", "traffic", "epoch", "unit", "time"]
    print_table("Endpoints", columns, rows, empty="No endpoints yet: an approved version makes the first.")


@app.command()
def show(name: NameArgument, json: JsonOption = False) -> None:
    """Every change of one endpoint's traffic, oldest first."""
    with open_session() as (platform, actor):
        endpoint = platform.endpoints.endpoint(actor.workspace, name)
        changes = platform.endpoints.history(actor.workspace, name)
    if json:
        print_json({"endpoint": endpoint, "history": changes})
        return
    rows = [(when(each.time), each.epoch, each.actor, split(each.variants), shortened(each.reason)) for each in changes]
    columns = ["time (UTC)", "epoch", "by", "traffic", "reason"]
    print_table(f"Endpoint {name}", columns, rows, empty="Never changed.", below="reason")


@app.command()
def deploy(
    name: NameArgument,
    model: Annotated[str, typer.Option(help="Model.")],
    version: Annotated[int, typer.Option(help="Version.")],
    json: JsonOption = False,
) -> None:
    """Send all traffic of an endpoint to one version, at once."""
    from bailiwick.lifecycle.releasable import releasable

    with open_session() as (platform, actor):
        chosen = releasable(platform, actor, model, version)
        after = platform.endpoints.deploy(actor, name, model=model, version=version, package=chosen.package)
    answer(f"{model} version {version} serves endpoint {name}.", after, as_json=json)


@app.command()
def rollback(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why; required, and kept in the journal.")],
    json: JsonOption = False,
) -> None:
    """Send all traffic to the version that served before, at once. Again goes one further back."""
    from bailiwick.lifecycle.rollback import roll_back_endpoint

    with open_session() as (platform, actor):
        after = roll_back_endpoint(platform, actor, name, reason)
    answer(f"Endpoint {name} serves {split(after.variants)} again.", after, as_json=json)


@app.command()
def recording(
    name: NameArgument,
    share: Annotated[float | None, typer.Option(help="Share of requests kept with their inputs, 0 to 1.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Keep this input, and no others but those named so.")] = None,
    omit: Annotated[list[str] | None, typer.Option(help="Never write this input anywhere.")] = None,
    hash_: Annotated[list[str] | None, typer.Option("--hash", help="Keep a keyed hash of this input.")] = None,
    personal: Annotated[str | None, typer.Option(help="Inputs marked personal: hash, omit or keep.")] = None,
    refused: Annotated[bool | None, typer.Option(help="Keep refused requests too.")] = None,
    when_full: Annotated[str | None, typer.Option(help="A full spool: refuse (503) or drop (counted).")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Begin with a policy that keeps everything.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    json: JsonOption = False,
) -> None:
    """What of an endpoint's predictions is kept; with options, have it otherwise from now on."""
    import msgspec

    from bailiwick.endpoints.recording import WHOLE, Recording

    given = {
        "share": None if share is None else round(share * WHOLE),
        "columns": only,
        "omitted": omit,
        "hashed": hash_,
        "personal_rule": personal,
        "refused": refused,
        "when_full": when_full,
    }
    changes = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if value is not None
    }
    with open_session() as (platform, actor):
        found = platform.endpoints.endpoint(actor.workspace, name).recording
        if changes or reset:
            before = msgspec.to_builtins(Recording() if reset else found)
            try:
                wanted = msgspec.convert(before | changes, Recording)
            except msgspec.ValidationError as error:
                raise InvalidInput(f"No such policy: {error}.") from None
            after = platform.endpoints.set_recording(actor, name, wanted, reason=reason)
            found = after.recording
            _tell_unknown(platform, actor.workspace, after, [*(only or ()), *(omit or ()), *(hash_ or ())])
    if json:
        print_json({"endpoint": name, **{field: getattr(found, field) for field in found.__struct_fields__}})
        return
    marked = f" ({found.personal_rule}: {', '.join(found.personal)})" if found.personal else ""
    fields = {
        "inputs kept of": f"{found.share / 100:g} % of the requests",
        "only": ", ".join(found.columns),
        "never written": ", ".join(found.omitted),
        "hashed": ", ".join(found.hashed),
        "personal": f"{len(found.personal)} inputs{marked}",
        "refused requests": "kept" if found.refused else "counted",
        "when the spool is full": "503" if found.when_full == "refuse" else "answered, and counted as dropped",
    }
    print_fields(f"Endpoint {name}", fields)


def _tell_unknown(platform: Platform, workspace: str, endpoint: Endpoint, named: Iterable[str]) -> None:
    """An input may be named before a version takes it; a slip of the pen withholds nothing, so it is told."""
    known = {endpoint.key, endpoint.time} - {""}
    for each in endpoint.variants:
        inputs = platform.registry.version(workspace, each.model, each.version, deleted=True).signature.get("inputs")
        if not isinstance(inputs, list):
            return
        known |= {str(spec["name"]) for spec in inputs}
    for column in named:
        if column not in known:
            say(f"note: nothing that serves has an input {column!r}; there are: {', '.join(sorted(known))}.", err=True)


def split(variants: Iterable[Variant]) -> str:
    """`flights 2: 5 %, flights 1: 95 %`."""
    return ", ".join(f"{each.model} {each.version}: {each.weight / 100:g} %" for each in variants)
