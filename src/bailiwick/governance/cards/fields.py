"""What people are asked to state about a model, because nothing can measure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bailiwick.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class CardField:
    """One question. A `required` one that nobody has answered makes the card incomplete."""

    key: str
    title: str
    question: str
    required: bool = False


_ALL = (
    CardField("intended_use", "Intended use", "What is it for?", required=True),
    CardField("users", "Intended users", "Who is it for?"),
    CardField("out_of_scope", "Out of scope", "What must it not be used for?", required=True),
    CardField("limitations", "Limitations", "Where is it known to be weak?", required=True),
    CardField("tradeoffs", "Trade-offs", "What was given up for what?"),
    CardField(
        "ethical_considerations", "Ethical considerations", "Who could be harmed, and what is done about it?", True
    ),
    CardField(
        "personal_data", "Personal data", "Whose personal data is it made of, and on what grounds?", required=True
    ),
    CardField("data", "Data", "Where does the data come from, and how was it collected?"),
    CardField("oversight", "Human oversight", "Who watches its decisions, and who can overrule them?"),
    CardField("contact", "Contact", "Who answers for it?", required=True),
    CardField("licence", "Licence", "On what terms may it be used?"),
)
FIELDS: Mapping[str, CardField] = MappingProxyType({field.key: field for field in _ALL})
REQUIRED = tuple(field.key for field in _ALL if field.required)


def card_field(key: str) -> CardField:
    """Raises InvalidInput naming the fields there are."""
    if key not in FIELDS:
        raise InvalidInput.choice("Field of a model card", key, FIELDS)
    return FIELDS[key]
