"""Whatever the order of votes, requests and hours, the gate opens exactly when the policy's people agreed in time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, NotAllowed
from bailiwick.core.ids import new_id
from bailiwick.governance.service import GovernanceService
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

LIFETIME = 100
PEOPLE = ("author", "ann", "bob", "cyd")
people = st.sampled_from(PEOPLE)


def actor(name: str) -> Actor:
    return Actor(f"u-{name}", name, "default", frozenset(Permission))


class ApprovalMachine(RuleBasedStateMachine):
    """Governance against a set of names and a deadline."""

    records: Records
    clock: FakeClock

    @initialize(needed=st.integers(1, 3), not_author=st.booleans(), lapses=st.booleans())
    def begin(self, needed: int, not_author: bool, lapses: bool) -> None:
        self.governance = GovernanceService(self.records)
        self.model, self.needed, self.not_author, self.lapses = new_id(), needed, not_author, lapses
        self.governance.set_policy(
            actor("ann"),
            self.model,
            "live",
            approvers=needed,
            not_author=not_author,
            expires_ms=LIFETIME if lapses else None,
        )
        self.request = ""
        self.approved_until: float = -1
        self._start(open_=False)

    def _start(self, *, open_: bool) -> None:
        self.open = open_
        self.voted: set[str] = set()
        self.deadline = self.clock.now + LIFETIME if self.lapses else float("inf")

    @property
    def pending(self) -> bool:
        return self.open and self.clock.now < self.deadline

    @rule(by=people)
    def ask(self, by: str) -> None:
        found = self.governance.request(actor(by), self.model, 1, "live", author="u-author", evidence={})
        if self.pending:
            assert found.id == self.request
            return
        assert found.id != self.request
        self.request = found.id
        self._start(open_=True)

    @precondition(lambda self: self.request)
    @rule(by=people)
    def approve(self, by: str) -> None:
        repeated = by in self.voted
        barred = self.not_author and by == "author"
        try:
            self.governance.approve(actor(by), self.request)
        except Conflict:
            assert not self.pending
            return
        except NotAllowed:
            assert barred
            return
        if repeated:
            return
        assert self.pending
        assert not barred
        self.voted.add(by)
        if len(self.voted) >= self.needed:
            self.open = False
            until = self.clock.now + LIFETIME if self.lapses else float("inf")
            self.approved_until = max(self.approved_until, until)

    @precondition(lambda self: self.pending)
    @rule(by=people)
    def reject(self, by: str) -> None:
        try:
            self.governance.reject(actor(by), self.request, "no")
        except Conflict:
            assert by in self.voted
            return
        self.open = False

    @rule(milliseconds=st.sampled_from([1, LIFETIME // 2, LIFETIME]))
    def wait(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    @invariant()
    def the_gate_is_open_exactly_when_it_should_be(self) -> None:
        if not hasattr(self, "request"):
            return
        try:
            self.governance.check(actor("bob"), self.model, 1, "live", "u-author")
        except NotAllowed:
            assert self.clock.now >= self.approved_until
        else:
            assert self.clock.now < self.approved_until


def test_the_gate_opens_when_enough_others_agree_in_time(records: Records, clock: FakeClock) -> None:
    ApprovalMachine.records, ApprovalMachine.clock = records, clock
    run_state_machine_as_test(
        ApprovalMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
