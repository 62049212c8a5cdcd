"""The page of a snapshot: what its columns hold, against another snapshot, found and sorted with and without script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bailiwick.data.schema import infer_schema, schema_text
from bailiwick.data.statistics import compute_statistics
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient
from tests_support.html import Page
from tests_support.populated import ADMIN, HOSTILE, Story

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAME = re.compile(r"<h3>(.*?)</h3>")


def names(text: str) -> list[str]:
    return NAME.findall(text)


def test_a_snapshots_columns_are_drawn_a_page_at_a_time(story: Story, populated: TestClient) -> None:
    text = populated.get(f"/data/{story.ids['wide']}").text
    assert names(text) == [f"sensor_{place:03}" for place in range(50)]
    assert "123 columns, 1 to 50 here." in text
    assert text.count('class="shape"') == 50
    later = next(link for link in Page(text).links if "from=50" in link)
    assert names(populated.get(later).text)[0] == "sensor_050"
    last = populated.get(f"/data/{story.ids['wide']}?from=999999").text
    assert len(names(last)) == 23
    assert "from=50" in last
    assert "from=150" not in last


def test_a_snapshot_beside_another_shows_what_moved_first(story: Story, populated: TestClient) -> None:
    text = populated.get(f"/data/{story.ids['wide']}?against={story.ids['wide_before']}").text
    assert set(names(text)[:3]) == {"sensor_000", "sensor_001", "sensor_002"}
    assert text.count(">Drifted<") == 3
    assert "3 moved" in text
    assert text.count('<path class="then"') == text.count('<path class="now"') == 50


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("find=SENSOR_11", [f"sensor_11{place}" for place in range(10)]),
        ("only=missing", ["empty"]),
        ("sort=missing&find=e", ["empty"]),
        ("find=nothing", []),
        ("sort=name&only=drifted", []),
        ("sort=unheard&only=of&from=-3&find=sensor_00", [f"sensor_00{place}" for place in range(10)]),
    ],
)
def test_columns_are_found_narrowed_and_sorted_by_the_address(
    story: Story, populated: TestClient, query: str, found: list[str]
) -> None:
    text = populated.get(f"/data/{story.ids['wide']}?{query}").text
    assert names(text)[: max(len(found), 1)] == found
    assert ("No column is like that" in text) is (not found)


def test_other_data_shows_what_is_new_and_gone(story: Story, populated: TestClient) -> None:
    text = populated.get(f"/data/{story.ids['wide']}?against={story.ids['snapshot']}").text
    assert "New</span>" in text
    assert (
        "Gone</span>" in populated.get(f"/data/{story.ids['wide']}?against={story.ids['snapshot']}&find=carrier").text
    )


def test_nothing_in_data_becomes_markup(story: Story, populated: TestClient) -> None:
    for against in ("", f"&against={story.ids['wide_before']}"):
        text = populated.get(f"/data/{story.ids['wide']}?find=script{against}").text
        assert names(text) == [HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")]
        assert "&lt;img src=x onerror" in text
        assert "<img src=x" not in text
        assert Page(text).faults == []


def test_a_snapshot_that_is_none_is_said_to_be_and_the_page_stays(story: Story, populated: TestClient) -> None:
    answer = populated.get(f"/data/{story.ids['wide']}?against=none")
    assert answer.status_code == 200
    assert "Snapshot &#39;none&#39;" in answer.text
    assert names(answer.text) == []


def test_anomalies_stand_beside_their_columns(platform: Platform, client: TestClient) -> None:
    usual, strange = (
        pa.table({"carrier": ["UA", "B6"] * 50}),
        pa.table({"carrier": ["UA", "XX"] * 50, "new": [1] * 100}),
    )
    schema = schema_text(infer_schema(compute_statistics(usual))).encode()
    kept = platform.data.ingest(ADMIN, "flights", strange, source="x.csv", schema=schema)
    text = client.get(f"/data/{kept.id}?sort=anomalies").text
    assert "ENUM_TYPE_UNEXPECTED_STRING_VALUES" in text
    assert "SCHEMA_NEW_COLUMN" in text
    assert names(client.get(f"/data/{kept.id}?only=anomalies&find=new").text) == ["new"]


def test_rows_without_kept_statistics_say_how_to_get_a_picture(platform: Platform, client: TestClient) -> None:
    from sqlalchemy import update

    from bailiwick.data import tables as sql

    kept = platform.data.ingest(ADMIN, "flights", pa.table({"x": [1.0]}), source="x.csv")
    with platform.database.engine.begin() as connection:
        connection.execute(update(sql.snapshots).values(statistics=""))
    text = client.get(f"/data/{kept.id}").text
    assert "bailiwick data report" in text
    assert '<th scope="row">x</th>' in text


def test_typing_finds_columns_and_keeps_the_address(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    page.goto(f"{address}/data/{story.ids['wide']}?against={story.ids['wide_before']}")
    page.evaluate("window.stayed = true")
    page.get_by_label("Find a column").fill("sensor_07")
    page.get_by_text("10 of 123 columns.").wait_for()
    assert page.get_by_role("heading", level=3).count() == 10
    page.get_by_label("Order").select_option("name")
    page.wait_for_url("**sort=name**")
    assert "find=sensor_07" in page.url
    assert "against=" in page.url
    assert page.evaluate("window.stayed") is True
    page.reload()
    assert page.get_by_role("heading", level=3).count() == 10
    page.close()


def test_choosing_another_snapshot_draws_both(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    page.goto(f"{address}/data/{story.ids['wide']}")
    page.get_by_label("Against").select_option(story.ids["wide_before"])
    page.wait_for_url("**against=**")
    assert page.locator(".shape .then").count() == 50
    page.close()


def test_the_form_works_without_script(browser: Browser, address: str, story: Story) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/data/{story.ids['wide']}")
    page.get_by_label("Find a column").fill("sensor_07")
    page.get_by_label("Against").select_option(story.ids["wide_before"])
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("heading", level=3).count() == 10
    assert page.locator(".shape .then").count() == 10
    context.close()
