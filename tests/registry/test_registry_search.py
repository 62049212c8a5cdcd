"""Filters find what they say, on both databases alike; pages follow one another without gap or repeat."""

from __future__ import annotations

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Ordering, parse_filter, parse_ordering
from bailiwick.registry.ports import NoGate
from bailiwick.registry.search import ATTRIBUTE, ENTITIES
from bailiwick.registry.service import RegistryService
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

PROMPT = "mlflow.prompt.is_prompt"


@pytest.fixture
def registry(records: Records, admin: Actor, stranger: Actor, clock: FakeClock) -> RegistryService:
    made = RegistryService(records, NoGate())
    for number, name in enumerate(("Alpha", "alpha_2", "beta*", "beta[x]", "gamma?")):
        clock.advance(1)
        made.create_model(admin, name, tags={"team": "core" if number % 2 else "edge"})
        for _ in range(number % 3):
            clock.advance(1)
            tags = {"size": str(number)}
            made.create_version(admin, name, source=f"s3://b/{name}/m", run_id=f"r{number}", tags=tags)
    made.create_model(admin, "text", tags={PROMPT: "true"})
    made.create_version(admin, "text", source="dummy-source", tags={PROMPT: "true"})
    made.create_model(admin, "gone")
    made.delete_model(admin, "gone")
    made.create_model(stranger, "foreign")
    return made


def names(registry: RegistryService, filter_: str, *order_by: str, limit: int = 100) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = registry.search_models(
            "default",
            parse_filter(filter_, entities=ENTITIES, default=ATTRIBUTE),
            [parse_ordering(text, entities=ENTITIES, default=ATTRIBUTE) for text in order_by],
            limit=limit,
            token=token,
        )
        found += [model.name for model in page.items]
        token = page.token
        if not token:
            return found
        assert len(page.items) == limit


def versions(registry: RegistryService, filter_: str, *order_by: str, limit: int = 100) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = registry.search_versions(
            "default",
            parse_filter(filter_, entities=ENTITIES, default=ATTRIBUTE),
            [parse_ordering(text, entities=ENTITIES, default=ATTRIBUTE) for text in order_by],
            limit=limit,
            token=token,
        )
        found += [f"{version.model}/{version.number}" for version in page.items]
        token = page.token
        if not token:
            return found


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("", {"Alpha", "alpha_2", "beta*", "beta[x]", "gamma?"}),
        ("name = 'Alpha'", {"Alpha"}),
        ("attributes.name != 'Alpha'", {"alpha_2", "beta*", "beta[x]", "gamma?"}),
        ("name LIKE 'alpha%'", {"alpha_2"}),
        ("name ILIKE 'ALPHA%'", {"Alpha", "alpha_2"}),
        ("name LIKE 'beta*%'", {"beta*"}),
        ("name LIKE '%[x]'", {"beta[x]"}),
        ("name LIKE 'gamma_'", {"gamma?"}),
        ("name LIKE '%\\'", set()),
        ("name ILIKE '%\\'", set()),
        ("name IN ('Alpha', 'beta*', 'text')", {"Alpha", "beta*"}),
        ("name NOT IN ('Alpha', 'beta*')", {"alpha_2", "beta[x]", "gamma?"}),
        ("tags.team = 'core'", {"alpha_2", "beta[x]"}),
        ("tags.team != 'core'", {"Alpha", "beta*", "gamma?"}),
        ("tags.team ILIKE 'CORE' AND name LIKE 'a%'", {"alpha_2"}),
        ("tags.other != 'x'", set()),
        (f"tags.`{PROMPT}` = 'true'", {"text"}),
        (f"tag.`{PROMPT}` != 'true' AND name ILIKE 'alpha'", {"Alpha"}),
        (f"tags.`{PROMPT}` = 'false' AND tags.team = 'core'", {"alpha_2", "beta[x]"}),
    ],
)
def test_a_filter_finds_models(registry: RegistryService, filter_: str, expected: set[str]) -> None:
    found = names(registry, filter_)
    assert set(found) == expected
    for limit in (1, 2):
        assert names(registry, filter_, limit=limit) == found


@pytest.mark.parametrize("order", ["name", "name DESC", "timestamp DESC", "last_updated_timestamp ASC"])
def test_models_come_in_the_order_asked_for(registry: RegistryService, order: str) -> None:
    found = [registry.model("default", name) for name in names(registry, "", order, limit=2)]
    values = [model.name if order.startswith("name") else model.updated for model in found]
    assert values == sorted(values, reverse=order.endswith("DESC"))


def test_versions_come_last_changed_first_and_by_number(
    registry: RegistryService, admin: Actor, clock: FakeClock
) -> None:
    everything = ["gamma?/1", "beta*/2", "beta*/1", "alpha_2/1"]
    assert versions(registry, "") == versions(registry, "", limit=1) == everything
    clock.advance(1)
    registry.describe_version(admin, "alpha_2", 1, "touched")
    assert versions(registry, "")[0] == "alpha_2/1"
    assert versions(registry, "", "version_number DESC", limit=1)[0] == "beta*/2"
    assert versions(registry, "", "name DESC", limit=2) == ["gamma?/1", "beta*/2", "beta*/1", "alpha_2/1"]
    registry.delete_version(admin, "beta*", 2)
    assert versions(registry, "name = 'beta*'") == ["beta*/1"]


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("version_number > 1", {"beta*/2"}),
        ("version_number <= 1 AND name LIKE 'beta%'", {"beta*/1"}),
        ("version_number = 99999999999999999999", set()),
        ("version_number > -99999999999999999999 AND name = 'alpha_2'", {"alpha_2/1"}),
        ("version_number = '2'", {"beta*/2"}),
        ("run_id = 'r4'", {"gamma?/1"}),
        ("run_id IN ('r4', 'r1')", {"gamma?/1", "alpha_2/1"}),
        ("source_path = 's3://b/beta*/m'", {"beta*/1", "beta*/2"}),
        ("tags.size = '2'", {"beta*/1", "beta*/2"}),
        (f"tags.`{PROMPT}` = 'true'", {"text/1"}),
    ],
)
def test_a_filter_finds_versions(registry: RegistryService, filter_: str, expected: set[str]) -> None:
    assert set(versions(registry, filter_)) == expected


@pytest.mark.parametrize(
    "filter_",
    ["nothing = 'x'", "name > 'x'", "name = 5", "tags.a > 'x'", "tags.a = 5", "tags.a IN ('x')", "name IS NULL"],
)
def test_what_models_cannot_be_searched_by_is_refused(registry: RegistryService, filter_: str) -> None:
    with pytest.raises(InvalidInput):
        names(registry, filter_)


@pytest.mark.parametrize("filter_", ["version_number = 'x'", "version_number LIKE '1'", "source_path IN ('a')"])
def test_what_versions_cannot_be_searched_by_is_refused(registry: RegistryService, filter_: str) -> None:
    with pytest.raises(InvalidInput):
        versions(registry, filter_)


def test_orders_that_make_no_sense_are_refused(registry: RegistryService) -> None:
    for orders in (["nothing"], ["name", "name DESC"], ["tags.a"], ["timestamp", "last_updated_timestamp"]):
        with pytest.raises(InvalidInput):
            names(registry, "", *orders)


def test_a_token_belongs_to_its_query(registry: RegistryService) -> None:
    token = registry.search_models("default", limit=1).token
    assert registry.search_models("default", limit=9, token=token).items[0].name != "Alpha"
    with pytest.raises(InvalidInput, match="another query"):
        registry.search_models("default", (), [Ordering(ATTRIBUTE, "name", ascending=False)], limit=1, token=token)
    with pytest.raises(InvalidInput, match="page_token"):
        registry.search_models("default", token="nonsense")
