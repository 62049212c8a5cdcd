"""`bailiwick endpoints`: the stable names that are called, and what answers them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, answer, print_json, print_table, shortened, when
from bailiwick.cli.session import open_session

if TYPE_CHECKING:
    from bailiwick.endpoints.model import Variant

app = typer.Typer(help="Endpoints: the names that are called, and what answers.", no_args_is_help=True)

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
    from bailiwick.lifecycle.release import releasable

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


def split(variants: Iterable[Variant]) -> str:
    """`flights 2: 5 %, flights 1: 95 %`."""
    return ", ".join(f"{each.model} {each.version}: {each.weight / 100:g} %" for each in variants)
