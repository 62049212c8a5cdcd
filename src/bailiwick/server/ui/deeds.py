"""A journal entry as part of a sentence: the verb, the kind of thing, and the thing."""

from __future__ import annotations

from bailiwick.server.ui.words import short
from bailiwick.store.journal.model import Entry

_ID_LENGTH = 32
_VERBS = {
    "stated card of": "added to the card of",
    "withdrawn card of": "took back a statement of the card of",
    "traffic_set": "split the traffic of",
    "reference_set": "set the reference of",
    "tag_deleted": "removed a tag of",
}
_NOUNS = {"pipeline_step": "step", "pipeline_run": "pipeline run", "run": "training run", "version": "model version"}


def deed(entry: Entry) -> tuple[str, str, str]:
    """(verb, noun, name): `("deployed", "endpoint", "late")`."""
    noun, _, verb = entry.action.partition(".")
    kind, _, name = entry.resource.partition("/")
    if noun not in {kind, "pipeline_step"}:
        verb, noun = f"{verb} {noun} of".replace("_", " "), kind
    return _VERBS.get(verb, verb.replace("_", " ")), _NOUNS.get(noun, noun.replace("_", " ")), _name(kind, name)


def _name(kind: str, name: str) -> str:
    head, _, tail = name.rpartition("/")
    if kind == "version" and tail.isdigit():
        return f"{head} v{tail}"
    if kind == "alias" and head:
        return f"{tail} of {head}"
    if kind == "pipeline_run" and head:
        return f"{tail} of run {short(head)}"
    return short(name) if len(name) == _ID_LENGTH else name
