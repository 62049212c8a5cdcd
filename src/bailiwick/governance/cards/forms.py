"""The forms a card is written in: name, media type, file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bailiwick.core.errors import InvalidInput
from bailiwick.governance.cards.model import ModelCard

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class CardForm:
    """One form; whoever writes it gives the same text for the same card, always."""

    name: str
    media_type: str
    suffix: str
    label: str

    def file_name(self, card: ModelCard) -> str:
        """A file name that every system takes."""
        return f"{_UNSAFE.sub('-', card.model)[:100].strip('-.') or 'model'}-v{card.number}-card{self.suffix}"


_ALL = (
    CardForm("json", "application/json", ".json", "JSON"),
    CardForm("html", "text/html; charset=utf-8", ".html", "HTML"),
    CardForm("markdown", "text/markdown; charset=utf-8", ".md", "Markdown"),
    CardForm("cyclonedx", "application/vnd.cyclonedx+json; version=1.6", ".cdx.json", "CycloneDX"),
    CardForm("text", "text/plain; charset=utf-8", ".txt", "Text"),
)
FORMS: Mapping[str, CardForm] = MappingProxyType({form.name: form for form in _ALL})


def card_form(name: str) -> CardForm:
    """Raises InvalidInput naming the forms there are."""
    if name not in FORMS:
        raise InvalidInput.choice("Format of a model card", name, FORMS)
    return FORMS[name]


def accepted_form(accept: str) -> CardForm:
    """The form that an `Accept` header likes best; JSON where it has no preference that can be met."""
    wanted = []
    for position, part in enumerate(accept.split(",")):
        kind, *options = (each.strip().lower() for each in part.split(";"))
        quality = next((_quality(each[2:]) for each in options if each.startswith("q=")), 1.0)
        wanted.append((-quality, position, kind))
    by_type = {form.media_type.partition(";")[0]: form for form in FORMS.values()}
    liked = [kind for quality, _, kind in sorted(wanted) if quality < 0]
    return next((by_type[kind] for kind in liked if kind in by_type), FORMS["json"])


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
