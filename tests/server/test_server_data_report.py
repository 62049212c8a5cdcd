"""The report on data: one file that needs nothing else, is whole without script, and runs nothing but its own."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.data.distributions.slices import MOST_SLICES, Dataset, Judgement, slices_of
from bailiwick.data.schema import infer_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.server.ui.data_report import Looked, data_report
from tests_support.html import Page
from tests_support.looks import CONTRAST, SCHEMES, WIDTHS, Scheme

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Sheet

HOSTILE = ["<script>window.pwned=1</script>", '"><img src=x onerror=window.pwned=1>', "</style><script>window.pwned=1//", "</script>", "{{ 7*7 }}", "--><svg onload=window.pwned=1>", "\x1b[31m\u202eevil", " "]  # fmt: skip
MOST_BYTES = 2_000_000
"""Of 500 columns in two datasets, half of them text."""


def rows(shift: float = 0.0, count: int = 400) -> pa.Table:
    random = np.random.default_rng(3)
    return pa.table(
        {
            "delay": random.normal(shift, 1, count),
            "hour": random.integers(0, 24, count),
            "carrier": random.choice(["UA", "B6", "DL"], count, p=[0.5, 0.3, 0.2]),
            "gone" if shift == 0 else "new": random.normal(size=count),
            "sparse": pa.array(random.normal(size=count), mask=random.random(count) < 0.6),
            "when": pa.array(np.arange(count) * 86_400_000, pa.timestamp("ms")),
        }
    )


def hostile() -> pa.Table:
    return pa.table(dict.fromkeys(HOSTILE, HOSTILE * 20))


def report(now: pa.Table, then: pa.Table | None = None, *, by: str = "", schema: Any = None, name: str = "now") -> str:
    baseline = Dataset("then", rows=then) if then is not None else None
    slices = slices_of(Dataset(name, rows=now), baseline, by=by, judgement=Judgement(schema))
    names = ("then", name) if then is not None else (name,)
    return data_report(Looked(names, names, slices, "Judged by rows.", "s.pbtxt" if schema else ""))


def names_in(text: str) -> list[str]:
    return re.findall(r"<h3>(.*?)</h3>", text)


def test_it_is_well_formed_and_holds_one_script_and_no_address() -> None:
    text = report(rows(2), rows(), by="carrier", schema=infer_schema(compute_statistics(rows())))
    page = Page(text)
    assert page.faults == ["a script in the page"]
    assert page.headings.count("h1") == 1
    assert len(page.ids) == len(set(page.ids))
    assert [link for link in page.links if not link.startswith("#")] == []
    outside = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "http://" not in outside
    assert "https://" not in outside
    assert "url(" not in text
    assert "@import" not in text


def test_its_policy_allows_its_own_style_and_script_by_digest_and_nothing_else() -> None:
    text = report(rows())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    said = policy[1].replace("&#39;", "'")
    for tag in ("style", "script"):
        inner = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in said
    assert said.startswith("default-src 'none';")
    assert "unsafe" not in said


def test_no_name_and_no_value_becomes_markup() -> None:
    text = report(hostile(), hostile(), by=HOSTILE[0], name="".join(HOSTILE))
    page = Page(text)
    assert page.faults == ["a script in the page"]
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert "<svg onload" not in text
    assert "&lt;script&gt;window.pwned" in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "(blank)" in names_in(text)


def test_what_moved_stands_first_and_every_order_is_written_down() -> None:
    text = report(rows(2), rows())
    assert names_in(text)[:3] == ["new", "gone", "delay"]
    ranks = [tuple(map(int, found.split())) for found in re.findall(r'data-ranks="([^"]*)"', text)]
    for places in zip(*ranks, strict=True):
        assert sorted(places) == list(range(len(ranks)))
    tags = dict(zip(names_in(text), re.findall(r'data-tags="([^"]*)"', text), strict=True))
    assert tags["delay"] == "drifted"
    assert tags["sparse"] == "missing"


def test_anomalies_slices_and_times_are_told() -> None:
    schema = infer_schema(compute_statistics(rows()))
    text = report(rows(2), rows(), by="carrier", schema=schema)
    assert "SCHEMA_NEW_COLUMN" in text
    assert [name for name in ("carrier_UA", "carrier_B6", "carrier_DL") if f"<strong>{name}</strong>" in text] == [
        "carrier_UA", "carrier_B6", "carrier_DL",
    ]  # fmt: skip
    assert "<td>1970-01-01</td>" in text


def test_at_most_so_many_slices_are_shown_those_with_the_most_rows() -> None:
    table = pa.table({"group": [f"g{place}" for place in range(40) for _ in range(place + 1)]})
    found = slices_of(Dataset("now", rows=table), by="group")
    assert [each.name for each in found[:3]] == ["", "group_g39", "group_g38"]
    assert len(found) == MOST_SLICES + 1


def test_statistics_stand_for_rows_and_keep_their_slices() -> None:
    from bailiwick.data.statistics.describing import describe
    from bailiwick.data.statistics.slicing import slices_by

    table = rows()
    listed = describe(table, slices=slices_by(table, "carrier"))
    found = slices_of(Dataset("now.pb", statistics=listed), Dataset("then", rows=rows()))
    assert [each.name for each in found] == ["", "carrier_UA", "carrier_B6", "carrier_DL"]
    assert [len(each.rows) for each in found] == [2, 1, 1, 1]
    assert next(column for column in found[0].columns if column.name == "delay").drift is not None
    with pytest.raises(InvalidInput, match="statistics and no rows"):
        slices_of(Dataset("now.pb", statistics=listed), by="carrier")


def test_five_hundred_columns_of_two_datasets_stay_a_small_file() -> None:
    random = np.random.default_rng(1)

    def wide(shift: float) -> pa.Table:
        numbers = {f"sensor_{place:03}": random.normal(shift, 1, 500) for place in range(250)}
        texts = {f"label_{place:03}": random.choice([f"value {i}" for i in range(30)], 500) for place in range(250)}
        return pa.table({**numbers, **texts})

    text = report(wide(0.5), wide(0))
    assert len(names_in(text)) == 500
    assert len(text.encode()) < MOST_BYTES


def odd(count: int) -> pa.Table:
    """A column of each kind, with what is at its edges."""
    inf = float("inf")

    def each(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array((values * count)[:count], kind)

    return pa.table(
        {
            "no number": each([float("nan")], pa.float64()),
            "infinite": each([inf, -inf], pa.float64()),
            "huge": each([1.7e308, -1.7e308], pa.float64()),
            "tiny": each([5e-324, 0.0], pa.float64()),
            "whole": each([2**63 - 1, -(2**63)], pa.int64()),
            "zero": each([-0.0], pa.float64()),
            "nothing": pa.nulls(count),
            "bytes": each([b"x\x00\xff"], pa.binary()),
            "list": each([[1, 2], None], pa.list_(pa.int64())),
            "lists": each([[["a"], []], None], pa.list_(pa.list_(pa.string()))),
            "struct": each([{"a": 1}], pa.struct([("a", pa.int64())])),
            "date": each([date(1, 1, 1)], pa.date32()),
            "time": each([-(2**62), 2**62], pa.timestamp("us")),
            "group": each(["a", "b"], pa.string()).dictionary_encode(),
            "yes": each([True], pa.bool_()),
            "blank": each(["", " \n"], pa.string()),
            "long": each(["x" * 5_000], pa.string()),
        }
    )


@pytest.mark.parametrize("by", ["", "group"])
@pytest.mark.parametrize(("now", "then"), [(10, None), (0, None), (10, 10), (0, 10), (10, 0), (1, 300)])
def test_every_kind_of_column_and_no_rows_at_all_can_be_drawn(now: int, then: int | None, by: str) -> None:
    text = report(odd(now), odd(then) if then is not None else None, by=by)
    assert Page(text).faults == ["a script in the page"]
    assert set(names_in(text)) == set(odd(0).column_names)
    told = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r">\s*(None|nan|inf)\s*<|[=\"> ]nan[<\"%]", told)


class TestInABrowser:
    """The file, opened from disk."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        schema = infer_schema(compute_statistics(rows()))
        path = tmp_path / "report.html"
        path.write_text(report(rows(2), rows(), by="carrier", schema=schema), encoding="utf-8")
        return path

    @staticmethod
    def shown(page: Sheet) -> list[str]:
        cards = page.locator("#columns").locator("xpath=../..").locator("li.column-card:visible")
        return cards.locator("h3").all_text_contents()  # inner texts are empty until the browser gets to draw a card

    def test_it_finds_narrows_and_sorts(self, browser: Browser, file: Path) -> None:
        page = browser.new_page()
        page.goto(file.as_uri())
        assert self.shown(page)[:3] == ["new", "gone", "delay"]
        page.get_by_label("Find a column").fill("SPAR")
        assert self.shown(page) == ["sparse"]
        assert page.locator("#shown").inner_text() == "1 of 7 columns"
        page.get_by_label("Find a column").fill("")
        page.get_by_label("Order").select_option(label="By name")
        assert self.shown(page) == ["carrier", "delay", "gone", "hour", "new", "sparse", "when"]
        page.get_by_label("Order").select_option(label="Most missing")
        assert self.shown(page)[:3] == ["gone", "new", "sparse"]
        page.get_by_label("Show").select_option(label="With anomalies")
        assert "hour" not in self.shown(page)
        page.close()

    @pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_nothing_leaves_it_and_nothing_complains(
        self, browser: Browser, file: Path, width: int, scheme: Scheme
    ) -> None:
        context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
        page = context.new_page()
        complaints: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        assert complaints == []
        assert asked == [file.as_uri()]
        context.close()

    def test_no_name_and_no_value_runs(self, browser: Browser, tmp_path: Path) -> None:
        path = tmp_path / "hostile.html"
        path.write_text(report(hostile(), hostile(), name=HOSTILE[0]), encoding="utf-8")
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(path.as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        page.locator(".value").first.hover()
        assert page.evaluate("window.pwned") is None
        assert HOSTILE[0] in self.shown(page)
        assert page.locator("img, iframe, object, embed").count() == 0
        assert complaints == []
        page.close()

    def test_without_script_it_is_whole(self, browser: Browser, file: Path) -> None:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(file.as_uri())
        assert len(self.shown(page)) == 7
        assert not page.get_by_label("Find a column").is_visible()
        page.get_by_text("Quantiles").first.click()
        assert page.get_by_role("table", name="Quantiles of").first.is_visible()
        context.close()

    def test_the_keyboard_suffices(self, browser: Browser, file: Path) -> None:
        page = browser.new_page()
        page.goto(file.as_uri())
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the columns"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "find"
        page.keyboard.type("delay")
        assert self.shown(page) == ["delay"]
        summary = page.locator("li.column-card:visible summary").first
        summary.focus()
        page.keyboard.press("Enter")
        assert page.locator("li.column-card:visible details").first.get_attribute("open") is not None
        page.close()

    def test_it_prints_every_column_and_no_tools(self, browser: Browser, file: Path) -> None:
        page = browser.new_page()
        page.goto(file.as_uri())
        page.emulate_media(media="print")
        assert not page.get_by_label("Find a column").is_visible()
        assert len(self.shown(page)) == 7
        assert len(page.pdf()) > 10_000
        page.close()
