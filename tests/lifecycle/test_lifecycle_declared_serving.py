"""The project file's policy, recording and promises hold from the endpoint's first request on, and whenever it is applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, NotAllowed
from bailiwick.endpoints.model import Policy
from bailiwick.endpoints.recording import Recording
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.policies import FallbackStated, PolicyStated, set_policy, stated
from bailiwick.lifecycle.release import release_proposed
from bailiwick.monitoring.objectives.model import Objectives
from bailiwick.pipelines.project import load_project
from tests_support.fraud_project import PROJECT, run_pipeline

DECLARED = """  endpoint: fraud
  policy:
    fallbacks: [{previous: true}, {answer: {probability: 0.5}}]
    quota: {per_second: 50}
  recording: {hash: [country]}
  promises: {availability: 0.99, latency: 20ms}
"""


def declare(folder: Path, text: str) -> None:
    (folder / "bailiwick.yaml").write_text(PROJECT.replace("  endpoint: fraud\n", text), encoding="utf-8")


def apply(platform: Platform, actor: Actor, folder: Path) -> None:
    apply_project(platform, actor, load_project(folder))


def journalled(platform: Platform) -> list[str]:
    return [entry.action for entry in platform.journal.entries("default", limit=1_000)]


@pytest.fixture
def released(platform: Platform, admin: Actor, second: Actor, folder: Path) -> Platform:
    """The project's endpoint after its first release, made with what the file declares."""
    declare(folder, DECLARED)
    assert run_pipeline(platform, admin, folder).status == "FINISHED"
    for request in platform.governance.requests("default", status="PENDING"):
        platform.governance.approve(second, request.id)
    assert release_proposed(platform, admin) == ["fraud version 1 serves endpoint fraud"]
    return platform


def test_an_endpoint_has_what_is_declared_from_its_first_route_on(released: Platform) -> None:
    found = released.endpoints.endpoint("default", "fraud")
    assert found.epoch == 1
    assert released.endpoints.revision("default") == 1  # no worker ever saw it otherwise
    said = stated(found.policy)
    assert said.fallbacks == (FallbackStated(previous=True), FallbackStated(answer={"probability": 0.5}))
    assert said.quota is not None
    assert (said.quota.per_second, said.quota.burst) == (50, 50)
    assert found.recording.hashed == ("country",)
    assert released.serving_watch.objectives("default") == {"fraud": Objectives(0.99, 20_000)}
    told = [action for action in journalled(released) if action.startswith("endpoint.")]
    assert sorted(told) == [
        "endpoint.deployed",
        "endpoint.objectives_set",
        "endpoint.policy_set",
        "endpoint.recording_set",
    ]


def test_applying_what_holds_already_says_nothing_and_needs_no_right_to_deploy(
    released: Platform, admin: Actor, folder: Path
) -> None:
    before = journalled(released)
    less = admin.permissions - {Permission.ENDPOINTS_DEPLOY, Permission.MONITORS_WRITE}
    author = Actor("a", "author", "default", frozenset(less))
    apply(released, author, folder)
    apply(released, admin, folder)
    assert journalled(released) == before
    declare(folder, DECLARED.replace("50}", "60}"))
    with pytest.raises(NotAllowed, match=r"endpoints\.deploy"):
        apply(released, author, folder)
    apply(released, admin, folder)
    found = stated(released.endpoints.endpoint("default", "fraud").policy)
    assert found.quota is not None
    assert found.quota.per_second == 60
    assert len(journalled(released)) == len(before) + 2  # the file is another, and so is the policy


def test_what_the_file_does_not_speak_of_stays_and_an_empty_policy_is_none(
    released: Platform, admin: Actor, folder: Path
) -> None:
    set_policy(released, admin, "fraud", PolicyStated(slow_ms=70), reason="by hand")
    declare(folder, "  endpoint: fraud\n")
    apply(released, admin, folder)
    assert released.endpoints.endpoint("default", "fraud").policy.slow_ms == 70
    assert released.serving_watch.objectives("default") == {"fraud": Objectives(0.99, 20_000)}
    declare(folder, "  endpoint: fraud\n  policy: {}\n  recording: {}\n")
    apply(released, admin, folder)
    found = released.endpoints.endpoint("default", "fraud")
    assert stated(found.policy) == PolicyStated()
    assert not found.recording.hashed


def test_a_version_that_may_answer_passes_the_gate_wherever_it_is_declared(
    released: Platform, admin: Actor, folder: Path
) -> None:
    facts: dict[str, Any] = {
        name: {} for name in ("signature", "metrics", "slices", "parity", "environment", "parameters")
    }
    released.registry.register(
        admin, "other", package=released.blobs.put(b"x"), run_id="r", snapshot="", code_version="", **facts
    )
    released.governance.set_policy(admin, "other", "production", approvers=1)
    for part in ("fallbacks", "shadows"):
        declare(folder, f"  endpoint: fraud\n  policy: {{{part}: [{{model: other, version: 1}}]}}\n")
        if part == "fallbacks":
            with pytest.raises(NotAllowed, match="production"):
                apply(released, admin, folder)
        else:
            apply(released, admin, folder)
    (shadow,) = released.endpoints.endpoint("default", "fraud").policy.shadows
    assert (shadow.variant.name, shadow.share) == ("other-v1", 10_000)


def test_an_input_that_nothing_takes_cannot_be_withheld(platform: Platform, admin: Actor, folder: Path) -> None:
    declare(folder, "  endpoint: fraud\n  recording: {omit: [contry]}\n")
    finished = run_pipeline(platform, admin, folder)
    assert finished.status == "FAILED"
    assert "Did you mean 'country'?" in finished.step("register").message
    assert not platform.registry.models("default")
    declare(folder, "  endpoint: fraud\n  recording: {omit: [country], hash: [id]}\n")
    assert run_pipeline(platform, admin, folder).status == "FINISHED"


def test_an_answer_that_the_model_could_not_give_is_refused_before_and_after_the_first_release(
    platform: Platform, released: Platform, admin: Actor, folder: Path
) -> None:
    declare(folder, "  endpoint: fraud\n  policy: {fallbacks: [{answer: {chance: 0.5}}]}\n")
    before = released.endpoints.endpoint("default", "fraud")
    with pytest.raises(InvalidInput, match=r"fraud version 1 at endpoint fraud could give.*outputs are: .*probability"):
        apply(released, admin, folder)
    assert released.endpoints.endpoint("default", "fraud") == before
    declare(folder, "  endpoint: other\n  policy: {fallbacks: [{answer: {probability: rather low}}]}\n")
    finished = run_pipeline(platform, admin, folder)
    assert finished.status == "FAILED"
    assert "Output probability is FP32; 'rather low' is not." in finished.step("register").message


def test_an_endpoint_that_is_there_keeps_its_own(platform: Platform, admin: Actor) -> None:
    def deploy(version: int, slow_ms: int) -> None:
        platform.endpoints.deploy(
            admin,
            "one",
            model="one",
            version=version,
            package="0" * 64,
            policy=Policy(slow_ms=slow_ms),
            recording=Recording(share=slow_ms),
        )

    deploy(1, 5)
    deploy(2, 6)
    found = platform.endpoints.endpoint("default", "one")
    assert (found.policy.slow_ms, found.recording.share, found.variants[0].version) == (5, 5, 2)
    with pytest.raises(InvalidInput):
        platform.endpoints.deploy(
            admin, "two", model="one", version=1, package="0" * 64, policy=Policy(override_header="Host")
        )
