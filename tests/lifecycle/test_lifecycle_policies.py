"""A policy names versions; what may answer has passed the gate, what only watches needs no approval."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.endpoints.model import NO_POLICY, Fallback, OutputValue, Policy
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.policies import FallbackStated, PolicyStated, ShadowStated, set_policy, stated
from bailiwick.lifecycle.rollback import roll_back_endpoint


@pytest.fixture
def late(platform: Platform, admin: Actor) -> Platform:
    """Two versions that serve or served, and one that nobody approved."""
    facts: dict[str, Any] = {
        name: {} for name in ("signature", "metrics", "slices", "parity", "environment", "parameters")
    }
    for number in (1, 2, 3):
        package = platform.blobs.put(f"onnx {number}".encode())
        platform.registry.register(
            admin, "late", package=package, run_id=f"r{number}", snapshot="", code_version="", **facts
        )
        if number < 3:
            platform.endpoints.deploy(admin, "late", model="late", version=number, package=package)
    platform.governance.set_policy(admin, "late", "production", approvers=1, not_author=True)
    return platform


def test_what_watches_needs_no_approval_and_what_answers_does(late: Platform, admin: Actor) -> None:
    watched = PolicyStated(shadows=(ShadowStated("late", 3, 5_000),), fallbacks=(FallbackStated(previous=True),))
    after = set_policy(late, admin, "late", watched, reason="compare")
    (shadow,), (fallback,) = after.policy.shadows, after.policy.fallbacks
    assert (shadow.variant.name, shadow.variant.version, shadow.variant.weight, shadow.share) == ("v3", 3, 0, 5_000)
    assert fallback.variant is not None
    assert fallback.variant.version == 1
    assert stated(after.policy) == watched
    with pytest.raises(NotAllowed):
        set_policy(late, admin, "late", PolicyStated(fallbacks=(FallbackStated("late", 3),)), reason="hasty")
    served = PolicyStated(fallbacks=(FallbackStated("late", 1), FallbackStated(answer={"probability": 0.5})))
    after = set_policy(late, admin, "late", served, reason="it has answered before")
    assert stated(after.policy) == served


def test_what_cannot_be_run_is_refused(late: Platform, admin: Actor) -> None:
    late.registry.create_version(admin, "late", source="s3://somewhere/model")
    with pytest.raises(Conflict, match="no package"):
        set_policy(late, admin, "late", PolicyStated(shadows=(ShadowStated("late", 4),)), reason="x")
    for wanted in (
        PolicyStated(shadows=(ShadowStated("late", 9),)),
        PolicyStated(fallbacks=(FallbackStated("other", 1),)),
    ):
        with pytest.raises(NotFound):
            set_policy(late, admin, "late", wanted, reason="x")
    with pytest.raises(NotFound):
        set_policy(late, admin, "none", PolicyStated(), reason="x")


def test_a_rollback_keeps_the_policy_and_its_shadows_touch_no_rollout(late: Platform, admin: Actor) -> None:
    set_policy(late, admin, "late", PolicyStated(shadows=(ShadowStated("late", 3),)), reason="compare")
    package = late.registry.version("default", "late", 3).package
    running = late.rollouts.start(admin, "late", model="late", version=3, package=package)
    set_policy(late, admin, "late", PolicyStated(slow_ms=50), reason="while it runs")
    assert late.rollouts.advance(admin, running.id).status == running.status
    after = roll_back_endpoint(late, admin, "late", "enough")
    assert after.policy.slow_ms == 50
    assert [each.version for each in after.variants] == [2]


def test_an_answer_must_be_one_that_what_serves_could_give(late: Platform, admin: Actor) -> None:
    outputs = [
        {"name": "chance", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "class", "datatype": "BYTES", "shape": [-1]},
        {"name": "level", "datatype": "UINT8", "shape": [-1]},
    ]
    package = late.blobs.put(b"three outputs")
    facts: dict[str, Any] = {name: {} for name in ("metrics", "slices", "parity", "environment", "parameters")}
    late.registry.register(
        admin,
        "three",
        package=package,
        run_id="r",
        snapshot="",
        code_version="",
        signature={"inputs": [], "outputs": outputs},
        **facts,
    )
    late.endpoints.deploy(admin, "three", model="three", version=1, package=package)
    good: dict[str, bool | int | float | str] = {"chance": 0.5, "class": "low", "level": 3}
    wrong: list[tuple[dict[str, bool | int | float | str], str]] = [
        ({"chance": 0.5, "class": "low"}, "the outputs are: chance (FP32), class (BYTES), level (UINT8)"),
        ({**good, "other": 1}, "values for chance, class, level, other"),
        ({**good, "chance": "0.5"}, "Output chance is FP32; '0.5' is not."),
        ({**good, "chance": True}, "Output chance is FP32; True is not."),
        ({**good, "chance": 1e300}, "out of its range"),
        ({**good, "class": 1}, "Output class is BYTES; 1 is not."),
        ({**good, "level": 256}, "out of its range"),
        ({**good, "level": 1.5}, "Output level is UINT8; 1.5 is not."),
    ]
    for answer, said in wrong:
        with pytest.raises(InvalidInput, match=re.escape(said)):
            set_policy(late, admin, "three", PolicyStated(fallbacks=(FallbackStated(answer=answer),)), reason="x")
    assert late.endpoints.endpoint("default", "three").policy == NO_POLICY
    set_policy(late, admin, "three", PolicyStated(fallbacks=(FallbackStated(answer=good),)), reason="x")


def test_an_answer_that_is_in_force_already_keeps_nobody_from_changing_the_rest(late: Platform, admin: Actor) -> None:
    old = Policy(fallbacks=(Fallback(answer=(OutputValue("gone", 1),)),))
    outputs = [{"name": "chance", "datatype": "FP32", "shape": [-1]}]
    facts: dict[str, Any] = {name: {} for name in ("metrics", "slices", "parity", "environment", "parameters")}
    package = late.blobs.put(b"1")
    late.registry.register(
        admin,
        "one",
        package=package,
        run_id="r",
        snapshot="",
        code_version="",
        signature={"inputs": [], "outputs": outputs},
        **facts,
    )
    late.endpoints.deploy(admin, "one", model="one", version=1, package=package, policy=old)
    after = set_policy(late, admin, "one", replace(stated(old), slow_ms=9), reason="an incident")
    assert after.policy == replace(old, slow_ms=9)
