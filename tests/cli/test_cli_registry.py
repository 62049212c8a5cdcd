"""Commands of the registry: what a version is made of, what was where, who must approve, and the way back."""

from __future__ import annotations

from tests_support.command import Command, Populated


def test_a_version_is_shown_with_what_it_is_made_of(command: Command, populated: Populated) -> None:
    said = command("--home", populated.home, "models", "show", "flights", 1).out
    assert "flavours" in said
    assert "onnx" in said


def test_every_change_is_listed_with_what_was_there_before(command: Command, populated: Populated) -> None:
    home = populated.home
    assert command("--home", home, "models", "stage", "flights", 1, "Staging", "--reason", "try it").code == 0
    said = command("--home", home, "models", "history", "flights", "--changes").out
    for word in ("production", "first deployment", "version 1", "Staging", "try it"):
        assert word in said
    told = command("--home", home, "models", "history", "flights", "staging", "--changes", "--json").json
    assert told["aliases"] == []
    assert [(each["previous"], each["stage"], each["reason"]) for each in told["stages"]] == [
        ("None", "Staging", "try it")
    ]


def test_lineage_of_any_record_both_ways(command: Command, populated: Populated) -> None:
    home, snapshot = populated.home, populated.ids["snapshot"]
    forth = command("--home", home, "lineage", f"snapshot/{snapshot}", "--direction", "forward", "--json").json
    assert {"version", "deployment", "endpoint", "predictions"} <= {each["kind"] for each in forth["nodes"]}
    assert (forth["start"], forth["truncated"]) == (f"snapshot/{snapshot}", False)
    back = command("--home", home, "models", "lineage", "flights", 1, "--direction", "backward").out
    assert "ingested as" in back
    assert "data/flights-*.parquet" in back
    unknown = command("--home", home, "lineage", "version/none/1")
    assert (unknown.code, "Model 'none'" in unknown.err) == (3, True)
    assert command("--home", home, "lineage", "banana").code == 2


def test_policies_are_set_listed_and_removed(command: Command, populated: Populated) -> None:
    home = populated.home
    made = command(
        *("--home", home, "models", "policy", "flights", "--target", "champion", "--approvers", 1),
        *("--who", "ada", "--who", "grace", "--evidence", "card", "--expires", "7d", "--json"),
    ).json
    assert (made["who"], made["evidence"], made["expires_ms"]) == (["ada", "grace"], ["card"], 7 * 86_400_000)
    said = command("--home", home, "models", "policies").out
    for word in ("champion", "ada, grace", "card", "1w"):
        assert word in said
    assert command("--home", home, "models", "promote", "flights", 1, "--alias", "champion").code == 4
    assert command("--home", home, "models", "policy", "flights", "--target", "champion", "--remove").code == 0
    assert command("--home", home, "models", "promote", "flights", 1, "--alias", "champion").code == 0
    wrong = command("--home", home, "models", "policy", "flights", "--expires", "soon")
    assert wrong.code == 2
    assert "is not a duration" in wrong.err


def test_an_endpoint_goes_back_on_one_command(command: Command, populated: Populated) -> None:
    home = populated.home
    for number in (1, 2):
        package = command("--home", home, "models", "show", "flights", number, "--json").json["package"]
        assert package
    before = command("--home", home, "endpoints", "rollback", "late", "--reason", "worse")
    assert before.code == 0, before.err
    assert "Endpoint late serves flights" in before.out
    nothing = command("--home", home, "endpoints", "rollback", "late", "--reason", "worse")
    assert (nothing.code, "no earlier version" in nothing.err) == (1, True)


def test_who_deletes_a_version_is_told_where_it_goes_on_answering(command: Command, populated: Populated) -> None:
    at = ("--home", populated.home)
    (endpoint, *_) = [each for each in command(*at, "endpoints", "list", "--json").json if each["variants"]]
    variant = endpoint["variants"][0]
    said = " ".join(command(*at, "models", "delete", variant["model"], variant["version"]).out.split())
    assert f"It goes on answering at endpoint '{endpoint['name']}'" in said
