"""What an endpoint is; these structs are also the wire format of `GET /api/v1/routes`."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

BASIS_POINTS = 10_000
"""The weights of an endpoint's variants sum to this."""

ROUTE_FORMAT = 1


class Variant(Struct, frozen=True):
    """One model version serving a share of an endpoint: `weight` in basis points, `package` the digest of its ONNX blob."""

    name: str
    model: str
    version: int
    package: str
    weight: int


class Endpoint(Struct, frozen=True):
    """A stable name and its variants, the newest arm first so that a ramp only ever adds units to it.

    `salt` and a unit decide the variant (see `assignment`); `epoch` grows with every change of traffic. `key` and `time`
    name the optional context inputs of a request: the unit of assignment and the event time in milliseconds.
    """

    name: str
    salt: str
    epoch: int
    variants: tuple[Variant, ...]
    key: str = ""
    time: str = ""


class RouteTable(Struct, frozen=True):
    """Everything a data-plane process routes by; `revision` grows with every change in the workspace."""

    format: int
    revision: int
    endpoints: tuple[Endpoint, ...]


class RouteChange(Struct, frozen=True):
    """One entry of an endpoint's history: from `time` on, epoch `epoch` had these variants."""

    time: int
    actor: str
    reason: str
    epoch: int
    variants: tuple[Variant, ...]


ROLLED_BACK = "rolled back: "
"""How the reason of a change begins that went back to what was served before."""


def served_before(history: Iterable[RouteChange]) -> list[tuple[str, int]]:
    """Versions, as (model, number), that an endpoint can go back to, last resort first, from its history oldest first.

    Only what had all the traffic counts, so that nobody goes back into the middle of a canary. Like undo: a deployment
    pushes, going back pops, so a second rollback goes one further back and never to and fro.
    """
    served: list[tuple[str, int]] = []
    alone = False
    for change in history:
        alone = len(change.variants) == 1
        if not alone:
            continue
        found = (change.variants[0].model, change.variants[0].version)
        if change.reason.startswith(ROLLED_BACK) and found in served:
            while served[-1] != found:
                served.pop()
        elif served[-1:] != [found]:
            served.append(found)
    return served[:-1] if alone else served
