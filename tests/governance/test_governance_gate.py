"""Both gates that come with the platform keep the contract of a promotion gate."""

from __future__ import annotations

import pytest

from bailiwick.core.actor import Actor
from bailiwick.governance.service import GovernanceService
from bailiwick.registry.ports import NoGate, PromotionGate
from bailiwick.store.records import Records
from bailiwick.testing.promotion_gate import PromotionGateContract, Question


class TestNoGate(PromotionGateContract):
    @pytest.fixture
    def gate(self) -> PromotionGate:
        return NoGate()

    @pytest.fixture
    def allowed(self, admin: Actor) -> Question:
        return Question(admin, "late", 1, "production", "u-author")

    @pytest.fixture
    def refused(self) -> None:
        return None


class TestGovernance(PromotionGateContract):
    @pytest.fixture
    def gate(self, records: Records, admin: Actor, second: Actor) -> PromotionGate:
        governance = GovernanceService(records)
        governance.set_policy(admin, "*", "production", evidence=["gates"])
        asked = governance.request(admin, "late", 1, "production", author="u-author", evidence={"gates": True})
        governance.approve(second, asked.id)
        return governance

    @pytest.fixture
    def allowed(self, admin: Actor) -> Question:
        return Question(admin, "late", 1, "production", "u-author")

    @pytest.fixture
    def refused(self, admin: Actor) -> Question:
        return Question(admin, "late", 2, "production", "u-author")


class TestGovernanceWithoutPolicies(TestNoGate):
    @pytest.fixture
    def gate(self, records: Records) -> PromotionGate:
        return GovernanceService(records)
