"""A prediction made weeks ago, looked up and explained by the version that made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bailiwick.composing.model import read_declaration
from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.data.schema.inference import infer_schema
from bailiwick.data.schema.personal import mark_personal
from bailiwick.data.schema.text import schema_text
from bailiwick.data.statistics import compute_statistics
from bailiwick.endpoints.model import Fallback, OutputValue, Policy
from bailiwick.endpoints.past import Sought
from bailiwick.endpoints.recording import Recording
from bailiwick.lifecycle.composing.story import compose
from bailiwick.lifecycle.explaining.counterfactuals import changed
from bailiwick.lifecycle.explaining.distance import Distance
from bailiwick.lifecycle.explaining.model import Asked, Constraints, Explanation
from bailiwick.lifecycle.explaining.story import explain, list_predictions, recall
from bailiwick.lifecycle.explaining.subject import Column, GraphSubject
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.rules import register_rules
from bailiwick.lifecycle.scoring import score
from bailiwick.rules.signature import Declared
from bailiwick.server.asgi import create_app
from bailiwick.serving.models import ModelSet
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtimes.opening import opener
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.tensors import TensorSpec
from tests_support.composed import logistic, register
from tests_support.control import local
from tests_support.decisions import discount, encoded, scoring
from tests_support.explained import ADMIN, BOOSTED, Served
from tests_support.fraud_project import CODE, rows
from tests_support.serving import Serving


@pytest.fixture(scope="module")
def boosted(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("boosted"), BOOSTED, sqlite_template)
    yield made
    made.close()


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("linear"), CODE, sqlite_template)
    yield made
    made.close()


def test_a_prediction_is_found_weeks_later_with_version_lineage_and_approvals(boosted: Served) -> None:
    answered = boosted.answer("old", 1.5, "CH")
    boosted.clock.advance(60 * 86_400_000)
    found = recall(boosted.platform, ADMIN, "old:0")
    assert found.prediction.inputs == {"amount": 1.5, "country": "CH"}
    assert found.prediction.outputs == {"probability": pytest.approx(answered)}
    assert found.version is not None
    assert (found.version.number, found.version.snapshot) == (1, boosted.version.snapshot)
    assert found.lineage is not None
    assert {"snapshot", "run"} <= {node["id"].partition("/")[0] for node in found.lineage.nodes}
    assert [each.target for each in found.approvals] == ["production"]
    listed = list_predictions(boosted.platform, ADMIN, Sought(model="fraud"), endpoint="fraud")
    assert "old:0" in {each.id for each in listed.items}


def test_shap_values_of_trees_are_exact_and_sum_to_the_log_odds_of_the_answer(boosted: Served) -> None:
    answered = boosted.answer("exact", 0.8, "CH")
    made = explain(boosted.platform, ADMIN, "exact:0", Asked(kinds=("shap",)))
    shap = made.shap
    assert shap is not None
    assert (shap.method, shap.space, shap.background) == ("trees", "log_odds", 100)
    total = shap.base + sum(each.value for each in shap.contributions)
    assert total == pytest.approx(shap.reached, abs=1e-9)
    assert 1 / (1 + np.exp(-shap.reached)) == pytest.approx(answered, abs=1e-5)
    assert made.output == pytest.approx(made.recorded or 0.0, abs=1e-6)
    assert {each.columns for each in shap.contributions} == {("amount",), ("country",)}
    assert shap.contributions[0].columns == ("amount",)


def test_the_same_is_not_computed_twice_and_other_settings_are(boosted: Served) -> None:
    boosted.answer("twice", 0.1, "AT")
    first = explain(boosted.platform, ADMIN, "twice:0", Asked(kinds=("shap",)))
    boosted.clock.advance(1_000)
    assert explain(boosted.platform, ADMIN, "twice:0", Asked(kinds=("shap",))) == first
    other = explain(boosted.platform, ADMIN, "twice:0", Asked(kinds=("shap",), background=10))
    assert other.made > first.made


def test_the_nearest_training_rows_are_those_that_a_search_of_all_finds(boosted: Served) -> None:
    boosted.answer("near", 0.5, "BE")
    made = explain(boosted.platform, ADMIN, "near:0", Asked(kinds=("neighbours",), neighbours=4))
    near = made.neighbours
    assert near is not None
    assert near.searched == 2_000
    table = boosted.platform.data.read("default", near.snapshot, ["amount", "country", "bad"])
    amounts = table["amount"].to_numpy()
    span = np.subtract(*np.percentile(amounts.astype(np.float32).astype(np.float64), [99, 1]))
    far = (np.minimum(np.abs(amounts.astype(np.float32) - 0.5) / span, 1) + (table["country"].to_numpy() != "BE")) / 2
    assert [each.distance for each in near.items] == pytest.approx(sorted(far)[:4], abs=1e-6)
    best = int(np.argmin(far))
    assert near.items[0].row["amount"] == pytest.approx(amounts[best], abs=1e-6)
    assert near.items[0].label == table["bad"][best].as_py()
    assert near.items[0].output == pytest.approx(score(boosted.package, table.slice(best, 1))[0], abs=1e-6)


def counterfactual(served: Served, request_id: str, constraints: Constraints, **asked: Any) -> Explanation:
    wanted = Asked(kinds=("counterfactuals",), constraints=constraints, **asked)
    return explain(served.platform, ADMIN, request_id, wanted)


def test_counterfactuals_change_the_outcome_as_the_model_itself_answers(boosted: Served) -> None:
    answered = boosted.answer("flip", 1.2, "CH")
    assert answered > 0.5
    told = counterfactual(boosted, "flip:0", Constraints()).counterfactuals
    assert told is not None
    assert told.items
    subject = GraphSubject(boosted.package, "", -1)
    row = {"amount": np.array([1.2]), "country": np.array(["CH"], dtype=object)}
    for one in told.items:
        after = changed(row, [{each.column: each.after for each in one.changes}])
        assert float(subject.score(after)[0]) == pytest.approx(one.output, abs=1e-7)
        assert one.output < 0.5
        for needless in one.changes if len(one.changes) > 1 else ():
            less = changed(row, [{each.column: each.after for each in one.changes if each is not needless}])
            assert float(subject.score(less)[0]) >= 0.5
    assert len(told.items[0].changes) == 1
    assert [len(one.changes) for one in told.items] == sorted(len(one.changes) for one in told.items)


def test_constraints_hold_in_every_counterfactual(boosted: Served) -> None:
    boosted.answer("held", 1.2, "CH")
    bounds = Constraints(immutable=("country",), ranges={"amount": (-0.7, 5.0)}, steps={"amount": 0.25})
    told = counterfactual(boosted, "held:0", bounds).counterfactuals
    assert told is not None
    for one in told.items:
        (change,) = one.changes
        assert change.column == "amount"
        value = float(change.after)  # type: ignore[arg-type]
        assert -0.7 <= value <= 5.0
        assert (value - 1.2000000476837158) / 0.25 == pytest.approx(
            round((value - 1.2000000476837158) / 0.25), abs=1e-5
        )
    none = counterfactual(boosted, "held:0", Constraints(immutable=("country",), directions={"amount": "up"}))
    assert none.counterfactuals is not None
    assert none.counterfactuals.items == []
    assert "no proof" in none.counterfactuals.note
    still = counterfactual(boosted, "held:0", Constraints(immutable=("country", "amount"))).counterfactuals
    assert still is not None
    assert still.note == "The constraints leave nothing to change."


def test_a_model_that_is_no_trees_is_sampled_with_its_error(linear: Served) -> None:
    linear.answer("plain", 0.4, "CH")
    shap = explain(linear.platform, ADMIN, "plain:0", Asked(kinds=("shap",), permutations=200)).shap
    assert shap is not None
    assert shap.method == "permutations"
    assert "not one ensemble of trees" in shap.note
    assert shap.base + sum(each.value for each in shap.contributions) == pytest.approx(shap.reached, abs=1e-6)
    assert all(each.error > 0 for each in shap.contributions)


def test_rules_and_compositions_are_explained_through_what_serves_them(
    platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    register_rules(platform, admin, "rules", encoded(scoring()), declared=Declared({"x": "FP32"}))
    register(platform, admin, "up", logistic(1.0))
    declared = {"model": "both", "steps": {"r": "rules@1", "u": "up@1"}, "combine": {"average": ["r", "u"]}}
    compose(platform, admin, read_declaration(declared))
    serving = Serving(tmp_path / "serve")
    serving.follower._models = ModelSet(serving.follower._fetch, opener(PythonModels.of(platform.settings)))
    for name in ("rules", "both"):
        package = platform.registry.version("default", name, 1).package
        serving.store(platform.blobs.get(package))
        platform.endpoints.deploy(admin, name, model=name, version=1, package=package)
    serving.follower.install(platform.endpoints.route_table("default"), patience_seconds=30)
    for name in ("rules", "both"):
        for place in range(12):
            inputs = [
                {
                    "name": spec.name,
                    "datatype": spec.datatype,
                    "shape": [1],
                    "data": [place] if spec.name == "x" else ["AA"],
                }
                for spec in serving.handler.find(name).binder.specs
            ]
            assert serving.infer({"id": f"{name}-{place}", "inputs": inputs}, f"/v2/models/{name}/infer")[0] == 200
    Shipper(serving.home / "spool", platform.logs.of("default"), platform.pseudonyms).ship()
    for name in ("rules", "both"):
        made = explain(platform, admin, f"{name}-11:0", Asked(kinds=("shap", "counterfactuals")))
        assert made.shap is not None
        assert made.shap.method == "permutations"
        assert made.shap.base + sum(each.value for each in made.shap.contributions) == pytest.approx(made.output)
        assert made.counterfactuals is not None
    serving.spool.close()


def test_what_a_constant_answered_is_shown_as_that_and_has_no_explanation(
    platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    register_rules(platform, admin, "rules", encoded(discount()))
    package = platform.registry.version("default", "rules", 1).package
    answer = (OutputValue("tier", "none"), OutputValue("discount", 0.0))
    platform.endpoints.deploy(admin, "rules", model="rules", version=1, package=package)
    platform.endpoints.set_policy(
        admin, "rules", Policy(fallbacks=(Fallback(answer=answer),)), reason="some hit no rule"
    )
    serving = Serving(tmp_path / "serve")
    serving.follower._models = ModelSet(serving.follower._fetch, opener(PythonModels.of(platform.settings)))
    serving.store(platform.blobs.get(package))
    serving.follower.install(platform.endpoints.route_table("default"), patience_seconds=30)
    values = {"amount": 1.0, "country": "AT"}  # no rule is for amounts of 10 and less
    inputs = [{"name": name, "shape": [1], "data": [value]} for name, value in values.items()]
    for tensor, datatype in zip(inputs, ("FP64", "BYTES"), strict=True):
        tensor["datatype"] = datatype
    assert serving.infer({"id": "lost", "inputs": inputs}, "/v2/models/rules/infer")[0] == 200
    Shipper(serving.home / "spool", platform.logs.of("default"), platform.pseudonyms).ship()
    serving.spool.close()
    assert recall(platform, admin, "lost:0").version is None
    with pytest.raises(InvalidInput, match="no version answered it, but a constant of the policy of 'rules'"):
        explain(platform, admin, "lost:0")
    with local(create_app(platform)) as client:
        for page in ("/predictions", "/predictions/lost:0"):
            shown = client.get(page).text
            assert "/models//" not in shown
            assert "a constant" in shown


def test_missing_values_are_explained_too(boosted: Served) -> None:
    boosted.answer("missing", None, "CH")
    made = explain(boosted.platform, ADMIN, "missing:0")
    assert made.shap is not None
    assert made.shap.contributions[0].given in {(None,), ("CH",)}
    assert made.neighbours is not None
    assert made.counterfactuals is not None


def test_inputs_that_were_not_kept_cannot_be_explained(boosted: Served) -> None:
    boosted.platform.endpoints.set_recording(ADMIN, "fraud", Recording(omitted=("amount",)))
    try:
        boosted.answer("withheld", 2.5, "CH")
    finally:
        boosted.platform.endpoints.set_recording(ADMIN, "fraud", Recording())
    with pytest.raises(InvalidInput, match="did not keep amount"):
        explain(boosted.platform, ADMIN, "withheld:0")


def test_what_cannot_be_asked_is_said(boosted: Served, viewer: Actor) -> None:
    boosted.answer("asked", 0.1, "AT")
    platform = boosted.platform
    with pytest.raises(NotAllowed):
        explain(platform, viewer, "asked:0")
    with pytest.raises(NotFound, match="no prediction 'gone:0'"):
        recall(platform, ADMIN, "gone:0")
    with pytest.raises(InvalidInput, match="shap"):
        explain(platform, ADMIN, "asked:0", Asked(kinds=("lime",)))
    with pytest.raises(InvalidInput, match="background is 0"):
        explain(platform, ADMIN, "asked:0", Asked(background=0))
    with pytest.raises(InvalidInput, match="amount"):
        counterfactual(boosted, "asked:0", Constraints(immutable=("amout",)))
    with pytest.raises(InvalidInput, match="Output to explain"):
        explain(platform, ADMIN, "asked:0", Asked(output="label"))


def test_distance_is_zero_for_the_same_row_and_at_most_one() -> None:
    number = Column("x", TensorSpec("x", "FP32", (-1, 1)), 0)
    text = Column("c", TensorSpec("c", "BYTES", (-1, 1)), 0)
    sample = {"x": np.arange(101.0), "c": np.array(["a"] * 101, dtype=object)}
    rows = {"x": np.array([10.0, 1e9, np.nan]), "c": np.array(["a", "b", "a"], dtype=object)}
    row = {"x": np.array([10.0]), "c": np.array(["a"], dtype=object)}
    assert Distance((number, text), sample).between(row, rows).tolist() == [0.0, 1.0, 0.5]
    missing = {"x": np.array([np.nan]), "c": np.array(["a"], dtype=object)}
    assert Distance((number, text), sample).between(missing, rows).tolist() == [0.5, 1.0, 0.0]


def test_an_explanation_that_takes_too_long_is_ended(boosted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    boosted.answer("slow", 0.3, "BE")
    monkeypatch.setattr("bailiwick.lifecycle.explaining.apart._STARTING_SECONDS", -29.95)
    with pytest.raises(LimitExceeded, match="was ended"):
        explain(boosted.platform, ADMIN, "slow:0", Asked(kinds=("shap",)))
    monkeypatch.undo()
    assert explain(boosted.platform, ADMIN, "slow:0", Asked(kinds=("shap",))).shap is not None


def test_an_explanation_cannot_take_more_memory_than_it_may(boosted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    boosted.answer("large", 0.3, "BE")
    monkeypatch.setattr("bailiwick.lifecycle.explaining.apart.MEMORY_BYTES", 1 << 20)
    with pytest.raises((LimitExceeded, InvalidInput)):
        explain(boosted.platform, ADMIN, "large:0", Asked(kinds=("shap",)))


def test_what_a_schema_marks_as_personal_is_hashed_without_being_asked_for(platform: Platform, admin: Actor) -> None:
    table = rows(days=1)
    schema = infer_schema(compute_statistics(table))
    mark_personal(schema, "country", kind="origin")
    snapshot = platform.data.ingest(admin, "people", table, source="here", schema=schema_text(schema).encode())
    package = platform.blobs.put(b"package")
    platform.registry.register(
        admin,
        "people",
        package=package,
        run_id="",
        snapshot=snapshot.id,
        signature={},
        metrics={},
        slices={},
        parity={},
        environment={},
        code_version="",
        parameters={},
    )
    made = platform.endpoints.deploy(admin, "people", model="people", version=1, package=package)
    assert made.recording.personal == ("country",)
    assert [made.recording.treatment(name) for name in ("country", "amount")] == ["hash", "keep"]
