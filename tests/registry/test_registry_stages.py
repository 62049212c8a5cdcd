"""Whatever is done to stages and aliases, their history says what was where at any moment, and rolling back is undo."""

from __future__ import annotations

import pytest
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

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.core.ids import new_id
from bailiwick.registry.model import Stage
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

NAMES = ("champion", "Production", "Staging")


class PointerMachine(RuleBasedStateMachine):
    """The registry against what a notebook would say: after each step, who points where, kept with the time."""

    records: Records
    actor: Actor
    clock: FakeClock

    @initialize()
    def begin(self) -> None:
        self.registry = RegistryService(self.records, NoGate())
        self.model = new_id()
        self.registry.create_model(self.actor, self.model)
        self.alias: int | None = None
        self.stages: dict[int, str] = {}
        self.notes: list[tuple[int, dict[str, set[int]]]] = []
        self.live: set[int] = set()
        self.register()

    @precondition(lambda self: len(self.live) < 5)
    @rule()
    def register(self) -> None:
        made = self.registry.create_version(self.actor, self.model, source="s3://bucket/model")
        assert made.number not in self.live
        self.live.add(made.number)
        self._note()

    @precondition(lambda self: self.live)
    @rule(data=st.data(), stage=st.sampled_from(list(Stage)), archive=st.booleans())
    def transition(self, data: st.DataObject, stage: Stage, archive: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        archive = archive and stage in {Stage.STAGING, Stage.PRODUCTION}
        self.registry.set_stage(self.actor, self.model, number, stage.upper(), archive_existing=archive)
        if archive:
            self.stages |= {each: Stage.ARCHIVED for each, at in self.stages.items() if at == stage and each != number}
        self.stages[number] = stage
        self._note()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def point(self, data: st.DataObject) -> None:
        self.alias = data.draw(st.sampled_from(sorted(self.live)))
        self.registry.set_alias(self.actor, self.model, "champion", self.alias)
        self._note()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        self.registry.delete_version(self.actor, self.model, number)
        self.live.remove(number)
        self.stages.pop(number, None)
        self.alias = None if self.alias == number else self.alias
        self._note()

    @rule(stage=st.sampled_from(["staging", "production"]))
    def roll_back(self, stage: str) -> None:
        before = {number for number, at in self.stages.items() if at.lower() == stage}
        try:
            back = self.registry.rollback_stage(self.actor, self.model, stage, "worse").number
        except Conflict:
            return
        after = {each.number for each in self.registry.versions("default", self.model) if each.stage.lower() == stage}
        assert back in after
        gone = before - after
        assert len(gone) == bool(before)
        assert back not in gone
        self.stages |= dict.fromkeys(gone, Stage.ARCHIVED) | {back: stage.capitalize()}
        self._note()

    def _note(self) -> None:
        pointing = {name: {n for n, at in self.stages.items() if at == name} for name in NAMES[1:]}
        self.notes.append((self.clock.now, {"champion": {self.alias} - {None}, **pointing}))  # type: ignore[dict-item]
        self.clock.advance(1)

    @invariant()
    def the_present_is_what_was_asked_for(self) -> None:
        if hasattr(self, "notes"):
            versions = self.registry.versions("default", self.model)
            assert {each.number: each.stage for each in versions} == {n: self.stages.get(n, "None") for n in self.live}

    @invariant()
    def the_past_is_remembered(self) -> None:
        for time, pointing in getattr(self, "notes", [])[-4:]:
            found = self.registry.pointing_at("default", self.model, time=time)
            for name, numbers in pointing.items():
                assert {each.number for each in found if each.name == name} == numbers


def test_history_answers_for_every_moment_and_rolling_back_is_undo(
    records: Records, admin: Actor, clock: FakeClock
) -> None:
    PointerMachine.records, PointerMachine.actor, PointerMachine.clock = records, admin, clock
    run_state_machine_as_test(
        PointerMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@pytest.fixture
def registry(records: Records, admin: Actor) -> RegistryService:
    made = RegistryService(records, NoGate())
    made.create_model(admin, "late")
    for _ in range(3):
        made.create_version(admin, "late", source="s3://bucket/model")
    return made


def test_what_was_in_production_is_told_with_who_when_and_why(
    registry: RegistryService, admin: Actor, second: Actor, clock: FakeClock
) -> None:
    began = clock.now
    registry.set_stage(admin, "late", 1, "Production", reason="first")
    clock.advance(10)
    registry.set_stage(second, "late", 2, "production", archive_existing=True, reason="better")
    registry.set_alias(second, "late", "production", 3, reason="shadow")
    clock.advance(10)
    then = registry.pointing_at("default", "late", "Production", began + 5)
    assert [(each.kind, each.number, each.since, each.actor, each.reason) for each in then] == [
        ("stage", 1, began, "admin", "first")
    ]
    now = registry.pointing_at("default", "late", "production")
    assert [(each.kind, each.name, each.number) for each in now] == [
        ("alias", "production", 3),
        ("stage", "Production", 2),
    ]
    assert registry.pointing_at("default", "late", "production", began - 1) == []
    assert [each.name for each in registry.pointing_at("default", "late")] == ["production", "Archived", "Production"]
    with pytest.raises(NotFound, match="Alias or stage 'champion'"):
        registry.pointing_at("default", "late", "champion")
    with pytest.raises(NotFound, match="Model 'gone'"):
        registry.pointing_at("default", "gone")
    assert [(each.number, each.previous, each.stage) for each in registry.stage_history("default", "late")] == [
        (1, "None", "Production"),
        (1, "Production", "Archived"),
        (2, "None", "Production"),
    ]


def test_rolling_back_a_stage_archives_what_came_last(registry: RegistryService, admin: Actor) -> None:
    for number in (1, 2, 3):
        registry.set_stage(admin, "late", number, "Production", archive_existing=True)
    assert registry.rollback_stage(admin, "late", "production", "worse").number == 2
    assert registry.rollback_stage(admin, "late", "production", "worse").number == 1
    with pytest.raises(Conflict, match="no earlier version"):
        registry.rollback_stage(admin, "late", "Production", "worse")
    assert [each.stage for each in registry.versions("default", "late")] == ["Archived", "Archived", "Production"]
    with pytest.raises(InvalidInput, match="needs a reason"):
        registry.rollback_stage(admin, "late", "Production", " ")


def test_setting_a_stage_again_changes_nothing(records: Records, registry: RegistryService, admin: Actor) -> None:
    made = registry.set_stage(admin, "late", 1, "Staging")
    assert registry.set_stage(admin, "late", 1, "staging", archive_existing=True) == made
    registry.set_stage(admin, "late", 2, "Staging")
    assert registry.set_stage(admin, "late", 1, "Staging", archive_existing=True).stage == "Staging"
    assert registry.version("default", "late", 2).stage == "Archived"


def test_only_known_stages_and_only_active_ones_make_room(registry: RegistryService, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="Invalid Model Version stage: 'Prod' is none of None, Staging"):
        registry.set_stage(admin, "late", 1, "Prod")
    with pytest.raises(InvalidInput, match="at Staging and Production, not at Archived"):
        registry.set_stage(admin, "late", 1, "Archived", archive_existing=True)


class Refusing:
    """Refuses one target."""

    def __init__(self, refused: str) -> None:
        self.refused = refused

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        if alias == self.refused:
            raise NotAllowed(f"{model} version {number} may not become {alias!r}: no.")


@pytest.mark.parametrize("refused", ["Production", "production"])
def test_a_policy_on_a_stage_or_on_its_alias_guards_the_stage(records: Records, admin: Actor, refused: str) -> None:
    registry = RegistryService(records, Refusing(refused))
    registry.create_model(admin, "late")
    registry.create_version(admin, "late", source="s3://bucket/model")
    with pytest.raises(NotAllowed, match=f"may not become '{refused}'"):
        registry.set_stage(admin, "late", 1, "PRODUCTION")
    assert registry.version("default", "late", 1).stage == "None"
    assert registry.stage_history("default", "late") == []
    assert registry.set_stage(admin, "late", 1, "Staging").stage == "Staging"


def test_a_deleted_version_comes_back_without_its_stage(registry: RegistryService, admin: Actor) -> None:
    registry.set_stage(admin, "late", 1, "Production")
    assert registry.delete_version(admin, "late", 1).stage == "None"
    assert registry.stage_history("default", "late")[-1].action == "version_deleted"
    assert registry.restore_version(admin, "late", 1).stage == "None"
    assert registry.pointing_at("default", "late", "Production") == []


def test_the_newest_version_at_each_stage(registry: RegistryService, admin: Actor) -> None:
    registry.set_stage(admin, "late", 1, "Production")
    registry.set_stage(admin, "late", 2, "Production")
    registry.create_model(admin, "empty")
    latest = registry.latest_versions("default", ["late", "empty", "unknown"])
    assert [(each.number, each.stage) for each in latest["late"]] == [(2, "Production"), (3, "None")]
    assert latest["empty"] == latest["unknown"] == []
