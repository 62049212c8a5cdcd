"""The contract of a promotion gate as tests. Subclass, give three fixtures, and pytest collects the rest.

    class TestMyGate(PromotionGateContract):
        @pytest.fixture
        def gate(self): return MyGate()
        @pytest.fixture
        def allowed(self): return Question(actor, "late", 1, "staging", "u-author")
        @pytest.fixture
        def refused(self): return Question(actor, "late", 1, "production", "u-author")

`refused` may be None for a gate that allows everything.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotAllowed
from bailiwick.registry.ports import PromotionGate


@dataclass(frozen=True, slots=True)
class Question:
    """One call of `PromotionGate.check`."""

    actor: Actor
    model: str
    number: int
    alias: str
    author: str

    def ask(self, gate: PromotionGate) -> NotAllowed | None:
        """The refusal, or None when the gate allows it. Any other outcome breaks the contract."""
        try:
            answer: object = gate.check(self.actor, self.model, self.number, self.alias, self.author)  # type: ignore[func-returns-value]
        except NotAllowed as refusal:
            return refusal
        assert answer is None, f"check returned {answer!r}; it returns None or raises NotAllowed"
        return None


class PromotionGateContract:
    """What the registry relies on; see `bailiwick.registry.ports.PromotionGate`."""

    def test_what_is_allowed_returns_nothing(self, gate: PromotionGate, allowed: Question) -> None:
        """None is the only yes."""
        assert allowed.ask(gate) is None

    def test_what_is_refused_says_what_and_how_to_get_it(self, gate: PromotionGate, refused: Question | None) -> None:
        """A refusal names the version and the alias, and its hint says what to do."""
        if refused is None:
            return
        refusal = refused.ask(gate)
        assert refusal is not None, "the gate allowed what it was to refuse"
        for named in (refused.model, str(refused.number), refused.alias):
            assert named in refusal.message, f"the message does not name {named!r}: {refusal.message}"
        assert refusal.hint, "a refusal needs a hint that says how to get what is missing"

    def test_asking_changes_nothing(self, gate: PromotionGate, allowed: Question, refused: Question | None) -> None:
        """However often and in whatever order it is asked, the answers stay."""
        for _ in range(3):
            assert allowed.ask(gate) is None
            assert _words(refused, gate) == _words(refused, gate)

    def test_the_permissions_of_the_actor_do_not_count(
        self, gate: PromotionGate, allowed: Question, refused: Question | None
    ) -> None:
        """The registry has authorised the actor; the gate judges the version."""
        for question in (allowed, refused):
            if question is not None:
                powerless = replace(question, actor=replace(question.actor, permissions=frozenset()))
                assert _words(powerless, gate) == _words(question, gate)

    def test_rules_of_one_workspace_do_not_reach_another(self, gate: PromotionGate, refused: Question | None) -> None:
        """A workspace without rules allows everything."""
        if refused is not None:
            elsewhere = replace(refused, actor=replace(refused.actor, workspace="a-workspace-without-rules"))
            assert elsewhere.ask(gate) is None

    def test_an_unknown_model_is_no_error(self, gate: PromotionGate, allowed: Question) -> None:
        """The gate answers yes or no about a model it has never heard of; it does not look it up."""
        replace(allowed, model="never heard of").ask(gate)

    def test_many_threads_may_ask(self, gate: PromotionGate, allowed: Question, refused: Question | None) -> None:
        """Answers do not depend on who else is asking."""
        expected = _words(refused, gate)
        asked: list[Callable[[], bool]] = [
            lambda: allowed.ask(gate) is None,
            lambda: _words(refused, gate) == expected,
        ]
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda ask: ask(), asked * 16))


def _words(question: Question | None, gate: PromotionGate) -> str | None:
    refusal = question.ask(gate) if question else None
    return str(refusal) if refusal else None
