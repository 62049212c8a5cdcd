"""Experiments: named, tagged, hidden, shown again, found; and where they keep artifacts."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.errors import AlreadyExists, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.core.filters import parse_filter, parse_ordering
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.errors import ExperimentDeleted, ExperimentNotFound, TagNotFound
from bailiwick.tracking.experiment_search import ENTITIES
from bailiwick.tracking.locations import beneath, checked_location
from bailiwick.tracking.model import View
from bailiwick.tracking.service import TrackingService


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


def _actions(records: Records) -> list[str]:
    with records.read() as connection:
        return list(connection.scalars(select(entries.c.action).order_by(entries.c.number)))


def _found(tracking: TrackingService, text: str = "", *order: str, view: View = View.ACTIVE_ONLY) -> list[str]:
    clauses = parse_filter(text, entities=ENTITIES, default="attribute")
    orderings = [parse_ordering(each, entities=ENTITIES, default="attribute") for each in order]
    names: list[str] = []
    token = ""
    while True:
        page = tracking.search_experiments("default", clauses, orderings, view=view, limit=2, token=token)
        names += [each.name for each in page.items]
        if not page.next:
            return names
        token = page.next


def test_an_experiment_is_renamed_tagged_and_journalled(
    records: Records, tracking: TrackingService, admin: Actor, clock: FakeClock
) -> None:
    made = tracking.create_experiment(admin, "flights")
    clock.advance(5)
    renamed = tracking.rename_experiment(admin, made.id, "late")
    assert (renamed.name, renamed.updated - renamed.created) == ("late", 5)
    assert tracking.rename_experiment(admin, made.id, "late") == renamed
    for value in ("1", "2\n2"):
        tracking.tag_experiment(admin, made.id, {"a": value, "empty": ""})
    assert tracking.experiment("default", made.id).tags == {"a": "2\n2", "empty": ""}
    tracking.delete_experiment_tag(admin, made.id, "a")
    with pytest.raises(TagNotFound, match="Tag 'a' does not exist on experiment"):
        tracking.delete_experiment_tag(admin, made.id, "a")
    assert _actions(records) == [
        "experiment.created",
        "experiment.renamed",
        "experiment.tagged",
        "experiment.tagged",
        "experiment.tag_deleted",
    ]


def test_a_name_has_one_owner_even_when_that_is_deleted(tracking: TrackingService, admin: Actor) -> None:
    one, two = (tracking.create_experiment(admin, name) for name in ("one", "two"))
    tracking.delete_experiment(admin, one.id)
    with pytest.raises(AlreadyExists):
        tracking.rename_experiment(admin, two.id, "one")
    assert tracking.experiment("default", two.id).name == "two"


def test_a_deleted_experiment_is_read_only(tracking: TrackingService, admin: Actor) -> None:
    made = tracking.create_experiment(admin, "flights", tags={"a": "b"})
    tracking.delete_experiment(admin, made.id)
    for attempt in (
        lambda: tracking.rename_experiment(admin, made.id, "x"),
        lambda: tracking.tag_experiment(admin, made.id, {"a": "c"}),
        lambda: tracking.delete_experiment_tag(admin, made.id, "a"),
        lambda: tracking.create_run(admin, made.id),
    ):
        with pytest.raises(ExperimentDeleted):
            attempt()


def test_the_default_experiment_is_made_once(
    records: Records, tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    for service in (tracking, tracking, TrackingService(records)):
        for actor in (admin, stranger):
            service.prepare_workspace(actor)
    assert _actions(records) == ["experiment.created", "experiment.created"]
    assert tracking.experiment("default", "0").artifact_location == "mlflow-artifacts:/0"
    assert tracking.experiment("elsewhere", "0").artifact_location == "mlflow-artifacts:/workspaces/elsewhere/0"


def test_experiments_are_read_together_by_their_ids(tracking: TrackingService, admin: Actor) -> None:
    made = [tracking.create_experiment(admin, f"e{number}", tags={"n": str(number)}) for number in range(3)]
    gone = tracking.delete_experiment(admin, made[0].id)
    many = [gone.id, made[2].id, *(f"unknown-{number}" for number in range(600))]
    assert tracking.experiments_of("default", many) == {gone.id: gone, made[2].id: made[2]}
    assert tracking.experiments_of("elsewhere", many) == {}
    assert tracking.experiments_of("default", []) == {}


def test_experiments_are_found_by_name_time_id_and_tag(
    tracking: TrackingService, admin: Actor, clock: FakeClock
) -> None:
    for name, tags in (("a", {"key": "value"}), ("ab", {"key": "vaLue"}), ("Abc", {}), ("b_c", {"other": "x"})):
        tracking.create_experiment(admin, name, tags=tags)
        clock.advance(1)
    ids = {each.name: each.id for each in tracking.experiments("default")}
    assert _found(tracking) == ["b_c", "Abc", "ab", "a"]
    assert _found(tracking, "name = 'a'") == ["a"]
    assert _found(tracking, "attribute.name != 'a'") == ["b_c", "Abc", "ab"]
    assert _found(tracking, "name LIKE 'a%'") == ["ab", "a"]
    assert _found(tracking, "name ILIKE 'a%'") == ["Abc", "ab", "a"]
    assert _found(tracking, "tags.key = 'value'") == ["a"]
    assert _found(tracking, "tag.key != 'value'") == ["ab"]
    assert _found(tracking, "tag.key ILIKE '%alu%'") == ["ab", "a"]
    assert _found(tracking, "tags.key IS NULL") == ["b_c", "Abc"]
    assert _found(tracking, "tags.key IS NOT NULL AND name = 'a'") == ["a"]
    assert _found(tracking, f"experiment_id IN ('{ids['a']}', '{ids['ab']}')") == ["ab", "a"]
    assert _found(tracking, f"experiment_id != '{ids['a']}'") == ["b_c", "Abc", "ab"]
    assert _found(tracking, f"creation_time > {tracking.experiment_named('default', 'ab').created}") == ["b_c", "Abc"]
    assert _found(tracking, "", "name DESC") == ["b_c", "ab", "a", "Abc"]
    assert _found(tracking, "", "experiment_id") == ["a", "ab", "Abc", "b_c"]
    tracking.delete_experiment(admin, ids["ab"])
    assert _found(tracking, "", "last_update_time DESC", view=View.ALL) == ["ab", "b_c", "Abc", "a"]
    assert _found(tracking, view=View.DELETED_ONLY) == ["ab"]


@pytest.mark.parametrize(
    "text", ["color = 'x'", "name > 'x'", "experiment_id = 'x'", "creation_time = 1.5", "tags.a = 1"]
)
def test_searches_that_make_no_sense_are_refused(tracking: TrackingService, text: str) -> None:
    with pytest.raises(InvalidInput):
        _found(tracking, text)
    with pytest.raises(InvalidInput):
        _found(tracking, "", "tags.a")


def test_long_tags_and_strangers_are_refused(
    tracking: TrackingService, admin: Actor, stranger: Actor, viewer: Actor
) -> None:
    made = tracking.create_experiment(admin, "flights", tags={"a": "x" * 20_000})
    with pytest.raises(LimitExceeded, match="20000"):
        tracking.tag_experiment(admin, made.id, {"a": "x" * 20_001})
    with pytest.raises(InvalidInput, match="at least one"):
        tracking.tag_experiment(admin, made.id, {})
    for verb in (tracking.rename_experiment, tracking.delete_experiment_tag):
        with pytest.raises(ExperimentNotFound):
            verb(stranger, made.id, "a")
        with pytest.raises(NotAllowed):
            verb(viewer, made.id, "a")
    with pytest.raises(NotFound):
        tracking.tag_experiment(stranger, made.id, {"a": "b"})
    with pytest.raises(ExperimentNotFound):
        tracking.create_run(stranger, made.id)


@pytest.mark.parametrize(
    ("root", "below"),
    [
        ("mlflow-artifacts:/", "mlflow-artifacts:/1/x"),
        ("s3://bucket", "s3://bucket/1/x"),
        ("s3://bucket/a/?region=eu", "s3://bucket/a/1/x?region=eu"),
        ("file:///data", "file:///data/1/x"),
        ("/data/what?", "/data/what?/1/x"),
    ],
)
def test_artifacts_are_kept_below_a_root(root: str, below: str) -> None:
    assert beneath(root, "1", "x") == below


def test_a_relative_place_is_made_absolute_and_others_are_left() -> None:
    assert checked_location("here").endswith("/here")
    assert checked_location("here").startswith("/")
    assert checked_location("file:here").startswith("file:///")
    for kept in ("", "/a/b", "s3://b/x?y=z", "file:///a"):
        assert checked_location(kept) == kept
