"""A model card as a value. It never guesses: what is not known is listed as a gap.

A fact is `measured` (by a run, a step or a verb of the platform) or `stated` (by a person), and says so. A card is bound
to its version by `version_digest` and to its own content by `digest`: equal content has an equal digest on every machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from bailiwick.core.canonical import digest_of
from bailiwick.governance.cards.fields import FIELDS

FORMAT = 1
Scalar: TypeAlias = "str | int | float | bool | None"


class Provenance(StrEnum):
    """How a fact came to be."""

    MEASURED = "measured"
    STATED = "stated"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact comes from.

    `record` is `kind/name` as in the journal; `by` the name people read and `identity` the id that is journalled, "" where
    not known; `entry` the journal entry that tells of it, "" where there is none.
    """

    provenance: str
    record: str
    by: str = ""
    identity: str = ""
    time: int | None = None
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a card; None is a value that is undefined."""

    name: str
    value: Scalar
    source: Source


@dataclass(frozen=True, slots=True)
class Section:
    """Facts about one matter."""

    key: str
    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said in answer to a field. `scope` is `version`, or `model` where it was said of all its versions."""

    field: str
    text: str
    scope: str
    source: Source
    origin: str = ""

    @property
    def title(self) -> str:
        """The field's title."""
        return FIELDS[self.field].title


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of all rows, or with `column` and `slice` of some.

    `low` and `high` bound it at 95 % by `method`; both are None where the uncertainty is not known.
    """

    name: str
    value: float | None
    source: Source
    column: str = ""
    slice: str = ""
    rows: int | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A snapshot that the version was made of. `time_from` and `time_to` are event times, both included."""

    snapshot: str
    name: str
    role: str
    source: Source
    digest: str = ""
    rows: int | None = None
    columns: int | None = None
    time_from: int | None = None
    time_to: int | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; `direction` is `input` or `output`."""

    name: str
    direction: str
    datatype: str
    shape: str
    source: Source


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that the version was made with; `licence` is an SPDX expression or a name, "" where not known."""

    name: str
    version: str
    licence: str
    source: Source


@dataclass(frozen=True, slots=True)
class Gap:
    """Something a reader would look for and that nobody knows."""

    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything that is known of one version. Made by `sealed`, so that `digest` is that of the rest.

    `missing` are required fields that nobody has answered, `unanswered` all of them; `as_of` is the newest time of any
    fact. Nothing in a card depends on when or where it is written down.
    """

    workspace: str
    model: str
    number: int
    version_digest: str
    as_of: int
    answers: tuple[Answer, ...] = ()
    missing: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    packages: tuple[Package, ...] = ()
    sections: tuple[Section, ...] = ()
    gaps: tuple[Gap, ...] = ()
    format: int = FORMAT
    digest: str = ""

    @property
    def title(self) -> str:
        """Model and version in words."""
        return f"{self.model}, version {self.number}"

    @property
    def complete(self) -> bool:
        """Whether every required field is answered."""
        return not self.missing

    @property
    def overall(self) -> tuple[Metric, ...]:
        """Metrics of all rows."""
        return tuple(each for each in self.metrics if not each.column)

    def sliced(self) -> dict[str, dict[str, list[Metric]]]:
        """Metrics of slices: by column, then by slice."""
        found: dict[str, dict[str, list[Metric]]] = {}
        for each in self.metrics:
            if each.column:
                found.setdefault(each.column, {}).setdefault(each.slice, []).append(each)
        return found

    def answer(self, field: str) -> Answer | None:
        """What was said in answer to a field."""
        return next((each for each in self.answers if each.field == field), None)

    def section(self, key: str) -> Section | None:
        """The section of that key, where there is one."""
        return next((each for each in self.sections if each.key == key), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; read back, it has the same digest."""
        return asdict(self)


def sealed(card: ModelCard) -> ModelCard:
    """The card with the digest of its content and the time of its newest fact. Raises InvalidInput for what is not JSON."""
    facts = [fact for section in card.sections for fact in section.facts]
    sourced: list[Answer | Metric | Dataset | Tensor | Package | Fact] = [*card.answers, *card.metrics, *card.datasets]
    sourced += [*card.tensors, *card.packages, *facts]
    newest = max((each.source.time or 0 for each in sourced), default=0)
    dated = replace(card, as_of=max(card.as_of, newest), digest="")
    return replace(dated, digest=content_digest(dated.to_json()))


def content_digest(document: dict[str, Any]) -> str:
    """The digest that the JSON of a card should name: that of everything but the digest."""
    return digest_of({key: value for key, value in document.items() if key != "digest"})


def evidence(card: ModelCard) -> dict[str, Any]:
    """What a request for approval says of a card: complete or not, and if not, the fields that nobody has answered."""
    if card.complete:
        return {"card": True}
    return {"card": False, "card_missing": list(card.missing)}
