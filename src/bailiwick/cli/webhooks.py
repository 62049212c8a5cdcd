"""`bailiwick webhooks`: who is told of what, what was sent to them, and sending it again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import JsonOption, answer, print_fields, print_json, print_table, say, short, when, words
from bailiwick.cli.session import open_session
from bailiwick.core.actor import Permission
from bailiwick.core.clock import from_text
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.lifecycle.platform import Platform

app = typer.Typer(help="Webhooks: events for other systems, retried and replayed.", no_args_is_help=True)

WebhookArgument = Annotated[str, typer.Argument(help="Id of the webhook (from `webhooks list`), or the end of it.")]
EventsOption = Annotated[
    list[str] | None,
    typer.Option("--event", help="What it is told of; repeat for more. mlflow: model_version.created …; "
                 "cloudevents: alias.set, alias.* or *; openlineage: run.complete … or *; "
                 "email and slack: alarm.raised, alarm.raised/dataset/NAME or *."),
]  # fmt: skip
SecretOption = Annotated[
    str | None, typer.Option(help="Signs what is sent; `-` reads it from standard input, so that no history keeps it.")
]
MANAGE = Permission.WEBHOOKS_MANAGE


@app.command("list")
def list_webhooks(json: JsonOption = False) -> None:
    """Every webhook of the workspace."""
    with open_session(needs=MANAGE) as (platform, actor):
        found = platform.webhooks.webhooks(actor.workspace, limit=1_000)
    if json:
        print_json(found)
        return
    rows = [
        (short(each.id), each.name, each.format, words(each.status), ", ".join(each.events), each.url) for each in found
    ]
    columns = ["webhook", "name", "format", "state", "events", "URL"]
    print_table("Webhooks", columns, rows, empty="No webhooks: `bailiwick webhooks create` makes one.")


@app.command()
def show(
    webhook: WebhookArgument,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Deliveries to show.")] = 20,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that were given up.")] = False,
    json: JsonOption = False,
) -> None:
    """One webhook and what was last sent to it."""
    with open_session(needs=MANAGE) as (platform, actor):
        found = platform.webhooks.webhook(actor.workspace, _full(platform, actor.workspace, webhook))
        status = "FAILED" if failed else None
        sent = platform.webhooks.deliveries(actor.workspace, found.id, limit=limit, status=status)
    if json:
        print_json({"webhook": found, "deliveries": sent})
        return
    fields = {
        "id": found.id,
        "URL": found.url,
        "format": found.format,
        "events": ", ".join(found.events),
        "state": words(found.status),
        "problem": found.problem,
        "signed": "yes" if found.signed else "no",
        "failing since": when(found.failing_since),
        "description": found.description,
        "created (UTC)": when(found.created),
    }
    print_fields(found.name, fields)
    rows = [
        (short(each.id), each.position, each.event, words(each.status), each.attempts, when(each.created), each.problem)
        for each in sent
    ]
    columns = ["delivery", "entry", "event", "state", "attempts", "queued (UTC)", "problem"]
    print_table("Deliveries", columns, rows, empty="Nothing was sent to it yet.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name that people read.")],
    url: Annotated[str, typer.Argument(help="Where to send events: https.")],
    event: EventsOption = None,
    format: Annotated[str, typer.Option(help="mlflow, cloudevents or openlineage.")] = "cloudevents",  # noqa: A002
    secret: SecretOption = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    json: JsonOption = False,
) -> None:
    """Tell a URL of what happens from now on."""
    with open_session(needs=MANAGE, create=True) as (platform, actor):
        made = platform.webhooks.create(
            actor,
            name,
            url=url,
            events=event or [],
            format=format,
            secret=_secret(secret) or "",
            description=description,
        )
    answer(f"Webhook {made.name} ({short(made.id)}) is told of {', '.join(made.events)}.", made, as_json=json)
    if not json:
        say(f"Try it: bailiwick webhooks test {short(made.id)}")


@app.command()
def update(
    webhook: WebhookArgument,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    url: Annotated[str | None, typer.Option(help="A new URL.")] = None,
    event: EventsOption = None,
    secret: SecretOption = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Send to it, or do not.")] = None,
    json: JsonOption = False,
) -> None:
    """Change what is given."""
    status = None if enable is None else "ACTIVE" if enable else "DISABLED"
    with open_session(needs=MANAGE) as (platform, actor):
        changed = platform.webhooks.update(
            actor,
            _full(platform, actor.workspace, webhook),
            name=name,
            url=url,
            events=event or None,
            secret=_secret(secret),
            description=description,
            status=status,
        )
    answer(f"Webhook {changed.name} ({short(changed.id)}) is {words(changed.status)}.", changed, as_json=json)


@app.command()
def delete(webhook: WebhookArgument, json: JsonOption = False) -> None:
    """Remove a webhook and everything that waits for it."""
    with open_session(needs=MANAGE) as (platform, actor):
        found = platform.webhooks.webhook(actor.workspace, _full(platform, actor.workspace, webhook))
        platform.webhooks.delete(actor, found.id)
    answer(f"Webhook {found.name} ({short(found.id)}) is deleted.", found, as_json=json)


@app.command("test")
def try_out(
    webhook: WebhookArgument,
    event: Annotated[str | None, typer.Option(help="Which event to send an example of; its first by default.")] = None,
    json: JsonOption = False,
) -> None:
    """Send an example now and say what came back. Exit 1 when it was not taken."""
    with open_session(needs=MANAGE) as (platform, actor):
        came = platform.webhooks.test(actor, _full(platform, actor.workspace, webhook), event=event)
    said = f"The receiver answered {came.status} after {came.duration_ms} ms."
    answer(said if came.status is not None else f"Not delivered: {came.problem}", came, as_json=json)
    if not came.succeeded:
        sys.exit(1)


@app.command()
def replay(
    webhook: Annotated[str, typer.Argument(help="Id of the webhook, or the end of it.")],
    since: Annotated[str | None, typer.Option(help="From this time on, e.g. 2026-03-01T12:00 (UTC).")] = None,
    position: Annotated[int | None, typer.Option(min=0, help="From this place in the journal on.")] = None,
    delivery: Annotated[str | None, typer.Option(help="Only this delivery: its id, or the end of it.")] = None,
    json: JsonOption = False,
) -> None:
    """Send again what was sent or should have been. Receivers see the ids they saw before."""
    with open_session(needs=MANAGE) as (platform, actor):
        webhook_id = _full(platform, actor.workspace, webhook)
        if delivery is not None:
            known = (each.id for each in platform.webhooks.deliveries(actor.workspace, webhook_id, limit=1_000))
            again = platform.webhooks.replay_delivery(actor, full_id("delivery", delivery, known))
            answer(f"Delivery {short(again.id)} ({again.event}) is sent again.", again, as_json=json)
            return
        start = platform.webhooks.replay(actor, webhook_id, since=_time(since), position=position)
    told = {"webhook": webhook_id, "position": start}
    answer(f"Everything from journal position {start} on is sent again.", told, as_json=json)


def _full(platform: Platform, workspace: str, webhook: str) -> str:
    """The id that is meant: by its end, or by the name that one webhook alone has."""
    known = platform.webhooks.webhooks(workspace, limit=1_000)
    named = [each.id for each in known if each.name == webhook]
    return named[0] if len(named) == 1 else full_id("webhook", webhook, (each.id for each in known))


def _secret(given: str | None) -> str | None:
    return sys.stdin.readline().rstrip("\n") if given == "-" else given


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return from_text(text)
    except ValueError:
        raise InvalidInput(f"--since {text!r} is not a time.", hint="Write it as 2026-03-01T12:00.") from None
