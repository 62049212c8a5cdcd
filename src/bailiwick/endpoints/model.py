"""What an endpoint is; these structs are also the wire format of `GET /api/v1/routes`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from bailiwick.core.serving_setting import AS_SERVED, ServingSetting
from bailiwick.endpoints.recording import EVERYTHING_KEPT, Recording

_NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,99}")
BASIS_POINTS = 10_000
"""The weights of an endpoint's variants sum to this."""

ROUTE_FORMAT = 1
"""Fields are only ever added, each with a default that means "as before": tables on disk and workers of another age are read."""


def is_endpoint_name(name: str) -> bool:
    """Whether an endpoint may have this name."""
    return _NAME.fullmatch(name) is not None


class Variant(Struct, frozen=True, omit_defaults=True):
    """One model version serving a share of an endpoint: `weight` in basis points, `package` the digest of its ONNX blob.

    `setting` says how the version is run; it stands in route tables only, for the registry keeps it.
    """

    name: str
    model: str
    version: int
    package: str
    weight: int
    setting: ServingSetting = AS_SERVED

    @property
    def loading(self) -> str:
        """What is loaded to run it, by a name: the same package with as many threads is loaded once."""
        return self.package if self.setting.threads == 1 else f"{self.package}@{self.setting.threads}"


def package_of(loading: str) -> tuple[str, int]:
    """The digest of the package, and the threads it is run by."""
    package, _, threads = loading.partition("@")
    return package, int(threads or 1)


class Shadow(Struct, frozen=True):
    """A version that is run on copies of a share of the units, in basis points, and whose answers nobody is given."""

    variant: Variant
    share: int


class OutputValue(Struct, frozen=True):
    """What a constant answer says for one output."""

    output: str
    value: bool | int | float | str


class Fallback(Struct, frozen=True):
    """What answers when the variant cannot: a version, the one that served before (`previous`), or constant values."""

    variant: Variant | None = None
    previous: bool = False
    answer: tuple[OutputValue, ...] = ()


class BreakerRule(Struct, frozen=True):
    """When a variant is left alone: `percent` of at least `least` calls in `window_seconds` failed or were too slow.

    After `open_seconds` it is tried with `probes` calls. A `percent` of 0 means that it is called whatever happens.
    """

    percent: int = 50
    least: int = 20
    window_seconds: int = 10
    open_seconds: int = 5
    probes: int = 3


class Quota(Struct, frozen=True):
    """Requests a second that one client may send, and how many at once. Clients are told apart `by` their address, the
    token they show, or a header (`header:NAME`) that something in front of the workers sets.
    """

    per_second: float
    burst: int
    by: str = "address"


class Policy(Struct, frozen=True, omit_defaults=True):
    """What else than the split decides about a request. Every default means "nothing does".

    A caller may ask for a variant by name, by `override_header` or by the request's parameter `override_parameter`; what
    it gets is no evidence about the split. `slow_ms` is how long a variant may take before a fallback answers in its
    place. Where there are fallbacks, each variant has a `breaker`, which is `BreakerRule()` where nothing is said. `queue` bounds how many requests wait in a worker, `deadline_ms` how long one waits that says nothing itself.
    `priority_header` names the header in which clients say `high`, `normal` or `low`.
    """

    override_header: str = ""
    override_parameter: str = ""
    shadows: tuple[Shadow, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    breaker: BreakerRule | None = None
    slow_ms: int = 0
    queue: int = 0
    deadline_ms: int = 0
    quota: Quota | None = None
    priority_header: str = ""


NO_POLICY = Policy()


class Endpoint(Struct, frozen=True):
    """A stable name and its variants, the newest arm first so that a ramp only ever adds units to it.

    `salt` and a unit decide the variant (see `assignment`); `epoch` grows with every change of traffic. `key` and `time`
    name the optional context inputs of a request: the unit of assignment and the event time in milliseconds. `recording`
    says what of its predictions is kept.
    """

    name: str
    salt: str
    epoch: int
    variants: tuple[Variant, ...]
    key: str = ""
    time: str = ""
    recording: Recording = EVERYTHING_KEPT
    policy: Policy = NO_POLICY

    @property
    def every_variant(self) -> tuple[Variant, ...]:
        """All that it takes to answer by this, whoever answers."""
        others = [shadow.variant for shadow in self.policy.shadows]
        others += [fallback.variant for fallback in self.policy.fallbacks if fallback.variant is not None]
        return (*self.variants, *others)

    @property
    def packages(self) -> set[str]:
        """Digests of what is to be fetched."""
        return {variant.package for variant in self.every_variant}

    @property
    def loadings(self) -> set[str]:
        """Names of what is to be loaded (see `Variant.loading`)."""
        return {variant.loading for variant in self.every_variant}

    def with_settings(self, settings: Mapping[tuple[str, int], ServingSetting]) -> Endpoint:
        """The same, with each variant saying how it is run, by (model, version)."""
        if not settings:
            return self

        def told(variant: Variant) -> Variant:
            return structs.replace(variant, setting=settings.get((variant.model, variant.version), AS_SERVED))

        policy = structs.replace(
            self.policy,
            shadows=tuple(structs.replace(each, variant=told(each.variant)) for each in self.policy.shadows),
            fallbacks=tuple(
                structs.replace(each, variant=told(each.variant)) if each.variant is not None else each
                for each in self.policy.fallbacks
            ),
        )
        return structs.replace(self, variants=tuple(told(each) for each in self.variants), policy=policy)


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
