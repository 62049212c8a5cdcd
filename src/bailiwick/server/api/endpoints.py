"""Endpoints, and what the data plane follows: the route table by long poll, and the blobs it names."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from bailiwick.endpoints.log import ShadowComparison
from bailiwick.endpoints.model import Endpoint, RouteChange, RouteTable
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.policies import PolicyStated, set_policy
from bailiwick.lifecycle.rollback import roll_back_endpoint as back_to_before
from bailiwick.server.api.route import Call, Nothing

MAX_WAIT_SECONDS = 30.0
POLL_SECONDS = 0.2


class RoutesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`after` is the revision the caller knows; with `wait` the answer is held back until there is another."""

    after: Annotated[int, Meta(ge=0)] | None = None
    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT_SECONDS)] = 0.0


class Endpoints(Struct, frozen=True):
    """All endpoints, by name."""

    items: list[Endpoint]


class RouteHistory(Struct, frozen=True):
    """Changes of one endpoint's traffic, oldest first."""

    items: list[RouteChange]


class RollBack(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the journal keeps it."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


class SetPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy, and why; the journal keeps it."""

    policy: PolicyStated
    reason: Annotated[str, Meta(max_length=2000)] = ""


class ShadowsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Event time in milliseconds, from `start` up to `end`."""

    start: int | None = None
    end: int | None = None


class Shadows(Struct, frozen=True):
    """Shadows beside what was answered, by version."""

    items: list[ShadowComparison]


class RevisionWatch:
    """Answers "which revision?" for many waiting callers with one query each 200 ms and workspace."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: dict[str, tuple[float, int]] = {}
        self._asking = asyncio.Lock()

    async def revision(self, workspace: str, *, fresh: bool = False) -> int:
        """The revision, at most 200 ms old unless `fresh`."""
        async with self._asking:
            asked, revision = self._known.get(workspace, (0.0, 0))
            if fresh or time.monotonic() - asked > POLL_SECONDS:
                revision = await run_in_threadpool(self._platform.endpoints.revision, workspace)
                self._known[workspace] = (time.monotonic(), revision)
            return revision


async def routes(call: Call[RoutesQuery, Nothing]) -> RouteTable | Response:
    """The route table, or 204 when nothing but `after` is known by the end of `wait`.

    Any other revision is news, an older one too: after a restore from backup the data plane must follow.
    """
    state = call.request.app.state
    deadline = time.monotonic() + call.query.wait
    revision = await state.revisions.revision(call.workspace, fresh=True)
    while revision == call.query.after:
        if time.monotonic() >= deadline or state.stopping():
            return Response(status_code=204)
        await asyncio.sleep(POLL_SECONDS)
        revision = await state.revisions.revision(call.workspace)
    return await run_in_threadpool(call.platform.endpoints.route_table, call.workspace)


def blob(call: Call[Nothing, Nothing]) -> Response:
    """The bytes of a blob, streamed; the digest is the entity tag, and bytes that do not match it end the connection."""
    digest = call.path["digest"]
    length = call.platform.blobs.size(digest)
    headers = {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if call.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(length)
    return StreamingResponse(call.platform.blobs.stream(digest), headers=headers, media_type="application/octet-stream")


def endpoints(call: Call[Nothing, Nothing]) -> Endpoints:
    """All endpoints."""
    return Endpoints(call.platform.endpoints.endpoints(call.workspace))


def endpoint(call: Call[Nothing, Nothing]) -> Endpoint:
    """One endpoint."""
    return call.platform.endpoints.endpoint(call.workspace, call.path["endpoint"])


def endpoint_history(call: Call[Nothing, Nothing]) -> RouteHistory:
    """How its traffic was split over time."""
    return RouteHistory(call.platform.endpoints.history(call.workspace, call.path["endpoint"]))


def roll_back_endpoint(call: Call[Nothing, RollBack]) -> Endpoint:
    """Send all traffic to the version that served before."""
    return back_to_before(call.platform, call.actor, call.path["endpoint"], call.body.reason)


def set_endpoint_policy(call: Call[Nothing, SetPolicy]) -> Endpoint:
    """Choices by callers, shadows, fallbacks, breakers, and who is let in."""
    name = call.path["endpoint"]
    return set_policy(call.platform, call.actor, name, call.body.policy, reason=call.body.reason)


def endpoint_shadows(call: Call[ShadowsQuery, Nothing]) -> Shadows:
    """What shadows said beside what was answered."""
    name = call.path["endpoint"]
    call.platform.endpoints.endpoint(call.workspace, name)
    found = call.platform.logs.of(call.workspace).compared(name, start=call.query.start, end=call.query.end)
    return Shadows(found)
