"""How a version is to be run is checked, journalled, and told to those who run it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError, InvalidInput, NotAllowed, NotFound
from bailiwick.core.serving_setting import (
    AS_SERVED,
    LONGEST_WHY,
    MOST_ROWS,
    MOST_THREADS,
    MOST_WORKERS,
    ServingSetting,
    decode_setting,
    encode_setting,
    setting_of,
    setting_words,
)
from bailiwick.endpoints.service import EndpointService
from bailiwick.lifecycle.serving_settings import KeptSettings
from bailiwick.registry.arrivals import ArrivedVersion
from bailiwick.registry.model import OWN_TAGS, REPORT_TAG, SERVING_TAG
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records

FAST = ServingSetting(threads=2, most_rows=64, workers=3, why="p99 3 ms")
DIGEST = "a" * 64


class Joined:
    """A registry and endpoints that know each other, as an installation has them."""

    def __init__(self, records: Records) -> None:
        self.endpoints = EndpointService(records, settings=KeptSettings(lambda: self.registry))
        self.registry = RegistryService(records, NoGate(), served_by=(self.endpoints,))


@pytest.fixture
def joined(records: Records, admin: Actor) -> Joined:
    made = Joined(records)
    for _ in range(2):
        facts: dict[str, Any] = {
            name: {} for name in ("signature", "metrics", "slices", "parity", "environment", "parameters")
        }
        made.registry.register(admin, "late", package=DIGEST, run_id="", snapshot="", code_version="", **facts)
    made.endpoints.deploy(admin, "late", model="late", version=1, package=DIGEST)
    return made


def actions(records: Records) -> list[str]:
    with records.read() as connection:
        return list(connection.scalars(select(entries.c.action).order_by(entries.c.number)))


def test_a_setting_travels_in_the_route_table_of_those_who_serve_the_version(joined: Joined, admin: Actor) -> None:
    before = joined.endpoints.route_table("default")
    assert before.endpoints[0].variants[0].setting == AS_SERVED
    assert joined.registry.set_serving(admin, "late", 1, FAST, reason="measured").serving == FAST
    after = joined.endpoints.route_table("default")
    assert after.revision == before.revision + 1
    (variant,) = after.endpoints[0].variants
    assert variant.setting == replace_why(FAST)
    assert variant.loading == f"{DIGEST}@2"
    assert (variant.package, after.endpoints[0].packages) == (DIGEST, {DIGEST})
    assert joined.endpoints.endpoint("default", "late").variants[0].setting == AS_SERVED
    joined.endpoints.deploy(admin, "late", model="late", version=2, package=DIGEST)
    assert joined.endpoints.route_table("default").endpoints[0].variants[0].loading == DIGEST
    joined.registry.set_serving(admin, "late", 1, AS_SERVED)
    assert SERVING_TAG not in joined.registry.version("default", "late", 1).tags


def replace_why(setting: ServingSetting) -> ServingSetting:
    return ServingSetting(setting.threads, setting.most_rows, setting.workers)


def test_the_same_again_changes_nothing_and_a_change_is_journalled(
    joined: Joined, admin: Actor, records: Records
) -> None:
    joined.registry.set_serving(admin, "late", 1, FAST)
    told, revision = actions(records), joined.endpoints.revision("default")
    joined.registry.set_serving(admin, "late", 1, FAST)
    joined.registry.set_serving(admin, "late", 2, AS_SERVED)
    assert (actions(records), joined.endpoints.revision("default")) == (told, revision)
    assert told[-1] == "version.serving_set"
    with pytest.raises(NotFound):
        joined.registry.set_serving(admin, "late", 9, FAST)


def test_only_who_may_deploy_sets_it(joined: Joined, admin: Actor, viewer: Actor) -> None:
    author = replace(admin, permissions=frozenset({Permission.READ, Permission.MODELS_WRITE}))
    for actor in (viewer, author):
        with pytest.raises(NotAllowed, match=r"endpoints\.deploy"):
            joined.registry.set_serving(actor, "late", 1, FAST)


@pytest.mark.parametrize(
    "absurd",
    [
        ServingSetting(threads=0),
        ServingSetting(threads=-1),
        ServingSetting(threads=MOST_THREADS + 1),
        ServingSetting(threads=10**30),
        ServingSetting(most_rows=-1),
        ServingSetting(most_rows=MOST_ROWS + 1),
        ServingSetting(workers=MOST_WORKERS + 1),
        ServingSetting(why="x" * (LONGEST_WHY + 1)),
        ServingSetting(why="two\nlines"),
    ],
)
def test_an_absurd_setting_is_refused(joined: Joined, admin: Actor, absurd: ServingSetting) -> None:
    with pytest.raises(InvalidInput, match="serving setting"):
        joined.registry.set_serving(admin, "late", 1, absurd)
    assert joined.registry.version("default", "late", 1).serving == AS_SERVED


def test_no_other_verb_writes_the_tag(joined: Joined, admin: Actor) -> None:
    registry = joined.registry
    joined.registry.set_serving(admin, "late", 1, FAST)
    for key in OWN_TAGS:
        for refused in (
            lambda key=key: registry.tag_version(admin, "late", 1, key, "{}"),
            lambda key=key: registry.untag_version(admin, "late", 1, key),
            lambda key=key: registry.create_version(admin, "late", source="s3://b/k", tags={key: "{}"}),
        ):
            with pytest.raises(InvalidInput, match="not set by hand"):
                refused()
    arrived = ArrivedVersion(
        7, source="s3://b/k", storage="s3://b/k", tags={SERVING_TAG: encode_setting(FAST), "team": "ops"}
    )
    registry.import_versions(admin, "late", [arrived], origin="elsewhere")
    registry.import_versions(admin, "late", [arrived], origin="elsewhere")
    found = registry.version("default", "late", 7)
    assert (found.serving, dict(found.tags)) == (AS_SERVED, {"team": "ops"})
    record = {"model": "late", "number": 3, "tags": {REPORT_TAG: DIGEST, "team": "ops"}}
    assert REPORT_TAG not in registry.register_archive(admin, "late", record=record, origin="file").tags


def test_the_newest_report_is_kept_with_the_version(
    joined: Joined, admin: Actor, records: Records, viewer: Actor
) -> None:
    assert joined.registry.keep_report(admin, "late", 1, "b" * 64).tags[REPORT_TAG] == "b" * 64
    count = len(actions(records))
    joined.registry.keep_report(admin, "late", 1, "b" * 64)
    assert len(actions(records)) == count
    for wrong, error in (("c", InvalidInput), ("d" * 64, NotAllowed)):
        with pytest.raises(error):
            joined.registry.keep_report(admin if error is InvalidInput else viewer, "late", 1, wrong)


def test_what_cannot_be_read_is_no_setting() -> None:
    for text in ("", "{", "[]", '{"threads":"2"}', '{"threads":65}', '{"threads":2.5}', "\ud800"):
        with pytest.raises(BailiwickError):
            decode_setting(text)
        assert setting_of({"k": text}, "k") == AS_SERVED
    assert decode_setting('{"threads":2,"added_later":1}') == ServingSetting(2)
    assert setting_words(FAST) == "2 threads a run, runs of at most 64 rows, best with 3 workers"
    assert setting_words(AS_SERVED) == ""
