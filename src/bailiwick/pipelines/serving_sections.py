"""The project file's section `deploy`: the endpoint, how a version takes it over, and what else holds for its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.policy import MOST_FALLBACKS, MOST_SHADOWS, check_header, check_teller
from bailiwick.endpoints.recording import Recording, checked
from bailiwick.endpoints.reporting import LATENCY_BOUNDS_US
from bailiwick.pipelines.notation import DurationMs, OptionalDurationMs, duration_text
from bailiwick.pipelines.sections import Fraction, Name, Scalar, Section, Text


def _valid(check: Callable[[str], None]) -> AfterValidator:
    """As pydantic wants it: what the domain says against a text becomes a ValueError."""

    def validate(text: str) -> str:
        try:
            if text:
                check(text)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return text

    return AfterValidator(validate)


def _whole_seconds(milliseconds: int) -> int:
    if milliseconds % 1000:
        raise ValueError(f"{duration_text(milliseconds)!r} must be whole seconds.")
    return milliseconds


def _counted(milliseconds: int) -> int:
    if milliseconds * 1000 not in LATENCY_BOUNDS_US:
        known = ", ".join(duration_text(bound // 1000) for bound in LATENCY_BOUNDS_US if bound >= 1000)
        raise ValueError(
            f"{duration_text(milliseconds)!r} is not where a class of counted latencies ends; choose one of: {known}."
        )
    return milliseconds


Header = Annotated[str, Field(max_length=100), _valid(check_header)]
Seconds = Annotated[DurationMs, AfterValidator(_whole_seconds)]
CountedLatency = Annotated[DurationMs, AfterValidator(_counted)]


class Canary(Section):
    """A new version gets growing shares of traffic for as long as the evidence allows."""

    ramp: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        default=(1, 5, 25, 50, 100), min_length=1, description="Shares of traffic in percent, rising, the last is 100"
    )
    rollback_alpha: Fraction = Field(default=0.01, description="Chance of rolling back a version that is no worse")
    promote_beta: Fraction = Field(
        default=0.05, description="Chance of promoting a version that is worse by the margin"
    )
    margin: float = Field(
        default=1.25, gt=1, description="Ratio of error rates from which on a version counts as worse"
    )
    min_units: int = Field(default=500, ge=1, description="Units with an outcome before a share may grow")


class Strategy(Section):
    """How a new version takes over from the one that serves; without `canary`, all at once."""

    canary: Canary | None = None


class Override(Section):
    """How a caller may ask for a variant by name."""

    header: Header = Field(default="", description="Header of the request", examples=["x-bailiwick-variant"])
    parameter: str = Field(default="", max_length=100, description="Parameter of the request")


class DeclaredShadow(Section):
    """A version that runs on copies of a share of the units, and answers nobody."""

    model: Text
    version: int = Field(ge=1)
    share: float = Field(default=1.0, gt=0, le=1)


class DeclaredFallback(Section):
    """What answers when the variant cannot: one of the previous version, a version of a model, and fixed values."""

    previous: bool = Field(default=False, description="What had all the traffic before")
    model: str = Field(default="", max_length=500)
    version: int | None = Field(default=None, ge=1)
    answer: dict[Text, Scalar] | None = Field(default=None, min_length=1, description="A value for each output")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.model) != (self.version is not None):
            raise ValueError("needs `model` and `version` together.")
        if sum((self.previous, bool(self.model), self.answer is not None)) != 1:
            raise ValueError(
                "must be exactly one of {previous: true}, {model: NAME, version: NUMBER} and {answer: {OUTPUT: VALUE}}."
            )
        return self


class Breaker(Section):
    """When a variant is left alone: `percent` of at least `least` calls within `window` failed or were too slow."""

    percent: int = Field(default=50, ge=0, le=100, description="0 for no breaker")
    least: int = Field(default=20, ge=1, le=1_000_000)
    window_ms: Seconds = Field(default=10_000, alias="window")
    open_ms: Seconds = Field(default=5_000, alias="open", description="How long it is left alone")
    probes: int = Field(default=3, ge=1, le=1_000_000, description="Calls that it is then tried with")


class DeclaredQuota(Section):
    """What one client may send to each worker."""

    per_second: float = Field(gt=0, le=1e9)
    burst: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="At once; one second's worth if left out"
    )
    by: Annotated[str, Field(max_length=120), _valid(check_teller)] = Field(
        default="address", description="How clients are told apart", examples=["address", "token", "header:x-client"]
    )


class ServingPolicy(Section):
    """What else than the split decides about a request. Stated here, it is the endpoint's whole policy."""

    override: Override = Override()
    shadows: tuple[DeclaredShadow, ...] = Field(default=(), max_length=MOST_SHADOWS)
    fallbacks: tuple[DeclaredFallback, ...] = Field(
        default=(), max_length=MOST_FALLBACKS, description="In the order in which they are tried"
    )
    breaker: Breaker | None = Field(default=None, description="The usual one where there are fallbacks")
    slow_ms: OptionalDurationMs = Field(default=None, alias="slow", description="How long a variant may take")
    queue: int = Field(default=0, ge=0, le=1_000_000, description="Most requests that wait in a worker; 0 as usual")
    deadline_ms: OptionalDurationMs = Field(
        default=None, alias="deadline", description="Longest wait of requests that state none"
    )
    quota: DeclaredQuota | None = None
    priority_header: Header = Field(default="", description="Header that says high, normal or low")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = [(each.model, each.version) for each in self.shadows]
        twice = next((each for each in named if named.count(each) > 1), None)
        if twice:
            raise ValueError(f"has {twice[0]} version {twice[1]} as a shadow twice. Keep one.")
        return self


class DeclaredRecording(Section):
    """What of the endpoint's predictions is kept. Stated here, it is the whole of it."""

    share: float = Field(default=1.0, ge=0, le=1, description="Share of the requests that are kept with their inputs")
    only: tuple[Text, ...] = Field(default=(), description="Inputs that are kept, and no others")
    omit: tuple[Text, ...] = Field(default=(), description="Inputs that are never written anywhere")
    hash: tuple[Text, ...] = Field(default=(), description="Inputs of which a keyed hash is kept")
    personal: Literal["hash", "omit", "keep"] = Field(
        default="hash", description="What happens to inputs that the schema marks as personal"
    )
    refused: bool = Field(default=False, description="Keep refused requests too")
    when_full: Literal["refuse", "drop"] = Field(
        default="refuse", description="What a full spool does: 503, or answer and count what is not recorded"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            self.recording()
        except InvalidInput as error:
            raise ValueError(error.message) from None
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """Every input that is spoken of."""
        return (*self.only, *self.omit, *self.hash)

    def recording(self) -> Recording:
        """As endpoints know it. Raises InvalidInput."""
        return checked(
            Recording(
                share=round(self.share * 10_000),
                columns=self.only,
                omitted=self.omit,
                hashed=self.hash,
                personal_rule=self.personal,
                refused=self.refused,
                when_full=self.when_full,
            )
        )


class DeclaredPromises(Section):
    """What is promised of the endpoint; an alarm is raised when it is broken faster than allowed."""

    availability: float = Field(default=0.999, ge=0.5, lt=1, description="Share of the requests that do not fail")
    latency_ms: CountedLatency | None = Field(
        default=None, alias="latency", description="Longest that an answer takes", examples=["20ms"]
    )
    latency_share: float = Field(default=0.99, ge=0.5, lt=1, description="Share of the answers that are not slower")


class Deploy(Section):
    """The stable name that is called, and how a new version takes it over. Without it the name is the project's.

    `policy`, `recording` and `promises` leave what the endpoint has where they are left out.
    """

    endpoint: Name
    strategy: Strategy = Strategy()
    policy: ServingPolicy | None = None
    recording: DeclaredRecording | None = None
    promises: DeclaredPromises | None = None
