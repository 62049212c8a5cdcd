"""A model card as one file of HTML: no script, nothing fetched, every text escaped; it looks like the page it came from."""

from __future__ import annotations

from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.model import ModelCard
from bailiwick.server.ui.charts import stylesheet
from bailiwick.server.ui.shell import STATIC, TEMPLATES


def card_file(card: ModelCard) -> str:
    """The whole file."""
    styles = (STATIC / "style.css").read_text(encoding="utf-8") + stylesheet()
    return TEMPLATES.get_template("card_file.html").render(card=card, fields=FIELDS, styles=styles).strip() + "\n"
