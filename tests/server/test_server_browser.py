"""In a real browser: no page scrolls sideways or breaks its own policy, the keyboard suffices, themes and live parts work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from bailiwick.pipelines.model import Pipeline, Step
from bailiwick.server.ui.pages import PAGES
from bailiwick.tracking.model import MetricPoint
from tests_support.looks import CONTRAST, SCHEMES, WIDTHS, Scheme
from tests_support.populated import ADMIN, FILES, Story

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog


def paths(story: Story) -> dict[str, str]:
    """One address a page."""
    values = {
        "endpoint": "late", "rollout": story.ids["rollout"], "model": "flights", "number": 3, "snapshot": story.ids["snapshot"],
        "entry": story.platform.journal.entries("default", limit=1)[0].id,
        "prediction": f"{0:032x}:0", "webhook": story.ids["webhook"], "delivery": story.ids["delivery"],
        "experiment": story.ids["experiment"], "logged_model": story.ids["logged_model"],
    }  # fmt: skip
    found = {}
    for page in PAGES:
        run = story.ids["cached_run"] if page.path.startswith("/pipelines") else story.ids["tracked_run"]
        found[page.path.strip("/").replace("/", "-") or "overview"] = page.path.format(**values, run=run)
    parts = "&".join(f"run={story.ids[f'part_{place}']}" for place in range(3))
    found |= {
        "unexplained": f"/predictions/{0:032x}:0?explain=1",
        "sought": "/predictions?endpoint=late&status=200&unit=x",
        "compared": f"/compare?{parts}&all=1",
        "image": f"/runs/{story.ids['tracked_run']}/files?path=plots/roc%20curve.png",
        "rows": f"/runs/{story.ids['tracked_run']}/files?path=data/rows.csv",
        "opened": f"/experiments/{story.ids['experiment']}?open={story.ids['tracked_run']}",
        "wrong-filter": f"/experiments/{story.ids['experiment']}?filter=metrics.loss+%3E",
        "one-metric": f"/runs/{story.ids['tracked_run']}?metric=loss&log=1",
        "tracked-model": "/models/tracked",
        "data-compared": f"/data/{story.ids['wide']}?against={story.ids['wide_before']}",
        "data-problem": f"/data/{story.ids['wide']}?against=none",
    }
    return {**found, "missing": "/nope", "sign_in": "/sign-in"}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_scrolls_sideways_or_breaks_its_own_policy(
    browser: Browser, address: str, story: Story, width: int, scheme: Scheme
) -> None:
    folder = os.environ.get("BAILIWICK_TEST_SCREENSHOTS")
    context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for name, path in paths(story).items():
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if folder:
            page.screenshot(path=Path(folder) / f"{name}-{scheme}-{width}.png", full_page=True)
    assert [text for text in complaints if "404" not in text] == []
    context.close()


def test_text_has_enough_contrast_in_both_themes(browser: Browser, address: str, story: Story) -> None:
    for scheme in SCHEMES:
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        for path in paths(story).values():
            page.goto(address + path)
            assert page.evaluate(CONTRAST) == [], (scheme, path)
        context.close()


def test_the_first_tab_offers_to_skip_the_navigation(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.close()


def test_everything_in_reach_of_the_pointer_is_in_reach_of_the_keyboard(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/monitor/late")
    reachable = page.evaluate(
        "[...document.querySelectorAll('a[href],button,input,summary,[tabindex=\"0\"]')].filter(e => e.checkVisibility()).length"
    )
    reached = set()
    for _ in range(reachable + 10):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(() => { const e = document.activeElement; return e.outerHTML.slice(0, 200) + [...document.querySelectorAll('*')].indexOf(e) })()"
            )
        )
    assert len(reached) >= reachable
    page.close()


def test_the_chosen_theme_outlives_the_page(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(address)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(f"{address}/models")
    assert before != dark
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    context.close()


def test_pages_work_without_script(browser: Browser, address: str, story: Story) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Rollouts").click()
    page.get_by_role("link", name=story.ids["rollout"][-8:]).click()
    assert page.get_by_role("heading", level=1).inner_text() == "flights v2 against v1"
    assert page.locator("figure.chart svg[role=img]").count() >= 3
    context.close()


def test_hovering_over_a_chart_reads_out_its_values(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/monitor/late")
    hit = page.locator(".hit").nth(3)
    assert hit.locator(".readout").evaluate("e => getComputedStyle(e).opacity") == "0"
    hit.locator("rect").hover()
    page.wait_for_timeout(300)
    assert hit.locator(".readout").evaluate("e => getComputedStyle(e).opacity") == "1"
    assert "AUC" in str(hit.locator(".readout").text_content())
    page.close()


def test_a_page_follows_events_without_being_loaded_again(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    page.goto(f"{address}/pipelines")
    rows = page.locator("tbody tr").count()
    page.evaluate("window.stayed = true")
    queue_a_run(story)
    page.locator("tbody tr").nth(rows).wait_for(timeout=20_000)
    assert page.evaluate("window.stayed") is True
    page.close()


def test_the_page_of_a_run_follows_it_while_it_runs(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    page.goto(f"{address}/runs/{story.ids['tracked_run']}")
    page.evaluate("window.stayed = true")
    story.platform.tracking.log(ADMIN, story.ids["tracked_run"], metrics=[MetricPoint("late", 0.123, story.clock(), 1)])
    page.get_by_role("rowheader", name="late").wait_for(timeout=20_000)
    assert page.evaluate("window.stayed") is True
    page.close()


def test_runs_are_chosen_and_compared_by_keyboard(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    page.goto(f"{address}/experiments/{story.ids['experiment']}?parts=all")
    for name in ("trial 0", "trial 1"):
        page.get_by_role("checkbox", name=f"Compare {name}").focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="Compare the chosen runs").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?*")
    assert page.get_by_role("heading", level=1).inner_text() == "2 runs side by side"
    page.close()


def test_addresses_that_mlflows_clients_print_lead_to_our_pages(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    ids = story.ids
    for fragment, path in (
        (f"experiments/{ids['experiment']}/runs/{ids['tracked_run']}", f"/runs/{ids['tracked_run']}"),
        (f"experiments/{ids['experiment']}/runs/{ids['tracked_run']}/artifacts/plots", f"/runs/{ids['tracked_run']}"),
        (f"experiments/{ids['experiment']}", f"/experiments/{ids['experiment']}"),
        (f"workspaces/default/experiments/{ids['experiment']}?x=1", f"/experiments/{ids['experiment']}"),
        (
            f"experiments/{ids['experiment']}/models/{ids['logged_model']}",
            f"/logged-models/{ids['logged_model']}",
        ),
        ("experiments", "/experiments"),
        ("models", "/models"),
        ("models/tracked", "/models/tracked"),
        ("models/tracked/versions/2", "/models/tracked/versions/2"),
    ):
        page.goto("about:blank")
        page.goto(f"{address}/#/{fragment}")
        page.wait_for_url(f"{address}{path}")
    page.goto("about:blank")
    page.goto(f"{address}/#/nothing/we/know")
    assert page.get_by_role("heading", level=1).inner_text() == "Overview"
    page.goto("about:blank")
    page.goto(f"{address}/#//evil.example/x")
    assert page.url.startswith(address)
    page.close()


def test_columns_are_chosen_without_script(browser: Browser, address: str, story: Story) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/experiments/{story.ids['experiment']}")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="team").check()
    page.get_by_role("checkbox", name="loss").uncheck()
    page.get_by_role("button", name="Show these columns").click()
    heads = page.get_by_role("columnheader").all_inner_texts()
    assert "team" in heads
    assert "loss" not in heads
    context.close()


def test_no_file_of_a_run_is_ever_run(browser: Browser, address: str, story: Story) -> None:
    page = browser.new_page()
    spoken: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        spoken.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    for path in FILES:
        page.goto(f"{address}/runs/{story.ids['tracked_run']}/files?path={quote(path)}")
    for hostile in (f"/runs/{story.ids['hostile_run']}", f"/logged-models/{story.ids['logged_model']}", "/experiments"):
        page.goto(address + hostile)
    assert spoken == []
    page.close()


def queue_a_run(story: Story) -> None:
    """Queue one more run, as another process would."""
    pipeline = Pipeline("train-more", [Step("only", (), lambda _context: {}, version="1")])
    story.platform.pipelines.submit(ADMIN, pipeline, {})
