"""Rules are versions like any other: registered once, evaluated, gated, compared, verified, exported, deployed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import CheckFailed, InvalidInput
from bailiwick.lifecycle.assessing import Labelled, assess
from bailiwick.lifecycle.checking import held_source
from bailiwick.lifecycle.comparing import compare_versions
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.evidence import model_card
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.rules import register_rules
from bailiwick.lifecycle.scoring import Scorer
from bailiwick.lifecycle.transfer import export_version, import_version
from bailiwick.lifecycle.verification import verify_version
from bailiwick.pipelines.project import load_project
from bailiwick.rules.signature import Declared
from tests_support.decisions import discount, encoded, expressions, graph, scoring
from tests_support.serving import package_bytes


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    """400 rows, of which those far away and with AA are mostly late; a null here and there."""
    random = np.random.default_rng(3)
    x = random.uniform(0, 10, 400)
    carrier = random.choice(["AA", "UA"], 400)
    late = random.uniform(size=400) < np.where(x > 5, np.where(carrier == "AA", 0.9, 0.6), 0.1)
    rows = pa.table(
        {"x": pa.array(x, mask=random.uniform(size=400) < 0.05), "carrier": carrier, "late": late.astype(np.int64)}
    )
    pyarrow.csv.write_csv(rows, tmp_path / "rows.csv")
    return Labelled(held_source("rows.csv", tmp_path, now=0), "late", gates=("roc_auc >= 0.7",), slices=("carrier",))


def test_rules_become_a_version_with_metrics_and_gates(platform: Platform, admin: Actor, labelled: Labelled) -> None:
    made = register_rules(platform, admin, "late", encoded(scoring()), labelled=labelled, description="by hand")
    assert (made.number, made.runtime, made.description) == (1, "rules", "by hand")
    assert made.metrics["roc_auc"] > 0.7
    assert {each["value"] for each in made.slices["slices"]} == {"AA", "UA"}
    assert made.parameters["Table / r1"] == "x > 5 and carrier 'AA' → probability = 0.9"
    assert made.flavors == {"rules": ""}
    assert "1 gates passed" in made.parity["reason"]
    assert all(check.passed for check in verify_version(platform, "default", "late", 1))
    assert "probability" in str(model_card(platform, "default", "late", 1).tensors)


def test_the_same_rules_again_are_the_same_version(platform: Platform, admin: Actor) -> None:
    first = register_rules(platform, admin, "late", encoded(scoring()))
    assert register_rules(platform, admin, "late", encoded(scoring())) == first
    assert register_rules(platform, admin, "other", encoded(scoring())).digest == first.digest


def test_a_gate_that_says_no_registers_nothing(platform: Platform, admin: Actor, labelled: Labelled) -> None:
    bad = Labelled(labelled.rows, "late", gates=("roc_auc >= 0.99",))
    with pytest.raises(CheckFailed, match="gates say no"):
        register_rules(platform, admin, "late", encoded(scoring()), labelled=bad)
    assert platform.registry.models("default") == []


def test_a_champion_is_met_on_the_same_rows(platform: Platform, admin: Actor, labelled: Labelled) -> None:
    first = register_rules(platform, admin, "late", encoded(scoring()))
    platform.registry.set_alias(admin, "late", "production", first.number)
    worse = scoring()
    worse["nodes"][1]["content"]["rules"][2]["p"] = "0.55"
    against = Labelled(labelled.rows, "late", gates=("champion: log_loss non-inferior by 0.001",))
    with pytest.raises(CheckFailed, match="not within the margin"):
        register_rules(platform, admin, "late", encoded(worse), labelled=against)
    package = platform.registry.version("default", "late", 1).package
    assert "within" in assess(platform, "default", "late", package, against).gates[0]


def test_only_what_gives_a_probability_is_evaluated(platform: Platform, admin: Actor, labelled: Labelled) -> None:
    with pytest.raises(InvalidInput, match="needs an output 'probability'"):
        register_rules(platform, admin, "late", encoded(discount()), labelled=labelled)
    with pytest.raises(InvalidInput, match="Column of the labelled rows 'truth'"):
        register_rules(platform, admin, "late", encoded(scoring()), labelled=Labelled(labelled.rows, "truth"))


def test_two_versions_are_compared_rule_by_rule(platform: Platform, admin: Actor) -> None:
    register_rules(platform, admin, "price", encoded(discount()))
    changed = discount()
    changed["nodes"][1]["content"]["rules"][0]["a"] = "> 200"
    changed["nodes"][1]["content"]["rules"].append({"_id": "r3", "a": "", "c": "", "t": "'none'", "d": "0"})
    register_rules(platform, admin, "price", encoded(changed))
    found = compare_versions(platform, "default", "price", 1, 2)
    differing = {line.name: (line.left, line.right) for line in found.parameters if not line.same}
    assert set(differing) == {"Table / r1", "Table / r3", "Table / order"}
    assert differing["Table / r3"] == (None, "always → tier = 'none', discount = 0")


def test_datatypes_are_taken_over_from_a_version_beside_which_the_rules_are_to_stand(
    platform: Platform, admin: Actor
) -> None:
    facts: dict[str, dict[str, str]] = {
        name: {} for name in ("metrics", "slices", "parity", "environment", "parameters")
    }
    signature = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    digest = platform.blobs.put(package_bytes(1))
    platform.registry.register(
        admin,
        "late",
        package=digest,
        run_id="",
        snapshot="",
        signature=signature,
        code_version="",
        **facts,  # type: ignore[arg-type]
    )
    made = register_rules(platform, admin, "late", encoded(scoring()), like=("late", 1))
    assert [each["datatype"] for each in made.signature["inputs"]] == ["FP32", "BYTES"]


def test_rules_leave_and_arrive_whole(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    register_rules(platform, admin, "late", encoded(scoring()))
    export_version(platform, "default", "late", 1, tmp_path / "late.zip")
    back = import_version(platform, admin, tmp_path / "late.zip", model="again")
    assert (back.runtime, back.package) == ("rules", platform.registry.version("default", "late", 1).package)
    assert all(check.passed for check in verify_version(platform, "default", "again", 1))


def test_columns_of_a_table_are_fed_as_the_rules_take_them(platform: Platform, admin: Actor) -> None:
    tree = graph(expressions(probability="blocked ? 1 : count / 10"))
    made = register_rules(platform, admin, "m", encoded(tree), declared=Declared({"blocked": "BOOL", "count": "INT64"}))
    scorer = Scorer(platform, made.package)
    rows = pa.table({"blocked": [True, False], "count": [2, 3]})
    assert scorer.score(rows).tolist() == pytest.approx([1.0, 0.3])
    with pytest.raises(InvalidInput, match="no value"):
        scorer.score(pa.table({"blocked": [True, None], "count": [2, 3]}))
    scorer.close()


def test_models_that_a_project_declares_are_registered_with_it(platform: Platform, admin: Actor, folder: Path) -> None:
    (folder / "rules.json").write_bytes(encoded(discount()))
    (folder / "both.yaml").write_text("model: whatever\nsteps: {one: hand@1}\noutput: discount\n")
    text = (folder / "bailiwick.yaml").read_text()
    declared = "models:\n  both: {compose: both.yaml}\n  hand: {rules: rules.json, defaults: {tier: none}}\n"
    (folder / "bailiwick.yaml").write_text(f"{text}{declared}")
    for _ in range(2):
        apply_project(platform, admin, load_project(folder))
    found = {model.name: model.versions for model in platform.registry.models("default")}
    assert (found["hand"], found["both"]) == (1, 1)
    assert platform.registry.version("default", "both", 1).parts == (("hand", 1),)
    (folder / "rules.json").unlink()
    with pytest.raises(InvalidInput, match=r"models\.hand: .* cannot be read"):
        apply_project(platform, admin, load_project(folder))
    for wrong in ("{}", "{rules: a.json, compose: b.yaml}", "{compose: b.yaml, inputs: {x: FP32}}"):
        (folder / "bailiwick.yaml").write_text(f"{text}models:\n  hand: {wrong}\n")
        with pytest.raises(InvalidInput):
            load_project(folder)
