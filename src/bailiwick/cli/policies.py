"""More of `bailiwick models`: policies, which say what a version needs to become an alias or reach a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, answer, print_json, print_table
from bailiwick.cli.session import open_session

if TYPE_CHECKING:
    from bailiwick.governance.model import Policy


def policies(json: JsonOption = False) -> None:
    """What promotions need: who must approve, on which evidence, how long it holds."""
    with open_session() as (platform, actor):
        found = platform.governance.policies(actor.workspace)
    if json:
        print_json(found)
        return
    rows = [
        (each.model, each.target, each.approvers, _who(each), ", ".join(each.evidence), _expiry(each)) for each in found
    ]
    columns = ["model", "target", "approvers", "who", "evidence", "expires after"]
    print_table("Policies", columns, rows, empty="No policies: any version may become anything.")


def policy(
    model: Annotated[str, typer.Argument(help="Name of the model; * for every model without a policy of its own.")],
    target: Annotated[str, typer.Option(help="Alias or stage.")] = "production",
    approvers: Annotated[int, typer.Option(help="How many must approve.")] = 1,
    who: Annotated[list[str] | None, typer.Option(help="Whose approval counts; repeat for more.")] = None,
    evidence: Annotated[list[str] | None, typer.Option(help="gates, parity or card; repeat for more.")] = None,
    expires: Annotated[str, typer.Option(help="How long a request, then an approval, holds: 12h, 7d.")] = "",
    author_may_approve: Annotated[bool, typer.Option(help="Let the author's approval count.")] = False,
    remove: Annotated[bool, typer.Option(help="Ask for nothing any more.")] = False,
    json: JsonOption = False,
) -> None:
    """Set what a version of a model needs to become a target, or ask for nothing any more."""
    from bailiwick.pipelines.notation import parse_duration

    with open_session() as (platform, actor):
        if remove:
            platform.governance.remove_policy(actor, model, target)
            answer(f"{model} {target} needs no approval any more.", {"model": model, "target": target}, as_json=json)
            return
        made = platform.governance.set_policy(
            actor,
            model,
            target,
            approvers=approvers,
            who=who or (),
            not_author=not author_may_approve,
            evidence=evidence or (),
            expires_ms=_milliseconds(parse_duration, expires) if expires else None,
        )
    answer(f"{model} {target} needs {made.approvers} to approve ({_who(made)}).", made, as_json=json)


def _milliseconds(parse: object, text: str) -> int:
    from bailiwick.core.errors import InvalidInput

    assert callable(parse)
    try:
        return int(parse(text))
    except ValueError as error:
        raise InvalidInput(f"--expires: {str(error).rstrip('.')}.") from None


def _who(policy: Policy) -> str:
    named = ", ".join(policy.who) or "anyone who may approve"
    return f"{named}, not the author" if policy.not_author else named


def _expiry(policy: Policy) -> str:
    from bailiwick.pipelines.notation import duration_text

    return "" if policy.expires_ms is None else duration_text(policy.expires_ms)
