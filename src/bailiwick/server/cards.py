"""Writing a model card in each of its forms; the page for HTML is the only one that takes templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bailiwick.governance.cards.cyclonedx import cyclonedx
from bailiwick.governance.cards.markdown import markdown
from bailiwick.governance.cards.model import ModelCard
from bailiwick.governance.cards.text import text
from bailiwick.server.ui.card_file import card_file

CardWriter = Callable[[ModelCard], str]


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


WRITERS: Mapping[str, CardWriter] = MappingProxyType(
    {
        "json": lambda card: _json(card.to_json()),
        "html": card_file,
        "markdown": markdown,
        "cyclonedx": lambda card: _json(cyclonedx(card)),
        "text": text,
    }
)
"""One for each of `governance.cards.forms.FORMS`."""
