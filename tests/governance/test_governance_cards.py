"""A card shows what was measured and what was said, tells them apart, and lets nobody add markup."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.canonical import sha256_hex
from bailiwick.governance.cards import QUESTIONS, Statement, build_card
from bailiwick.governance.model import ApprovalRequest, Decision
from bailiwick.registry.lineage import version_lineage
from bailiwick.registry.model import ModelVersion

VERSION = ModelVersion(
    workspace="default",
    model="late",
    number=3,
    package=sha256_hex(b"package"),
    digest=sha256_hex(b"package"),
    size_bytes=1234,
    run_id="r1",
    snapshot="s1",
    signature={"inputs": [{"name": "hour", "datatype": "FP32"}]},
    metrics={"auc": 0.7123456789, "brier": math.nan},
    slices={"origin": {"JFK": {"auc": 0.6, "n": 12}}},
    parity={"passed": True, "max_error": 1e-7},
    environment={"python": "3.11.7", "packages": {"numpy": "2.3"}},
    code_version="abc123",
    parameters={"depth": 6},
    reference_profile="",
    description="",
    created=1_750_000_000_000,
    created_by="u-admin",
)
REQUEST = ApprovalRequest(
    id="q1",
    workspace="default",
    model="late",
    number=3,
    target="production",
    author="u-admin",
    evidence={"gates": True},
    status="APPROVED",
    needed=1,
    not_author=True,
    requested_by="u-admin",
    created=1_750_000_000_000,
    expires=None,
    decisions=(Decision("second", "u-second", "approve", "fine", 1_750_000_001_000),),
)


def test_a_card_holds_every_measured_fact_with_its_run() -> None:
    card = build_card(
        VERSION,
        lineage=version_lineage(VERSION, ["production"]),
        data={"rows": 327_346},
        approvals=[REQUEST],
        stated={"purpose": Statement("Warn passengers.", "Ann")},
    )
    told = {(section.title, fact.name): fact for section in card.sections for fact in section.facts}
    assert told["Metrics", "auc"].value == "0.712346"
    assert told["Metrics", "brier"].value == "undefined"
    assert told["Slices", "origin / JFK / auc"].value == "0.6"
    assert told["Training and serving agree", "passed"].value == "yes"
    assert told["Data", "snapshot"].value == "s1"
    assert told["Data", "rows"].value == "327346"
    assert told["Signature", "inputs"].value == "name: hour, datatype: FP32"
    assert told["Made with", "packages / numpy"].value == "2.3"
    assert told["Lineage", "snapshot s1"].value == "trained run r1"
    assert told["Approvals", "for production"].source == "second"
    assert {fact.source for (_, _), fact in told.items() if fact.provenance == "measured"} == {"run r1"}
    said = told["In words", QUESTIONS["purpose"]]
    assert (said.value, said.provenance, said.source) == ("Warn passengers.", "stated", "Ann")
    assert card.open_questions == ("out_of_scope", "limitations", "people", "owner")


def test_the_markdown_shows_facts_and_open_questions() -> None:
    text = build_card(VERSION, lineage={}, stated={"owner": Statement("Ann", "Ann")}).to_markdown()
    assert text.startswith("# late, version 3\n")
    assert "| auc | 0.712346 | measured: run r1 |" in text
    assert "| Who answers for it? | Ann | stated: Ann |" in text
    assert "## Not answered yet\n\n- What is it for?" in text
    assert "## Lineage" not in text


def test_a_version_without_a_run_says_who_registered_it() -> None:
    bare = ModelVersion(**{name: getattr(VERSION, name) for name in VERSION.__slots__} | {"run_id": "", "snapshot": ""})
    card = build_card(bare, lineage={})
    assert {fact.source for section in card.sections for fact in section.facts} == {"registered by u-admin"}
    assert "Data" not in {section.title for section in card.sections}


@given(st.text(max_size=60))
def test_no_statement_can_add_markup_or_rows(said: str) -> None:
    plain = build_card(VERSION, lineage={}, stated={"owner": Statement("x", "Ann")}).to_markdown()
    text = build_card(VERSION, lineage={}, stated={"owner": Statement(f"x{said}", "Ann")}).to_markdown()
    assert text.count("\n") == plain.count("\n")
    assert text.count("<") == 0
    row = next(line for line in text.split("\n") if line.startswith("| Who answers"))
    assert row.replace("\\|", "").count("|") - row.replace("\\|", "").count("\\|") == 4
