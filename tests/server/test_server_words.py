"""Numbers and times as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.server.ui import links, words
from bailiwick.server.ui.deeds import deed
from bailiwick.store.journal.model import Entry

DAY = 86_400_000
NOON = 1_388_577_600_000  # 2014-01-01 12:00 UTC


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.count(1_234_567), "1,234,567"),
        (words.number(None), "—"),
        (words.number(math.nan), "—"),
        (words.number(0.25), "0.25"),
        (words.number(2.1e-7), "2.1e-07"),
        (words.number(True), "True"),
        (words.metric(0.5), "0.5000"),
        (words.metric(1.0), "1.0000"),
        (words.metric(6458.0), "6,458"),
        (words.label("cpu_utilization_percentage"), "CPU utilization percentage"),
        (words.signed(-0.0031), "−0.0031"),
        (words.change(-4000), "−4,000"),
        (words.change(0.0125), "+0.0125"),
        (words.measured(math.nan), "NaN"),
        (words.measured(-1.8e308), "−∞"),
        (words.measured(1.5e300), "∞"),
        (words.measured(0.12345), "0.1235"),
        (words.measured(2.5e12), "2.5e+12"),
        (words.measured(None), "—"),
        (words.compact(1_250), "1.2k"),
        (words.compact(3_400_000), "3.4M"),
        (words.percent(0.005), "0.5%"),
        (words.percent(1.0), "100%"),
        (words.basis_points(25), "0.25%"),
        (words.size(1_572_864), "1.5 MiB"),
        (words.duration(None), "—"),
        (words.duration(850), "850 ms"),
        (words.duration(12_400), "12.4 s"),
        (words.duration(200_000), "3 min 20 s"),
        (words.duration(7_500_000), "2 h 5 min"),
        (words.duration(3 * DAY + 4 * 3_600_000), "3 d 4 h"),
        (words.moment(NOON), "2014-01-01 12:00"),
        (words.day(NOON), "1 Jan 2014"),
        (words.span(NOON - DAY // 2, NOON + DAY // 2), "1 Jan 2014"),
        (words.span(NOON, NOON + 3_600_000), "1 Jan 2014, 12:00–13:00"),
        (words.ago(NOON - 2_000, NOON), "just now"),
        (words.ago(NOON - 300_000, NOON), "5 min ago"),
        (words.ago(NOON + 7 * DAY - 1, NOON), "in 6 d"),
        (words.ago(NOON + 40 * DAY, NOON), "10 Feb 2014"),
        (words.told("Snapshot 01a2175b896273cca5d219be1f02ab24 of d"), "Snapshot 1f02ab24 of d"),
        (words.ago(NOON - 40 * DAY, NOON), "22 Nov 2013"),
        (words.plural(1, "alarm"), "1 alarm"),
        (words.plural(2_000, "alarm"), "2,000 alarms"),
        (words.label("holdout_roc_auc"), "Holdout ROC AUC"),
        (words.label("my_metric"), "My metric"),
        (words.told("from 2014-01-24T00:00:00.000Z to 2014-01-25T06:30:00Z"), "from 2014-01-24 to 2014-01-25 06:30"),
    ],
)
def test_writing(written: str, expected: str) -> None:
    assert written == expected


@given(st.integers(-(2**62), 2**62))
def test_no_time_stops_a_page(milliseconds: int) -> None:
    assert words.moment(milliseconds)
    assert words.instant(milliseconds)
    assert words.ago(milliseconds, 0)


@given(st.floats())
def test_no_number_stops_a_page(value: float) -> None:
    assert words.number(value)
    assert words.metric(value)


@pytest.mark.parametrize(
    ("resource", "page"),
    [
        ("endpoint/late", "/endpoints/late"),
        ("version/flights/3", "/models/flights/versions/3"),
        ("pipeline_run/abc/train", "/pipelines/abc"),
        ("alias/flights/production", "/models/flights#pointing"),
        ("stage/flights/Production", "/models/flights#pointing"),
        ("logged_model/m-1", "/logged-models/m-1"),
        ("identity/ada", "/journal?resource=identity%2Fada"),
        ("model/a b<c", "/models/a%20b%3Cc"),
    ],
)
def test_a_journalled_resource_leads_to_its_page(resource: str, page: str) -> None:
    assert links.resource(resource) == page


def test_an_id_in_a_sentence_becomes_a_link_and_the_rest_is_escaped() -> None:
    rollout = "0" * 24 + "deadbeef"
    assert (
        links.linked(f"<b> rollout {rollout}: v2")
        == f'&lt;b&gt; rollout <a href="/rollouts/{rollout}">deadbeef</a>: v2'
    )


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("endpoint.deployed", "endpoint/late", ("deployed", "endpoint", "late")),
        ("endpoint.traffic_set", "endpoint/late", ("split the traffic of", "endpoint", "late")),
        ("pipeline_step.finished", "pipeline_run/0123456789/train", ("finished", "step", "train of run 23456789")),
        ("approval.requested", "version/flights/3", ("requested approval of", "model version", "flights v3")),
        ("alias.set", "alias/flights/production", ("set", "alias", "production of flights")),
    ],
)
def test_an_entry_reads_as_a_sentence(action: str, resource: str, expected: tuple[str, str, str]) -> None:
    assert deed(Entry(1, "e", "default", 0, "u", "ada", action, resource, {}, b"")) == expected
