"""`bailiwick endpoints policy` and `shadows`: what else than the split decides, and what came of it."""

from __future__ import annotations

import json as codec
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.output import JsonOption, answer, print_json, print_table
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.lifecycle.policies import PolicyStated

WHOLE = 10_000
"""A share of all, as policies count it: in basis points."""
PARTS = ("override", "shadows", "fallbacks", "breaker", "slow", "queue", "deadline", "quota", "priority")


def policy(
    name: Annotated[str, typer.Argument(help="Name of the endpoint.")],
    override_header: Annotated[str | None, typer.Option(help="Header by which callers may ask for a variant.")] = None,
    override_parameter: Annotated[str | None, typer.Option(help="The same by a parameter of the request.")] = None,
    shadow: Annotated[
        list[str] | None, typer.Option(help="MODEL:VERSION[=PERCENT], run on copies; repeatable.")
    ] = None,
    fallback: Annotated[
        list[str] | None, typer.Option(help="MODEL:VERSION or `previous`, in the order to try; repeatable.")
    ] = None,
    fallback_answer: Annotated[
        list[str] | None, typer.Option(help="OUTPUT=VALUE, answered when all else fails; repeatable.")
    ] = None,
    breaker: Annotated[int | None, typer.Option(help="Percent of failures that opens a breaker; 0 for none.")] = None,
    slow_ms: Annotated[int | None, typer.Option(help="Milliseconds after which a variant is too slow.")] = None,
    queue: Annotated[int | None, typer.Option(help="Most requests that wait in a worker.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(help="Longest wait of requests that state none.")] = None,
    quota: Annotated[float | None, typer.Option(help="Requests a second of one client, on each machine.")] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once of one client.")] = None,
    quota_by: Annotated[str | None, typer.Option(help="address, token or header:NAME.")] = None,
    priority_header: Annotated[str | None, typer.Option(help="Header that says high, normal or low.")] = None,
    clear: Annotated[list[str] | None, typer.Option(help=f"Part to take away: {', '.join(PARTS)}.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON file with the whole policy, as the API takes it.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    json: JsonOption = False,
) -> None:
    """Show an endpoint's policy, or change parts of it."""
    import msgspec

    from bailiwick.lifecycle.policies import set_policy, stated

    given: dict[str, Any] = {
        "override_header": override_header,
        "override_parameter": override_parameter,
        "shadows": None if shadow is None else [_shadow(each) for each in shadow],
        "fallbacks": _fallbacks(fallback, fallback_answer),
        "breaker": None if breaker is None else {"percent": breaker},
        "slow_ms": slow_ms,
        "queue": queue,
        "deadline_ms": deadline_ms,
        "quota": _quota(quota, burst, quota_by),
        "priority_header": priority_header,
    }
    changes = {part: value for part, value in given.items() if value is not None}
    with open_session() as (platform, actor):
        present = stated(platform.endpoints.endpoint(actor.workspace, name).policy)
        if not changes and not clear and file is None:
            _show(name, present, as_json=json)
            return
        whole = _read(file) if file is not None else msgspec.to_builtins(present)
        for part in clear or ():
            whole = {key: value for key, value in whole.items() if not key.startswith(_checked(part))}
        after = set_policy(platform, actor, name, _stated({**whole, **changes}), reason=reason)
    answer(f"The policy of endpoint {name} is set.", after, as_json=json)


def shadows(
    name: Annotated[str, typer.Argument(help="Name of the endpoint.")],
    json: JsonOption = False,
) -> None:
    """What shadows said beside what was answered for the same rows."""
    with open_session() as (platform, actor):
        platform.endpoints.endpoint(actor.workspace, name)
        found = platform.logs.of(actor.workspace).compared(name)
    if json:
        print_json(found)
        return
    rows = [
        (
            each.version,
            f"{each.rows:,}",
            f"{each.failed:,}",
            _number(each.mean_difference),
            _number(each.largest_difference),
            f"{each.outcomes:,}",
            _number(each.loss),
            _number(each.shadow_loss),
        )
        for each in found
    ]
    columns = ["shadow", "rows", "failed", "mean diff", "largest", "outcomes", "loss", "its loss"]
    print_table(f"Shadows of endpoint {name}", columns, rows, empty="No shadow has run here yet, or none was shipped.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _checked(part: str) -> str:
    if part not in PARTS:
        raise InvalidInput.choice("Part", part, PARTS)
    return part


def _stated(whole: dict[str, Any]) -> PolicyStated:
    import msgspec

    from bailiwick.lifecycle.policies import PolicyStated

    try:
        return msgspec.convert(whole, PolicyStated)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"That is no policy: {error}.") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        found = codec.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no JSON: {error}"
        raise InvalidInput(f"{file} cannot be read: {reason}.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} holds no JSON object.")
    return found


def _version(text: str) -> tuple[str, int]:
    model, colon, number = text.rpartition(":")
    if not (colon and model and number.isdecimal()):
        raise InvalidInput(f"{text!r} names no version; write MODEL:VERSION, such as flights:3.")
    return model, int(number)


def _shadow(text: str) -> dict[str, Any]:
    named, equals, percent = text.partition("=")
    model, number = _version(named)
    try:
        share = round(float(percent.rstrip("%")) * 100) if equals else WHOLE
    except (ValueError, OverflowError):
        raise InvalidInput(f"{percent!r} in {text!r} is no percentage.") from None
    if not 1 <= share <= WHOLE:
        raise InvalidInput(f"{percent} percent in {text!r} is not from 0.01 to 100.")
    return {"model": model, "version": number, "share": share}


def _fallbacks(versions: Sequence[str] | None, values: Sequence[str] | None) -> list[dict[str, Any]] | None:
    if versions is None and values is None:
        return None
    found: list[dict[str, Any]] = []
    for each in versions or ():
        if each == "previous":
            found.append({"previous": True})
        else:
            model, number = _version(each)
            found.append({"model": model, "version": number})
    if values:
        found.append({"answer": dict(_value(each) for each in values)})
    return found


def _value(text: str) -> tuple[str, Any]:
    output, equals, value = text.partition("=")
    if not equals or not output:
        raise InvalidInput(f"{text!r} gives no output a value; write OUTPUT=VALUE, such as probability=0.1.")
    try:
        return output, codec.loads(value)
    except ValueError:
        return output, value


def _quota(per_second: float | None, burst: int | None, by: str | None) -> dict[str, Any] | None:
    if per_second is None:
        if burst is not None or by is not None:
            raise InvalidInput("--burst and --quota-by are parts of a quota; give --quota too.")
        return None
    return {"per_second": per_second, "burst": burst or max(1, round(per_second)), "by": by or "address"}


def _show(name: str, present: PolicyStated, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json(present)
        return
    found = msgspec.to_builtins(present)
    rows = [(part, _told(value)) for part, value in found.items() if value]
    empty = "No policy: the split alone decides."
    print_table(f"Policy of endpoint {name}", ["part", "what"], rows, empty=empty, below="what")


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(_told(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(_told_part(key, each) for key, each in value.items() if each not in ("", 0, False, None))
    return str(value)


def _told_part(key: str, value: Any) -> str:
    if key == "share":
        return f"on copies of {100 * value / WHOLE:g} % of the units"
    return key if value is True else f"{key} {_told(value)}"
