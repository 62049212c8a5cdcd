"""Versions are numbered for ever and never change; aliases move past a gate, and every move is kept."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import BailiwickError, Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.blobs import BlobStore
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

PACKAGE = sha256_hex(b"package")


class Refusing:
    """A gate that refuses one alias and remembers what it was asked."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.asked: list[tuple[str, int, str, str]] = []

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        self.asked.append((model, number, alias, author))
        if alias == self.refused:
            raise NotAllowed(f"{model} version {number} may not become {alias!r}: no.")


@pytest.fixture
def registry(records: Records) -> RegistryService:
    return RegistryService(records, NoGate())


def register(
    registry: RegistryService, actor: Actor, model: str = "late", run_id: str = "", **facts: Any
) -> ModelVersion:
    given: dict[str, Any] = {
        "package": PACKAGE,
        "snapshot": "snap1",
        "signature": {"inputs": []},
        "metrics": {"auc": 0.7},
        "slices": {"origin": {"JFK": {"auc": 0.6}}},
        "parity": {"passed": True},
        "environment": {"python": "3.11"},
        "code_version": "abc123",
        "parameters": {"depth": 6},
        "size_bytes": 7,
    }
    return registry.register(actor, model, run_id=run_id, **{**given, **facts})


def _journal(records: Records) -> list[tuple[str, str]]:
    with records.read() as connection:
        rows = connection.execute(select(entries.c.action, entries.c.resource).order_by(entries.c.number))
        return [(row.action, row.resource) for row in rows]


def test_a_version_carries_everything_that_was_measured(
    registry: RegistryService, admin: Actor, clock: FakeClock
) -> None:
    made = register(registry, admin, run_id="r1", reference_profile="f" * 64, description="first")
    assert made == ModelVersion(
        workspace="default",
        model="late",
        number=1,
        package=PACKAGE,
        digest=PACKAGE,
        size_bytes=7,
        run_id="r1",
        snapshot="snap1",
        signature={"inputs": []},
        metrics={"auc": 0.7},
        slices={"origin": {"JFK": {"auc": 0.6}}},
        parity={"passed": True},
        environment={"python": "3.11"},
        code_version="abc123",
        parameters={"depth": 6},
        reference_profile="f" * 64,
        description="first",
        created=clock(),
        created_by=admin.identity,
        updated=clock(),
    )
    assert registry.version("default", "late", 1) == made


def test_numpy_scalars_and_undefined_measures_are_kept(registry: RegistryService, admin: Actor) -> None:
    metrics = {"auc": np.float64(0.5), "n": np.int64(3), "brier": np.float32(0.25), "undefined": math.nan}
    made = register(registry, admin, metrics=metrics, slices={"a": {"auc": math.nan}})
    assert {name: made.metrics[name] for name in ("auc", "n", "brier")} == {"auc": 0.5, "n": 3, "brier": 0.25}
    assert math.isnan(made.metrics["undefined"])
    assert made.slices == {"a": {"auc": None}}


def test_registering_a_run_again_returns_its_version(records: Records, registry: RegistryService, admin: Actor) -> None:
    first = register(registry, admin, run_id="r1")
    journal = _journal(records)
    assert register(registry, admin, run_id="r1", description="again") == first
    assert _journal(records) == journal == [("model.created", "model/late"), ("version.registered", "version/late/1")]
    assert register(registry, admin, run_id="r2").number == 2
    assert register(registry, admin, "other", run_id="r1").number == 1


def test_the_newest_version_is_the_highest_that_is_not_deleted(
    registry: RegistryService, admin: Actor, stranger: Actor
) -> None:
    assert registry.newest_version("default", "late") is None
    made = [register(registry, admin, run_id=f"r{n}") for n in range(11)]
    register(registry, admin, "later", run_id="r")
    assert registry.newest_version("default", "late") == made[-1]
    registry.delete_version(admin, "late", 11, reason="x")
    assert registry.newest_version("default", "late") == made[-2]
    assert registry.newest_version(stranger.workspace, "late") is None


def test_eight_threads_get_consecutive_numbers(registry: RegistryService, admin: Actor) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: register(registry, admin, run_id=f"r{n}").number, range(24)))
    assert sorted(made) == list(range(1, 25))


def test_eight_threads_registering_one_run_get_one_version(registry: RegistryService, admin: Actor) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: register(registry, admin, run_id="r1").number, range(8)))
    assert set(made) == {1}
    assert len(registry.versions("default", "late")) == 1


def test_a_package_must_be_stored_when_blobs_are_known(records: Records, admin: Actor, blobs: BlobStore) -> None:
    registry = RegistryService(records, NoGate(), blobs)
    with pytest.raises(NotFound, match="Blob"):
        register(registry, admin)
    assert register(registry, admin, package=blobs.put(b"onnx")).size_bytes == 4


def test_a_deleted_number_is_never_given_again(registry: RegistryService, admin: Actor) -> None:
    for _ in range(3):
        register(registry, admin)
    registry.set_alias(admin, "late", "champion", 3)
    gone = registry.delete_version(admin, "late", 3, reason="leaks the label")
    assert gone.deleted is not None
    assert registry.aliases("default", "late") == {}
    assert registry.alias_history("default", "late")[-1].action == "version_deleted"
    with pytest.raises(NotFound, match="is deleted"):
        registry.version("default", "late", 3)
    assert [each.number for each in registry.versions("default", "late")] == [2, 1]
    assert register(registry, admin).number == 4
    assert registry.lineage("default", "late", 3)["nodes"]
    assert registry.restore_version(admin, "late", 3).deleted is None
    with pytest.raises(Conflict, match="not deleted"):
        registry.restore_version(admin, "late", 3)
    assert [each.number for each in registry.versions("default", "late", deleted=True)] == [4, 3, 2, 1]


def test_a_deleted_version_does_not_keep_its_run_from_registering(registry: RegistryService, admin: Actor) -> None:
    register(registry, admin, run_id="r1")
    registry.delete_version(admin, "late", 1)
    assert register(registry, admin, run_id="r1").number == 2


def test_a_model_counts_what_is_left_and_where_aliases_point(registry: RegistryService, admin: Actor) -> None:
    for _ in range(3):
        register(registry, admin)
    registry.delete_version(admin, "late", 2)
    registry.set_alias(admin, "late", "champion", 1)
    registry.describe_model(admin, "late", "Predicts late flights.")
    model = registry.model("default", "late")
    assert (model.newest, model.versions, model.aliases) == (3, 2, {"champion": 1})
    assert model.description == "Predicts late flights."
    assert registry.models("default") == [model]
    with pytest.raises(NotFound, match="Did you mean 'late'"):
        registry.model("default", "lat")


def test_aliases_say_who_moved_them_when_why_and_from_where(
    records: Records, registry: RegistryService, admin: Actor, second: Actor, clock: FakeClock
) -> None:
    register(registry, admin)
    register(registry, admin)
    registry.set_alias(admin, "late", "champion", 1, reason="first")
    clock.advance(10)
    registry.set_alias(second, "late", "champion", 2, reason="better")
    clock.advance(10)
    back = registry.rollback_alias(admin, "late", "champion", "worse after all")
    assert registry.alias("default", "late", "champion").number == 1
    told = [
        (each.action, each.previous, each.number, each.actor, each.reason, each.time - clock.now + 20)
        for each in registry.alias_history("default", "late", "champion")
    ]
    assert told == [
        ("set", None, 1, "admin", "first", 0),
        ("set", 1, 2, "second", "better", 10),
        ("rolled_back", 2, 1, "admin", "worse after all", 20),
    ]
    assert back == registry.alias_history("default", "late")[-1]
    assert [action for action, _ in _journal(records)][-3:] == ["alias.set", "alias.set", "alias.rolled_back"]


def test_setting_an_alias_where_it_is_changes_nothing(
    records: Records, registry: RegistryService, admin: Actor
) -> None:
    register(registry, admin)
    first = registry.set_alias(admin, "late", "champion", 1)
    journal = _journal(records)
    assert registry.set_alias(admin, "late", "champion", 1, reason="again") == first
    assert _journal(records) == journal


def test_a_second_rollback_goes_one_further_back(registry: RegistryService, admin: Actor) -> None:
    for number in (1, 2, 3):
        register(registry, admin)
        registry.set_alias(admin, "late", "champion", number)
    assert registry.rollback_alias(admin, "late", "champion", "bad").number == 2
    assert registry.rollback_alias(admin, "late", "champion", "bad").number == 1
    with pytest.raises(Conflict, match="no earlier version"):
        registry.rollback_alias(admin, "late", "champion", "bad")
    assert registry.alias("default", "late", "champion").number == 1


def test_rollback_skips_deleted_versions_and_brings_back_a_removed_alias(
    registry: RegistryService, admin: Actor
) -> None:
    for number in (1, 2, 3):
        register(registry, admin)
        registry.set_alias(admin, "late", "champion", number)
    registry.delete_version(admin, "late", 2)
    assert registry.rollback_alias(admin, "late", "champion", "bad").number == 1
    registry.remove_alias(admin, "late", "champion", reason="pause")
    with pytest.raises(NotFound, match="Alias 'champion'"):
        registry.alias("default", "late", "champion")
    with pytest.raises(NotFound, match="Alias 'champion'"):
        registry.remove_alias(admin, "late", "champion")
    assert registry.rollback_alias(admin, "late", "champion", "resume").number == 1


def test_a_rollback_needs_a_reason_and_a_past(registry: RegistryService, admin: Actor) -> None:
    register(registry, admin)
    with pytest.raises(InvalidInput, match="needs a reason"):
        registry.rollback_alias(admin, "late", "champion", " ")
    with pytest.raises(NotFound, match="Alias 'champion'"):
        registry.rollback_alias(admin, "late", "champion", "bad")
    with pytest.raises(NotFound, match="Model 'nothing'"):
        registry.rollback_alias(admin, "nothing", "champion", "bad")


def test_a_refused_promotion_changes_nothing_but_the_journal(records: Records, admin: Actor, second: Actor) -> None:
    gate = Refusing("production")
    registry = RegistryService(records, gate)
    register(registry, admin)
    journal = _journal(records)
    with pytest.raises(NotAllowed, match="may not become 'production'"):
        registry.set_alias(second, "late", "production", 1)
    assert gate.asked == [("late", 1, "production", admin.identity)]
    assert registry.aliases("default", "late") == {}
    assert registry.alias_history("default", "late") == []
    assert _journal(records) == [*journal, ("alias.denied", "alias/late/production")]
    assert registry.set_alias(second, "late", "staging", 1).number == 1


def test_the_gate_is_not_asked_about_what_cannot_be(records: Records, admin: Actor, viewer: Actor) -> None:
    gate = Refusing("production")
    registry = RegistryService(records, gate)
    register(registry, admin)
    with pytest.raises(NotFound, match=r"no version 2\. There are: 1"):
        registry.set_alias(admin, "late", "production", 2)
    with pytest.raises(NotAllowed, match=r"models\.write"):
        registry.set_alias(viewer, "late", "production", 1)
    assert gate.asked == []


@pytest.mark.parametrize("number", [0, -1, 2**31, 10**30])
def test_numbers_that_no_version_can_have_are_not_found(registry: RegistryService, admin: Actor, number: int) -> None:
    register(registry, admin)
    with pytest.raises(NotFound, match=f"no version {number}"):
        registry.version("default", "late", number)


@pytest.mark.parametrize("alias", ["", "a b", "a/b", "latest", "Latest", "v1", "V22", "a\n"])
def test_aliases_that_mean_something_else_are_refused(registry: RegistryService, admin: Actor, alias: str) -> None:
    register(registry, admin)
    with pytest.raises(InvalidInput):
        registry.set_alias(admin, "late", alias, 1)


@pytest.mark.parametrize("name", ["", " ", "*", "a/b", "a:b", "a\x00", "a\nb"])
def test_model_names_that_cannot_be_addressed_are_refused(registry: RegistryService, admin: Actor, name: str) -> None:
    with pytest.raises(InvalidInput):
        register(registry, admin, name)


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"package": "abc"}, InvalidInput),
        ({"metrics": {"auc": object()}}, InvalidInput),
        ({"parameters": {"a": "\ud800"}}, InvalidInput),
        ({"description": "x" * 5_001}, LimitExceeded),
        ({"snapshot": "s" * 65}, LimitExceeded),
        ({"code_version": "\x00"}, InvalidInput),
    ],
)
def test_facts_that_cannot_be_stored_are_refused(
    registry: RegistryService, admin: Actor, facts: dict[str, Any], error: type[BailiwickError]
) -> None:
    with pytest.raises(error):
        register(registry, admin, **facts)
    assert registry.models("default") == []


def test_lineage_leads_from_snapshot_and_code_to_the_alias(registry: RegistryService, admin: Actor) -> None:
    register(registry, admin, run_id="r1")
    registry.set_alias(admin, "late", "champion", 1)
    graph = registry.lineage("default", "late", 1)
    ids = [node["id"] for node in graph["nodes"]]
    assert ids == [
        "snapshot/snap1",
        "code/abc123",
        "run/r1",
        f"package/{PACKAGE}",
        "version/late/1",
        "alias/late/champion",
    ]
    assert {(edge["from"], edge["to"], edge["label"]) for edge in graph["edges"]} == {
        ("snapshot/snap1", "run/r1", "trained"),
        ("code/abc123", "run/r1", "ran in"),
        ("run/r1", f"package/{PACKAGE}", "produced"),
        (f"package/{PACKAGE}", "version/late/1", "registered as"),
        ("version/late/1", "alias/late/champion", "is"),
    }
    assert [each.number for each in registry.versions_of_snapshot("default", "snap1")] == [1]


def test_other_workspaces_and_viewers_see_and_change_nothing(
    records: Records, registry: RegistryService, admin: Actor, stranger: Actor, viewer: Actor
) -> None:
    register(registry, admin, run_id="r1")
    registry.set_alias(admin, "late", "champion", 1)
    before = _journal(records)
    for attempt in (
        lambda: registry.version("elsewhere", "late", 1),
        lambda: registry.versions("elsewhere", "late"),
        lambda: registry.model("elsewhere", "late"),
        lambda: registry.alias("elsewhere", "late", "champion"),
        lambda: registry.lineage("elsewhere", "late", 1),
        lambda: registry.set_alias(stranger, "late", "x", 1),
        lambda: registry.rollback_alias(stranger, "late", "champion", "bad"),
        lambda: registry.remove_alias(stranger, "late", "champion"),
        lambda: registry.delete_version(stranger, "late", 1),
        lambda: registry.describe_model(stranger, "late", "x"),
    ):
        with pytest.raises(NotFound):
            attempt()
    for forbidden in (
        lambda: register(registry, viewer, run_id="r1"),
        lambda: registry.rollback_alias(viewer, "late", "champion", "bad"),
        lambda: registry.remove_alias(viewer, "late", "champion"),
        lambda: registry.delete_version(viewer, "late", 1),
        lambda: registry.restore_version(viewer, "late", 1),
        lambda: registry.describe_model(viewer, "late", "x"),
    ):
        with pytest.raises(NotAllowed):
            forbidden()
    assert registry.models("elsewhere") == []
    assert registry.aliases("elsewhere", "late") == {}
    assert registry.versions_of_snapshot("elsewhere", "snap1") == []
    assert _journal(records) == before
    assert register(registry, stranger, run_id="r1").number == 1
