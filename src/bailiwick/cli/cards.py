"""`bailiwick models card`, `state`, `statements`: what is known of a version, and what people say of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.files import is_output, write_text
from bailiwick.cli.output import JsonOption, answer, print_json, print_table, say, when
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.governance.cards.comparison import Comparison
    from bailiwick.governance.cards.model import ModelCard
    from bailiwick.governance.statements import Statement

SHOWN_DIFFERENCES = 40

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
VersionArgument = Annotated[int, typer.Argument(help="Number of the version.")]
FieldArgument = Annotated[str, typer.Argument(help="What it is about, e.g. intended_use or limitations.")]
OfVersion = Annotated[
    int | None, typer.Option("--version", help="Number of one version; the whole model when left out.")
]


def card(
    model: ModelArgument,
    version: VersionArgument,
    form: Annotated[str, typer.Option("--format", help="text, html, markdown, cyclonedx or json.")] = "text",
    out: Annotated[Path | None, typer.Option("--out", help="File to write; standard output when left out.")] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="A saved card: does it still say what is known? Exit 1 if not.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """The model card: what was measured and by what, what was said and by whom, what nobody knows."""
    from bailiwick.governance.cards.forms import card_form
    from bailiwick.lifecycle.evidence import model_card
    from bailiwick.server.cards import WRITERS

    chosen = card_form("json" if json and form == "text" else form)
    with open_session() as (platform, actor):
        found = model_card(platform, actor.workspace, model, version)
    if verify is not None:
        _verify(found, verify, as_json=json)
    elif out is None or is_output(out):
        say(WRITERS[chosen.name](found).rstrip("\n"))
    else:
        write_text(out, WRITERS[chosen.name](found))
        say(f"{out} holds the card of {found.title} as {chosen.label}; its digest is {found.digest}.")


def state(
    model: ModelArgument,
    field: FieldArgument,
    text: Annotated[str | None, typer.Argument(help="The words; `-` reads them from standard input.")] = None,
    version: OfVersion = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back what was said instead.")] = False,
    json: JsonOption = False,
) -> None:
    """State for the model card what nothing can measure."""
    if withdraw == (text is not None):
        raise InvalidInput("Give the words to state, or --withdraw, and not both.")
    with open_session() as (platform, actor):
        if withdraw:
            said = platform.statements.withdraw(actor, model, version, field)
        else:
            words = sys.stdin.read() if text == "-" else str(text)
            said = platform.statements.state(actor, model, version, field, words)
    answer(f"{field} of {_subject(said)} is {'stated' if said.text else 'withdrawn'}.", said, as_json=json)


def statements(
    model: ModelArgument,
    version: OfVersion = None,
    history: Annotated[bool, typer.Option("--history", help="Everything that was said, newest first.")] = False,
    json: JsonOption = False,
) -> None:
    """What people state of a model or a version, and what is still missing."""
    from bailiwick.governance.cards.fields import FIELDS, REQUIRED

    with open_session() as (platform, actor):
        if version is None:
            platform.registry.model(actor.workspace, model)
        else:
            platform.registry.version(actor.workspace, model, version)
        counting = platform.statements.statements(actor.workspace, model, version)
        past = platform.statements.history(actor.workspace, model, number=version) if history else []
    found = past if history else list(counting.values())
    if json:
        print_json(found)
        return
    rows = [(each.field, _subject(each), each.actor, when(each.time), _excerpt(each)) for each in found]
    columns = ["field", "of", "by", "when (UTC)", "words"]
    hint = f"Nobody has stated anything: `bailiwick models state {model} intended_use TEXT`."
    print_table(f"Statements about {model}", columns, rows, empty=hint)
    missing = [FIELDS[key].key for key in REQUIRED if key not in counting]
    if missing:
        say(f"Required and not stated: {', '.join(missing)}.")


def _verify(found: ModelCard, path: Path, *, as_json: bool) -> None:
    from bailiwick.governance.cards.comparison import compare, form_of
    from bailiwick.server.cards import WRITERS

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    form = form_of(data)
    result = compare(found, data, form=form, written=WRITERS[form](found))
    if as_json:
        print_json(result)
    else:
        _tell(result, path, found)
    if not result.same:
        sys.exit(1)


def _tell(result: Comparison, path: Path, found: ModelCard) -> None:
    if result.same:
        say(f"✓ {path} says what is known of {found.title}, word for word.")
        return
    if result.edited:
        say(
            f"✗ {path} was changed after it was written: its content is not that of its digest {result.saved_digest[:12]}."
        )
    say(f"✗ {path} does not say what is known of {found.title} now; {len(result.differences)} differences:")
    for each in result.differences[:SHOWN_DIFFERENCES]:
        say(f"  {each.path}\n    saved  {_side(each.saved)}\n    now    {_side(each.now)}")
    if len(result.differences) > SHOWN_DIFFERENCES:
        say(f"  and {len(result.differences) - SHOWN_DIFFERENCES} more; --json lists all.")


def _side(text: str | None) -> str:
    from bailiwick.governance.cards.wording import line

    return "—" if text is None else line(text)[:300]


def _subject(said: Statement) -> str:
    return said.model if said.number is None else f"{said.model} version {said.number}"


def _excerpt(said: Statement) -> str:
    if not said.text:
        return "(withdrawn)"
    flat = " ".join(said.text.split())
    return flat if len(flat) <= 60 else f"{flat[:59]}…"
