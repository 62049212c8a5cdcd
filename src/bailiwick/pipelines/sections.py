"""The sections of the project file, each with its keys, defaults and limits; times in milliseconds, shares as fractions."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from bailiwick.core.errors import InvalidInput
from bailiwick.pipelines.cron import parse_cron
from bailiwick.pipelines.notation import Budget, BudgetText, DurationMs, Holdout, HoldoutText, OptionalDurationMs
from bailiwick.pipelines.transform_schema import transform_schema

Text = Annotated[str, Field(min_length=1, max_length=500)]
Words = Annotated[str, Field(max_length=10_000)]
StatisticName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$", max_length=200)]
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_\-]{0,62}$",
        description="1 to 63 of a-z 0-9 _ - beginning with a letter or digit",
        examples=["flights"],
    ),
]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """Refuses unknown keys and values of another type than declared (no text for numbers)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_by_name=False, validate_by_alias=True)


def _scalar(value: object) -> object:
    if isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError(f"{value!r} must be one value: a number, text, true or false.")


Scalar = Annotated[Any, PlainValidator(_scalar), WithJsonSchema({"type": ["number", "string", "boolean"]})]


class Label(Section):
    """What is predicted: the column, and the value in it that counts as positive."""

    column: Text
    positive: Scalar = 1


ColumnType = Literal["integer", "number", "text", "boolean", "date", "timestamp"]


class Reading(Section):
    """How the source is read, where its name does not say it."""

    format: Literal["", "csv", "jsonl", "parquet", "arrow", "delta"] = Field(
        default="", description="What the files are; told by their endings where left out"
    )
    query: Words = Field(default="", description="SQL that selects the rows, where the source is a database's URL")
    version: int | None = Field(default=None, ge=0, description="Version of a Delta table; the newest where left out")
    delimiter: str = Field(default="", max_length=1, description="What separates the cells of CSV")
    quote: str = Field(default='"', max_length=1, description="What encloses cells of CSV; empty for nothing")
    escape: str = Field(default="", max_length=1, description="What stands before a quote that is meant as such")
    decimal: str = Field(default=".", min_length=1, max_length=1, description="Decimal point of numbers in CSV")
    encoding: Text = Field(default="utf-8", description="Encoding of CSV and JSON lines, e.g. latin-1")
    skip: int = Field(default=0, ge=0, description="Rows of CSV before the header")
    names: list[Text] = Field(default=[], description="Columns of CSV without a header")
    types: dict[Text, ColumnType] = Field(default={}, description="Types of columns of CSV and JSON lines")


Severity = Literal["error", "warning"]
Columns = Annotated[tuple[Text, ...], Field(min_length=1)]


class _Checked(Section):
    """An `error` keeps a snapshot from training until somebody accepts it; a `warning` is told only."""

    severity: Severity = "error"


class VolumeCheck(_Checked):
    """How many rows a snapshot has."""

    least: int | None = Field(default=None, ge=0, description="At least so many rows")
    most: int | None = Field(default=None, ge=0, description="At most so many rows")
    of_previous: tuple[float, float] | None = Field(
        default=None, description="Least and most as shares of the snapshot before", examples=[[0.5, 2]]
    )


class FreshnessCheck(_Checked):
    """How old the newest value of a time column may be when the data is taken."""

    max_age_ms: DurationMs = Field(alias="max_age")
    column: str = Field(default="", description="`data.time` where left out")


class SourceAgeCheck(_Checked):
    """How long ago the newest file of the source may have been written."""

    max_age_ms: DurationMs = Field(alias="max_age")


class DuplicatesCheck(_Checked):
    """Rows that repeat an earlier one."""

    columns: tuple[Text, ...] = Field(default=(), description="Equal in these columns; in all where left out")
    allowed: float = Field(default=0.0, ge=0, lt=1, description="Share of the rows that may")


class UniqueCheck(_Checked):
    """Columns that together name a row."""

    columns: Columns


class ReferencesCheck(_Checked):
    """Columns whose values must be there in another source, or in a snapshot of another dataset."""

    columns: Columns
    source: Words = Field(min_length=1, examples=["carriers@latest", "data/carriers.csv"])
    of: tuple[Text, ...] = Field(default=(), description="The columns there; of the same names where left out")


class MonotonicCheck(_Checked):
    """A column that never falls from one row to the next."""

    column: Text
    within: tuple[Text, ...] = Field(default=(), description="Of rows that are equal in these columns")
    strictly: bool = Field(default=False, description="It must rise")


class ConditionCheck(_Checked):
    """SQL that is true, or null, of each row."""

    name: Text
    holds: Words = Field(min_length=1, description="Expression over the columns", examples=["arrival >= departure"])


class Checks(Section):
    """What every snapshot of the data must be, beyond its schema."""

    volume: VolumeCheck | None = None
    freshness: FreshnessCheck | None = None
    source_age: SourceAgeCheck | None = None
    duplicates: DuplicatesCheck | None = None
    unique: tuple[UniqueCheck, ...] = ()
    references: tuple[ReferencesCheck, ...] = ()
    monotonic: tuple[MonotonicCheck, ...] = ()
    sql: tuple[ConditionCheck, ...] = ()


class ChangeSeverity(Section):
    """What a change keeps from training (`error`), what is only told (`warning`), and what is not looked at (`off`)."""

    columns: Literal["error", "warning", "off"] = "error"
    volume: Literal["error", "warning", "off"] = "error"
    freshness: Literal["error", "warning", "off"] = "error"
    distribution: Literal["error", "warning", "off"] = "warning"


class Changes(Section):
    """When a new snapshot counts as a sudden change of its source."""

    false_alarms: Fraction = Field(
        default=0.01, description="Chance a snapshot that an unchanged source raises any alarm"
    )
    history: int = Field(default=14, ge=1, le=1000, description="Snapshots before that are looked at")
    margin: float = Field(default=0.05, ge=0, lt=1, description="Share of rows that may be elsewhere in a column")
    volume_margin: float = Field(default=0.1, ge=0, description="Share of rows that may be more or fewer")
    ignore: tuple[Text, ...] = Field(
        default=(), description="Columns whose distribution is no matter; `data.time` and `data.key` never are"
    )
    severity: ChangeSeverity = ChangeSeverity()


class Stakeholder(Section):
    """Who is told of alarms about the data: by one of mail, a chat's incoming webhook, or a webhook that there is."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    email: str = Field(default="", max_length=320, examples=["data@example.com"])
    slack: str = Field(
        default="", max_length=2000, description="URL of an incoming webhook of Slack, Mattermost or Google Chat"
    )
    webhook: str = Field(
        default="", max_length=63, description="Name of a webhook of the platform that is told of `alarm.raised`"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.email, self.slack, self.webhook))) != 1:
            raise ValueError(f"{self.name!r} must have exactly one of email, slack and webhook.")
        return self

    @property
    def label(self) -> str:
        """Name and address, without what a chat's URL keeps secret."""
        return f"{self.name} <{self.email}>" if self.email else f"{self.name} ({self.webhook or 'chat'})"


class Split(Section):
    """Which rows teach, choose parameters and judge. Recorded with the snapshot, and the same for the same snapshot.

    By time, `evaluate.holdout` says which rows judge: the newest. `group` keeps all rows of one value of its column together.
    """

    by: Literal["time", "random", "hash", "group"] = "time"
    column: str = Field(
        default="", description="Column whose values are kept together; by hash, `data.key` where left out"
    )
    holdout: Fraction | None = Field(default=None, description="Share of rows that judge, not by time; 0.2 if left out")
    valid: Fraction = Field(default=0.2, description="Share of the other rows that parameters are chosen on")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Another one divides otherwise; of no meaning by time")


class Data(Section):
    """Where the data is, and what its columns mean."""

    source: Words = Field(
        min_length=1,
        description="Path or glob relative to the project file, URL of an object store, or of a database; with `engine`, a table or a SELECT there",
    )
    engine: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        description="Engine on which the rows stay: they are described, checked and divided there, and features are fitted there",
        examples=["postgresql://me@db/warehouse", "duckdb:///flights.duckdb", "spark://master:7077"],
    )
    read: Reading = Field(default_factory=Reading, description="How the source is read")
    time: Text = Field(description="Column of the event time; splits and windows never look ahead of it")
    key: str = Field(default="", description="Column that names a row; predictions are assigned to variants by it")
    label: Label
    subject: str = Field(default="", description="Column that names the person or thing the data is about")
    schema_path: str = Field(default="", alias="schema", description="Reviewed schema file; inferred where left out")
    checks: Checks = Field(default=Checks(), description="What every snapshot must be, beyond its schema")
    statistics: dict[StatisticName, Words] = Field(
        default_factory=dict,
        max_length=100,
        description="Statistics of your own by name: aggregates in SQL, for `bailiwick data stats --project`",
    )
    stakeholders: tuple[Stakeholder, ...] = Field(
        default=(), max_length=50, description="Who is told of alarms about the data"
    )
    changes: Changes = Field(default=Changes(), description="When a snapshot counts as a sudden change of the source")
    split: Split | None = Field(default=None, description="How rows are divided for training; by time where left out")


def _transform(value: object) -> object:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and len(value) == 1:
        return value
    raise ValueError(
        f"{value!r} is not a transform: write a name, such as `number`, or a name with its option, such as "
        "{bucketize: 10}."
    )


Transform = Annotated[Any, PlainValidator(_transform), WithJsonSchema(transform_schema())]


class Tune(Section):
    """How parameters are searched. `space` maps each to `{int: [low, high]}`, `{float: [low, high], log: true}` or `{choice: [...]}`."""

    sampler: Literal["tpe", "random"] = "tpe"
    trials: int = Field(default=20, ge=1, le=10_000)
    pruner: Literal["hyperband", "median", "none"] = "median"
    metric: Text = "log_loss"
    space: dict[str, dict[str, Any]] = Field(
        default_factory=dict, examples=[{"leaves": {"int": [15, 63]}, "rate": {"float": [0.02, 0.2], "log": True}}]
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    timeout_ms: OptionalDurationMs = Field(default=None, alias="timeout", description="Start no trial after this long")


class Train(Section):
    """The function that fits a model, and the search for its parameters."""

    entrypoint: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="`module:function`, found beside the project file",
        examples=["flights:fit"],
    )
    tune: Tune = Tune()


class MadeModel(Section):
    """A model beside the project's own, made of rules or of other versions; registered whenever the file is applied."""

    rules: str | None = Field(default=None, min_length=1, description="File of a JSON Decision Model, beside this file")
    compose: str | None = Field(default=None, min_length=1, description="File of a composition, beside this file")
    inputs: dict[str, Text] = Field(default_factory=dict, description="Datatype by input, where rules do not show it")
    outputs: dict[str, Text] = Field(default_factory=dict, description="Datatype by output, where rules do not show it")
    defaults: dict[str, Scalar] = Field(default_factory=dict, description="Value by output, where no rule gives one")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if (self.rules is None) == (self.compose is None):
            raise ValueError("a model is made of `rules` or by `compose`, one of the two")
        if self.compose is not None and (self.inputs or self.outputs or self.defaults):
            raise ValueError("`inputs`, `outputs` and `defaults` are for rules")
        return self


class Evaluate(Section):
    """What a model is measured by before anyone may use it."""

    metrics: tuple[Text, ...] = Field(default=("roc_auc", "log_loss"), min_length=1)
    slices: tuple[Text, ...] = Field(default=(), description="Columns whose every value is also measured alone")
    gates: tuple[Text, ...] = Field(default=(), description="Conditions that must hold", examples=[["roc_auc >= 0.65"]])
    holdout: HoldoutText = Field(default=Holdout(0.2), description="Rows kept from training for the measurement")


class Drift(Section):
    """How often drift may be alarmed for nothing, and the smallest drift that matters."""

    false_alarms: BudgetText = Budget(1, 90 * 86_400_000)
    margin: float = Field(default=0.05, ge=0, lt=1)


class Performance(Section):
    """The true outcomes' verdict, which comes `outcome_delay` after the prediction."""

    metric: Text = "log_loss"
    outcome_delay_ms: DurationMs = Field(default=86_400_000, alias="outcome_delay")
    margin: float = Field(default=0.05, ge=0, description="How much worse than at training still counts as well")


class Monitor(Section):
    """Windows of event time over which predictions are compared with training."""

    window_ms: DurationMs = Field(default=86_400_000, alias="window")
    drift: Drift = Drift()
    performance: Performance = Performance()


def _cause(value: object) -> object:
    if isinstance(value, str) and value.startswith("cron "):
        try:
            parse_cron(value.removeprefix("cron "))
        except InvalidInput as error:
            raise ValueError(str(error)) from None
    elif value != "alarm":
        raise ValueError(f"{value!r} does not start a training run; write `alarm`, or `cron` with five fields (UTC).")
    return value


Cause = Annotated[
    str,
    PlainValidator(_cause),
    WithJsonSchema({"type": "string", "pattern": "^(alarm|cron .+)$", "examples": ["alarm", "cron 0 3 * * 1"]}),
]


class Retrain(Section):
    """What starts a training run by itself, and on which data."""

    on: tuple[Cause, ...] = Field(min_length=1)
    window_ms: OptionalDurationMs = Field(
        default=None, alias="window", description="Train on this much newest data; all if left out"
    )
    cooldown_ms: DurationMs = Field(
        default=86_400_000, alias="cooldown", description="Least time between two such runs"
    )
    tune: bool = Field(
        default=False, description="Search parameters anew; otherwise those of the version in production are used again"
    )

    @property
    def crons(self) -> tuple[str, ...]:
        """The five-field expressions among the causes."""
        return tuple(cause.removeprefix("cron ") for cause in self.on if cause.startswith("cron "))


class Approval(Section):
    """Who must agree before an alias or stage may point to a version."""

    approvers: int = Field(default=1, ge=0, le=20)
    not_author: bool = True
    evidence: tuple[Text, ...] = ()
    who: tuple[Text, ...] = Field(
        default=(), description="Whose approval counts; everyone's who may approve by default"
    )
    expires_ms: OptionalDurationMs = Field(
        default=None, alias="expires", description="How long a request may wait, and then how long an approval holds"
    )


class Retention(Section):
    """How long data that came by itself is kept; for ever where left out."""

    predictions_ms: OptionalDurationMs = Field(default=None, alias="predictions")


class Card(Section):
    """What people state of the model and nothing can measure; a run states it whenever the words here have changed."""

    intended_use: Words = Field(default="", description="What it is for")
    users: Words = Field(default="", description="Who it is for")
    out_of_scope: Words = Field(default="", description="What it must not be used for")
    limitations: Words = Field(default="", description="Where it is known to be weak")
    tradeoffs: Words = Field(default="", description="What was given up for what")
    ethical_considerations: Words = Field(default="", description="Who could be harmed, and what is done about it")
    personal_data: Words = Field(default="", description="Whose personal data it is made of, and on what grounds")
    data: Words = Field(default="", description="Where the data comes from, and how it was collected")
    oversight: Words = Field(default="", description="Who watches its decisions, and who can overrule them")
    contact: Words = Field(default="", description="Who answers for it")
    licence: Words = Field(default="", description="On what terms it may be used")

    @property
    def words(self) -> dict[str, str]:
        """What is said here, by field."""
        return {name: str(text) for name, text in self if str(text).strip()}


class Govern(Section):
    """Rules of approval by target (an alias such as `production`), words for the model card, and of keeping data."""

    card: Card = Card()
    approvals: dict[str, Approval] = Field(default_factory=dict)
    retention: Retention = Retention()
