"""What data looks like, as one file of HTML that needs nothing else: its style and its script are in it, and nothing is fetched."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from bailiwick.data.distributions.listing import SORTS, count_moved
from bailiwick.data.distributions.model import Slice
from bailiwick.server.ui.charts import stylesheet
from bailiwick.server.ui.column_parts import NARROWING_WORDS, SORT_WORDS, ranked_cards
from bailiwick.server.ui.shell import STATIC, TEMPLATES


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at: `names` of the datasets, the baseline first, and where they are (`sources`); `judged` how drift
    was told, in a sentence.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    slices: Sequence[Slice]
    judged: str = ""
    schema: str = ""


def data_report(looked: Looked) -> str:
    """The whole file. Every name and value is escaped, and nothing but the file's own script may run."""
    styles = (STATIC / "style.css").read_text(encoding="utf-8") + stylesheet()
    script = (STATIC / "report.js").read_text(encoding="utf-8")
    first = "drift" if len(looked.names) > 1 else "source"
    parts = [
        {
            "slice": each,
            "cards": ranked_cards(each.columns, first=first),
            "names": looked.names[-len(each.rows) :],
            "moved": _moved(each),
        }
        for each in looked.slices
    ]
    template = TEMPLATES.get_template("data_report.html")
    return template.render(
        looked=looked,
        parts=parts,
        sorts={sort: SORT_WORDS[sort] for sort in _offered(looked)},
        places={sort: place for place, sort in enumerate(SORTS)},
        narrowings=NARROWING_WORDS,
        first=first,
        styles=styles,
        script=script,
        policy=f"default-src 'none'; style-src '{_digest(styles)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'",
    )


def _offered(looked: Looked) -> list[str]:
    """Sorts that tell something apart: without a baseline nothing has moved."""
    compared = len(looked.names) > 1
    return [sort for sort in SORT_WORDS if (sort != "drift" or compared) and (sort != "anomalies" or looked.schema)]


def _moved(part: Slice) -> int:
    return count_moved(part.columns) if len(part.rows) > 1 else 0


def _digest(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
