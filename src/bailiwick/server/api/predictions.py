"""Past predictions: pages of them, one with all that belongs to it, and why it came out as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.model import Endpoint
from bailiwick.endpoints.past import MOST, PastPage, PastPrediction, RefusedRequest, Sought
from bailiwick.endpoints.recording import WHOLE, Recording, Treatment, WhenFull
from bailiwick.governance.model import ApprovalRequest
from bailiwick.lifecycle.explaining.model import KINDS, Asked, Explanation
from bailiwick.registry.model import ModelVersion
from bailiwick.server.api.models import LineageGraph, graph_view
from bailiwick.server.api.route import Call, Nothing

if TYPE_CHECKING:
    from bailiwick.lifecycle.explaining import story
else:
    story = deferred("bailiwick.lifecycle.explaining.story")

Name = Annotated[str, Meta(min_length=1, max_length=300)]
Moment = Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]


class PredictionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Every filter that is given must hold; `start` and `end` bound arrival in UTC milliseconds, [start, end), and
    `failed` is any status but 200. `after` is the `next` of the page before.
    """

    endpoint: Name | None = None
    model: Name | None = None
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    variant: Name | None = None
    unit: Name | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    failed: bool = False
    start: Moment | None = None
    end: Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 50
    after: Annotated[str, Meta(max_length=400)] = ""


class PredictionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`endpoint` says where to look, where ids that clients chose are not unique; `explain` is a list of kinds, with commas."""

    endpoint: Name | None = None
    explain: Annotated[str, Meta(max_length=100)] = ""


class EndpointQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to look."""

    endpoint: Name | None = None


class RefusalsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Refused requests of an endpoint, or of all, that came before a time, newest first."""

    endpoint: Name | None = None
    before: Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 50


class PredictionView(Struct, frozen=True):
    """A prediction, the version that made it with where it came from and who approved it, and why it came out so."""

    prediction: PastPrediction
    version: ModelVersion | None
    lineage: LineageGraph | None
    approvals: list[ApprovalRequest]
    purged: bool
    explanation: Explanation | None


class Refusals(Struct, frozen=True):
    """Requests that were refused, newest first; only of endpoints whose policy records them."""

    items: list[RefusedRequest]


class SetRecording(Struct, frozen=True, forbid_unknown_fields=True):
    """What of the endpoint's predictions is kept from now on; see `Recording`. The journal keeps the reason."""

    share: Annotated[int, Meta(ge=0, le=WHOLE)] = WHOLE
    columns: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    personal_rule: Treatment = "hash"
    refused: bool = False
    when_full: WhenFull = "refuse"
    reason: Annotated[str, Meta(max_length=2000)] = ""


def predictions(call: Call[PredictionsQuery, Nothing]) -> PastPage:
    """Predictions, newest arrival first, without their inputs."""
    asked = call.query
    sought = Sought(
        model=asked.model or "",
        version=asked.version,
        variant=asked.variant or "",
        unit=asked.unit or "",
        status=asked.status,
        failed=asked.failed,
        start=asked.start,
        end=asked.end,
    )
    return story.list_predictions(
        call.platform, call.actor, sought, endpoint=asked.endpoint or "", limit=asked.limit, after=asked.after
    )


def prediction(call: Call[PredictionQuery, Nothing]) -> PredictionView:
    """One prediction."""
    name, endpoint = call.path["prediction"], call.query.endpoint or ""
    found = story.recall(call.platform, call.actor, name, endpoint=endpoint)
    explanation = None
    if call.query.explain:
        kinds = tuple(dict.fromkeys(part.strip() for part in call.query.explain.split(",") if part.strip()))
        if not kinds:
            raise InvalidInput.choice("Kind of explanation", call.query.explain, KINDS)
        explanation = story.explain(call.platform, call.actor, name, Asked(kinds=kinds), endpoint=endpoint)
    return PredictionView(
        found.prediction,
        found.version,
        None if found.lineage is None else graph_view(found.lineage),
        found.approvals,
        found.purged,
        explanation,
    )


def explain_prediction(call: Call[EndpointQuery, Asked]) -> Explanation:
    """Why it came out as it did, under the settings given."""
    return story.explain(
        call.platform, call.actor, call.path["prediction"], call.body, endpoint=call.query.endpoint or ""
    )


def refusals(call: Call[RefusalsQuery, Nothing]) -> Refusals:
    """What was refused, and in which words."""
    asked = call.query
    found = story.list_refusals(
        call.platform, call.actor, endpoint=asked.endpoint or "", limit=asked.limit, before=asked.before
    )
    return Refusals(found)


def set_recording(call: Call[Nothing, SetRecording]) -> Endpoint:
    """Say what is kept."""
    said = {name: value for name, value in msgspec.structs.asdict(call.body).items() if name != "reason"}
    return call.platform.endpoints.set_recording(
        call.actor, call.path["endpoint"], Recording(**said), reason=call.body.reason
    )
