"""`bailiwick audit`: read, verify, prove and export the journal."""

from __future__ import annotations

import json as codec
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.files import write_text
from bailiwick.cli.former_names import FormerNames
from bailiwick.cli.ids import full_id
from bailiwick.cli.output import (
    JsonOption,
    answer,
    busy,
    print_fields,
    print_json,
    print_table,
    say,
    short,
    shortened,
    when,
)
from bailiwick.cli.session import open_session
from bailiwick.core.actor import Permission
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.store.journal.model import Entry

app = typer.Typer(help="The journal of every change: read, verify, prove.", no_args_is_help=True)

PAGE = 1000


@app.command()
def verify(json: JsonOption = False) -> None:
    """Recompute the whole journal. Exit 1, naming the first entry that was changed, when it is not as it was written."""
    from bailiwick.store.journal.signer import Signer
    from bailiwick.store.journal.verification import verify as verify_journal

    with open_session(needs=Permission.JOURNAL_READ) as (platform, _), busy("Recomputing the journal"):
        found = verify_journal(platform.database, platform.journal_folder, Signer.in_folder(platform.keys_folder).vkey)
    if json:
        print_json(found)
    else:
        print_fields(
            "The journal is as it was written." if found.ok else "The journal was CHANGED.",
            {
                "first changed": found.first_changed,
                "entries in the tree": found.size,
                "root": found.root,
                "not yet in the tree": found.pending,
            },
        )
        for finding in found.findings:
            say(f"  - {finding}")
    if not found.ok:
        sys.exit(1)


@app.command(cls=FormerNames)
def prove(
    entry: Annotated[str, typer.Argument(help="Id of the entry, or the end of it.")],
    out: Annotated[Path | None, typer.Option(help="File to write to; otherwise standard output.")] = None,
    json: JsonOption = False,
) -> None:
    """Write a proof of one entry, as JSON. It convinces whoever has only the checkpoint's public key."""
    from bailiwick.store.journal.verification import prove as prove_entry

    with open_session(needs=Permission.JOURNAL_READ) as (platform, actor):
        found = full_id("entry", entry, (each.id for each in _everything(platform, actor.workspace)))
        bundle = prove_entry(platform.database, platform.journal_folder, found, workspace=actor.workspace)
    text = codec.dumps(bundle, indent=2)
    if out is None:
        say(text)
    else:
        write_text(out, text + "\n")
        told = f"Wrote {out}. Whoever has the key checks it: bailiwick audit check {out} --key KEY"
        answer(told, {"entry": found, "file": str(out)}, as_json=json)


@app.command()
def key(json: JsonOption = False) -> None:
    """Print the public key that checkpoints are signed with. Give it to whoever is to check proofs."""
    from bailiwick.store.journal.signer import Signer

    with open_session() as (platform, _):
        vkey = Signer.in_folder(platform.keys_folder).vkey
    answer(vkey, {"key": vkey}, as_json=json)


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(help="A file that `audit prove` wrote.")],
    key: Annotated[str, typer.Option(help="The public key, as `audit key` prints it.")],
    json: JsonOption = False,
) -> None:
    """Check a proof. Needs neither a home nor a server; exit 1 when the proof does not hold."""
    from bailiwick.store.journal.proofs import check_proof

    try:
        bundle = codec.loads(proof.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{proof} is not a proof: {error}.") from error
    if not isinstance(bundle, dict):
        raise InvalidInput(f"{proof} is not a proof: it holds no JSON object.")
    entry = check_proof(bundle, key)
    if json:
        print_json(_shown(entry))
    else:
        print_fields(
            "The proof holds.",
            {
                "entry": entry.id,
                "time (UTC)": when(entry.time, seconds=True),
                "actor": entry.actor,
                "action": entry.action,
                "resource": entry.resource,
            },
        )


@app.command(cls=FormerNames)
def export(
    out: Annotated[Path | None, typer.Option(help="File to write to; otherwise standard output.")] = None,
    json: JsonOption = False,
) -> None:
    """Write every entry of the workspace, oldest first. One JSON object a line, or with --json one list."""
    with open_session(needs=Permission.JOURNAL_READ) as (platform, actor):
        found = [_shown(entry) for entry in _everything(platform, actor.workspace)]
    found.reverse()
    lines = (codec.dumps(each, ensure_ascii=False) for each in found)
    if out is not None:
        write_text(out, "".join(f"{line}\n" for line in lines))
        answer(f"Wrote {len(found):,} entries to {out}.", {"entries": len(found), "file": str(out)}, as_json=json)
    elif json:
        print_json(found)
    else:
        for line in lines:
            say(line)


@app.command("list")
def list_entries(
    resource: Annotated[str | None, typer.Option(help="Only this resource, e.g. model/flights.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, e.g. alias.set.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="Most entries to show.")] = 30,
    json: JsonOption = False,
) -> None:
    """The newest entries: who did what, when."""
    with open_session(needs=Permission.JOURNAL_READ) as (platform, actor):
        entries = platform.journal.entries(actor.workspace, limit=limit, resource=resource, action=action)
    if json:
        print_json([_shown(entry) for entry in entries])
        return
    rows = [
        (short(entry.id), when(entry.time, seconds=True), entry.actor, entry.action, shortened(entry.resource))
        for entry in entries
    ]
    print_table("Journal", ["entry", "time (UTC)", "actor", "action", "resource"], rows, empty="No entry fits.")


def _everything(platform: Platform, workspace: str) -> Iterator[Entry]:
    """All entries of the workspace, newest first, in pages."""
    before: int | None = None
    while page := platform.journal.entries(workspace, limit=PAGE, before=before):
        yield from page
        before = page[-1].number


def _shown(entry: Entry) -> dict[str, object]:
    """An entry as JSON. The salt stays: with it, an erased entry's content could be guessed from the leaf."""
    return {name: value for name, value in asdict(entry).items() if name != "salt"}
