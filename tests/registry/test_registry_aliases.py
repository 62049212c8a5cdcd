"""Whatever is done to an alias, its history replays to where it points, and rolling back is undo."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import Conflict, NotFound
from bailiwick.core.ids import new_id
from bailiwick.registry.lineage import Edge, Lineage, Node, join
from bailiwick.registry.model import AliasAction, AliasChange, versions_before
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.records import Records

PACKAGE = sha256_hex(b"package")


class AliasMachine(RuleBasedStateMachine):
    """The registry against a list that is pushed and popped."""

    records: Records
    actor: Actor

    @initialize()
    def begin(self) -> None:
        self.registry = RegistryService(self.records, NoGate())
        self.model = new_id()
        self.pointed: list[int] = []
        self.current: int | None = None
        self.live: set[int] = set()
        self.register()

    @precondition(lambda self: len(self.live) < 5)
    @rule()
    def register(self) -> None:
        made = self.registry.register(
            self.actor,
            self.model,
            package=PACKAGE,
            run_id="",
            snapshot="",
            signature={},
            metrics={},
            slices={},
            parity={},
            environment={},
            code_version="",
            parameters={},
        )
        assert made.number not in self.live
        self.live.add(made.number)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def point(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        self.registry.set_alias(self.actor, self.model, "champion", number)
        if self.current != number and self.pointed[-1:] != [number]:
            self.pointed.append(number)
        self.current = number

    @precondition(lambda self: self.current)
    @rule()
    def remove(self) -> None:
        self.registry.remove_alias(self.actor, self.model, "champion")
        self.current = None

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        self.registry.delete_version(self.actor, self.model, number)
        self.live.remove(number)
        if self.current == number:
            self.current = None

    @rule()
    def roll_back(self) -> None:
        expected = list(self.pointed)
        if self.current is not None:
            expected.pop()
        while expected and (expected[-1] not in self.live or expected[-1] == self.current):
            expected.pop()
        if expected:
            assert self.registry.rollback_alias(self.actor, self.model, "champion", "why").number == expected[-1]
            self.pointed, self.current = expected, expected[-1]
            return
        try:
            self.registry.rollback_alias(self.actor, self.model, "champion", "why")
        except (Conflict, NotFound):
            return
        raise AssertionError("there was nothing to go back to")

    @invariant()
    def history_replays_to_the_present(self) -> None:
        if not hasattr(self, "registry"):
            return
        pointing = self.registry.aliases("default", self.model)
        assert pointing.get("champion") == self.current
        history = self.registry.alias_history("default", self.model, "champion")
        assert (history[-1].number if history else None) == self.current
        before = [None, *(change.number for change in history)]
        assert [change.previous for change in history] == before[: len(history)]


def test_an_alias_is_an_undo_stack_with_a_complete_history(records: Records, admin: Actor) -> None:
    AliasMachine.records, AliasMachine.actor = records, admin
    run_state_machine_as_test(
        AliasMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def _set(previous: int | None, number: int) -> AliasChange:
    return AliasChange("m", "a", AliasAction.SET, previous, number, "", 0, "u", "u")


@given(st.lists(st.integers(1, 9), min_size=1))
def test_only_setting_makes_every_earlier_version_a_candidate(numbers: list[int]) -> None:
    history = [_set(None, number) for number in numbers]
    without_repeats = [number for index, number in enumerate(numbers) if index == 0 or numbers[index - 1] != number]
    assert versions_before(history) == without_repeats[:-1]


def test_joined_graphs_name_each_record_once() -> None:
    run: Node = {"id": "run/1", "kind": "run", "label": "run", "time": 5, "detail": {"a": 1}}
    more: Node = {"id": "run/1", "kind": "run", "label": "run one", "time": None, "detail": {"b": 2}}
    edge: Edge = {"from": "run/1", "to": "version/m/1", "label": "gave"}
    first: Lineage = {"nodes": [run], "edges": [edge]}
    second: Lineage = {"nodes": [more], "edges": [edge]}
    assert join([first, second]) == {
        "nodes": [{"id": "run/1", "kind": "run", "label": "run one", "time": 5, "detail": {"a": 1, "b": 2}}],
        "edges": [edge],
    }
