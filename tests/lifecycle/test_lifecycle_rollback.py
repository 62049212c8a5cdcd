"""One word brings an endpoint back to what it served before, and what was rolled back stays so."""

from __future__ import annotations

from typing import Any

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.endpoints.model import ROLLED_BACK, RouteChange, Variant, served_before
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.rollback import roll_back_endpoint
from bailiwick.rollout.canary import CanaryConfig


@pytest.fixture
def late(platform: Platform, admin: Actor) -> Platform:
    """Three versions, deployed one after another, the last with a step of a canary before it."""
    facts: dict[str, Any] = {
        name: {} for name in ("signature", "metrics", "slices", "parity", "environment", "parameters")
    }
    for number in (1, 2, 3):
        package = platform.blobs.put(f"onnx {number}".encode())
        platform.registry.register(
            admin, "late", package=package, run_id=f"r{number}", snapshot="", code_version="", **facts
        )
    for number in (1, 2):
        deploy(platform, admin, number)
    half = [variant(platform, 3, 5_000), variant(platform, 2, 5_000)]
    platform.endpoints.set_variants(admin, "late", half, reason="canary")
    deploy(platform, admin, 3)
    return platform


def variant(platform: Platform, number: int, weight: int) -> Variant:
    package = platform.registry.version("default", "late", number).package
    return Variant(f"v{number}", "late", number, package, weight)


def deploy(platform: Platform, actor: Actor, number: int) -> None:
    package = platform.registry.version("default", "late", number).package
    platform.endpoints.deploy(actor, "late", model="late", version=number, package=package)


def serving(platform: Platform) -> list[int]:
    return [each.version for each in platform.endpoints.endpoint("default", "late").variants]


def test_an_endpoint_goes_back_further_each_time_and_never_into_a_canary(late: Platform, admin: Actor) -> None:
    for number in (2, 1):
        after = roll_back_endpoint(late, admin, "late", "too many errors")
        assert [(each.version, each.weight) for each in after.variants] == [(number, 10_000)]
    with pytest.raises(Conflict, match="has served no earlier version"):
        roll_back_endpoint(late, admin, "late", "again")
    newest = late.endpoints.history("default", "late")[-1]
    assert (newest.reason, newest.actor) == (f"{ROLLED_BACK}too many errors", admin.name)
    (entry, *_) = late.journal.entries("default", limit=1, action="endpoint.rolled_back")
    assert entry.resource == "endpoint/late"


def test_a_deployment_after_a_rollback_can_be_rolled_back_too(late: Platform, admin: Actor) -> None:
    roll_back_endpoint(late, admin, "late", "worse")
    deploy(late, admin, 3)
    roll_back_endpoint(late, admin, "late", "still worse")
    assert serving(late) == [2]


def test_versions_deleted_since_are_skipped(late: Platform, admin: Actor) -> None:
    late.registry.delete_version(admin, "late", 2)
    roll_back_endpoint(late, admin, "late", "worse")
    assert serving(late) == [1]


def test_a_rollout_under_way_is_aborted(late: Platform, admin: Actor) -> None:
    package = late.registry.version("default", "late", 1).package
    late.rollouts.start(admin, "late", model="late", version=1, package=package, config=CanaryConfig())
    assert len(serving(late)) == 2
    roll_back_endpoint(late, admin, "late", "enough")
    assert serving(late) == [3]
    assert late.rollouts.active("default", "late") is None


def test_a_reason_and_an_endpoint_are_needed(late: Platform, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="needs a reason"):
        roll_back_endpoint(late, admin, "late", " ")
    with pytest.raises(NotFound):
        roll_back_endpoint(late, admin, "early", "worse")


def _change(reason: str, *numbers: int) -> RouteChange:
    share = 10_000 // len(numbers)
    return RouteChange(0, "a", reason, 1, tuple(Variant(f"v{n}", "m", n, "", share) for n in numbers))


@pytest.mark.parametrize(
    ("changes", "before"),
    [
        ([_change("d", 1)], []),
        ([_change("d", 1), _change("c", 1, 2)], [1]),
        ([_change("d", 1), _change("d", 2), _change("d", 1)], [1, 2]),
        ([_change("d", 1), _change("d", 2), _change(f"{ROLLED_BACK}x", 1)], []),
        ([_change("d", 1), _change("d", 2), _change(f"{ROLLED_BACK}x", 3)], [1, 2]),
    ],
)
def test_what_was_served_before_is_read_from_the_history(changes: list[RouteChange], before: list[int]) -> None:
    assert served_before(changes) == [("m", number) for number in before]
