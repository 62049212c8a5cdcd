"""How much each column matters, measured when a model is judged and told on its card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.governance.cards.cyclonedx import cyclonedx
from bailiwick.governance.cards.markdown import markdown
from bailiwick.lifecycle.evidence import model_card
from bailiwick.lifecycle.explaining import importance as module
from bailiwick.lifecycle.explaining.importance import BACKGROUND, ROWS, importance_of
from bailiwick.lifecycle.explaining.rows import rows_of_table
from bailiwick.lifecycle.explaining.shapley import of_trees
from bailiwick.lifecycle.explaining.subject import GraphSubject, trees_of
from tests_support.explained import BOOSTED, Served
from tests_support.fraud_project import CODE, rows


@pytest.fixture(scope="module")
def boosted(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("boosted"), BOOSTED, sqlite_template)
    yield made
    made.close()


def sample(count: int = 200) -> pa.Table:
    made = rows(days=1, a_day=count, seed=9).select(["amount", "country"])
    return made.set_column(0, "amount", made["amount"].cast(pa.float32()))


def test_it_is_the_mean_size_of_the_values_that_single_rows_have(boosted: Served) -> None:
    found = importance_of(boosted.package, sample())
    assert (found.rows, found.background, found.space, found.reason) == (ROWS, BACKGROUND, "log_odds", "")
    assert list(found.columns) == ["amount", "country"]
    subject = GraphSubject(boosted.package, "", -1)
    held = rows_of_table(sample(), subject.columns)
    trees = trees_of(subject, held)
    assert not isinstance(trees, str)
    order = np.random.default_rng(0).permutation(200)
    behind = {name: values[order[:BACKGROUND]] for name, values in held.items()}
    total = dict.fromkeys(found.columns, 0.0)
    for place in order[BACKGROUND : BACKGROUND + ROWS]:
        one = {name: values[place : place + 1] for name, values in held.items()}
        for each in of_trees(trees, one, behind).contributions:
            total[each.columns[0]] += abs(each.value) / ROWS
    assert found.columns == pytest.approx(total)


def test_it_takes_no_longer_than_it_may_and_says_of_how_many_rows_it_is(boosted: Served) -> None:
    assert importance_of(boosted.package, sample(), seconds=0.0).rows == 1
    assert importance_of(boosted.package, sample(40)).rows == 20
    assert importance_of(boosted.package, sample(10)).reason.startswith("there are only 10 rows")


def test_a_forest_that_could_take_too_long_is_not_begun(boosted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_STEPS", 10)
    assert "too many" in importance_of(boosted.package, sample()).reason


def test_it_is_on_the_card_with_the_step_that_measured_it(boosted: Served) -> None:
    card = model_card(boosted.platform, "default", "fraud", 1)
    section = card.section("importance")
    assert section is not None
    assert [fact.name for fact in section.facts] == ["method", "amount", "country"]
    method, amount, _ = section.facts
    assert method.value == "exact values of the trees in log-odds: 100 held-out rows, each against 50 others"
    assert isinstance(amount.value, float)
    assert {fact.source.provenance for fact in section.facts} == {"measured"}
    assert "/evaluate" in amount.source.record
    assert "How much each column matters" in markdown(card)
    assert "bailiwick:importance:amount" in str(cyclonedx(card))


def test_a_model_of_no_trees_says_why_it_has_none(tmp_path: Path, sqlite_template: Path) -> None:
    linear = Served(tmp_path, CODE, sqlite_template)
    try:
        section = model_card(linear.platform, "default", "fraud", 1).section("importance")
    finally:
        linear.close()
    assert section is not None
    (fact,) = section.facts
    assert (fact.name, fact.value) == (
        "not measured",
        "the package is not one ensemble of trees, and only of trees it is exact and cheap",
    )
