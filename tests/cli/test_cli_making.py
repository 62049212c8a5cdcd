"""Versions made of rules, or of other versions, from the command line."""

from __future__ import annotations

from pathlib import Path

from bailiwick.cli.optimising import picture
from bailiwick.lifecycle.optimising.model import Setting
from tests_support.command import Command
from tests_support.composed import logistic
from tests_support.decisions import discount, encoded, node, scoring


def test_rules_are_registered_with_what_they_do_not_say(command: Command, tmp_path: Path) -> None:
    (tmp_path / "price.json").write_bytes(encoded(discount()))
    made = command(
        "models", "register-rules", "price", "price.json", "--default", "tier=none", "--input", "amount=FP32"
    )
    assert made.code == 0
    assert "amount (FP32), country (BYTES)" in " ".join(made.out.split())
    shown = command("models", "show", "price", "1", "--json").json
    assert shown["parity"]["runtime"] == "rules"
    wrong = command("models", "register-rules", "price", "price.json", "--input", "amount")
    assert (wrong.code, "NAME=DATATYPE" in wrong.err) == (2, True)
    assert command("models", "register-rules", "price", "none.json").code == 2


def test_what_is_not_served_is_refused_by_name(command: Command, tmp_path: Path) -> None:
    tree = scoring()
    tree["nodes"].append(node("functionNode", "Custom", source="export const handler = () => 1"))
    (tmp_path / "bad.json").write_bytes(encoded(tree))
    refused = command("models", "register-rules", "bad", "bad.json")
    assert (refused.code, "'Custom' is a functionNode" in " ".join(refused.err.split())) == (2, True)


def test_rules_are_evaluated_on_labelled_rows(command: Command, tmp_path: Path) -> None:
    (tmp_path / "late.json").write_bytes(encoded(scoring()))
    lines = [
        "x,carrier,late",
        *(f"{number % 10},{'AA' if number % 3 else 'UA'},{int(number % 10 > 4)}" for number in range(300)),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    asked = ("models", "register-rules", "late", "late.json", "--data", "rows.csv", "--label", "late")
    assert command(*asked, "--gate", "roc_auc >= 0.999").code == 1
    assert command(*asked, "--gate", "roc_auc >= 0.7").code == 0
    assert command("models", "show", "late", "1", "--json").json["metrics"]["rows"] == 300
    assert command("models", "register-rules", "late", "late.json", "--label", "late").code == 2
    assert command("models", "register-rules", "other", "late.json", "--like", "late@1").code == 0


def test_versions_are_composed_from_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "late.json").write_bytes(encoded(scoring()))
    assert command("models", "register-rules", "rules", "late.json").code == 0
    (tmp_path / "both.yaml").write_text(
        "model: both\nsteps:\n  one: rules@1\n  two: {model: rules@1}\ncombine: {average: [one, two]}\n"
    )
    made = command("models", "compose", "both.yaml")
    assert made.code == 0, made.err
    assert "both version 1 is registered, for composition" in " ".join(made.out.split())
    assert command("models", "show", "both", "1", "--json").json["parameters"]["combine"] == "average one, two"
    (tmp_path / "bad.yaml").write_text("model: both\nsteps: {one: rules@7}\n")
    assert command("models", "compose", "bad.yaml").code == 3


def test_a_version_is_optimised_and_a_form_of_it_registered(command: Command, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(logistic(1.0))
    assert command("models", "register", "late", "model.onnx").code == 0
    lines = ["x,late", *(f"{number % 7 - 3},{int(number % 7 > 3 or number % 11 == 0)}" for number in range(400))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    asked = ("models", "optimise", "late", "--data", "rows.csv", "--label", "late", "--seconds", "0.01")
    shown = command(*asked, "--p99", "60s", "--report", "report.html")
    assert shown.code == 0, shown.err
    words = " ".join(shown.out.split())
    assert "it multiplies by no weights" in words
    assert "BAILIWICK_SERVE_WORKERS=" in words
    assert "best with" in command("models", "show", "late", "1").out
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert command(*asked, "--p99", "0.0001ms").code == 1
    assert command(*asked, "--p99", "soon").code == 2
    made = command(*asked, "--register", "graph", "--json").json
    assert made["registered"] == 2
    assert len(made["settings"]) >= 16


def test_settings_are_drawn_where_the_terminal_has_no_dots() -> None:
    settings = [Setting(1, 1, 1.0, 10.0, best=True), Setting(2, 1, 4.0, 9.0)]
    drawn = picture(settings, settings[0])
    assert len(drawn) == 15
    assert "4 ms" in drawn[-1]
    assert picture([]) == []
