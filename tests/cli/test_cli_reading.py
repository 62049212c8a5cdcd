"""Every command that shows something, on a home with a history: for people at 80 columns, and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests_support.command import Command, Populated, leaves

SHOWING = [
    ("models", "list"),
    ("predictions", "list"),
    ("predictions", "list", "--endpoint", "late", "--limit", "3"),
    ("predictions", "show", f"{0:032x}:0"),
    ("endpoints", "recording", "late"),
    ("models", "show", "flights"),
    ("models", "show", "flights", "1"),
    ("models", "serving", "flights", "1"),
    ("models", "lineage", "flights", "1"),
    ("lineage", "version/flights/1"),
    ("models", "policies"),
    ("models", "card", "flights", "1"),
    ("models", "statements", "flights"),
    ("models", "approvals"),
    ("models", "approvals", "--status", "pending"),
    ("models", "history", "flights"),
    ("models", "history", "flights", "production", "--at", "2014-01-20T00:00:00Z"),
    ("models", "compare", "flights", "1", "2"),
    ("models", "compare", "flights", "1", "2", "--all"),
    ("endpoints", "list"),
    ("endpoints", "show", "late"),
    ("rollout", "list"),
    ("rollout", "list", "--endpoint", "late"),
    ("rollout", "status", "{rolled_back}"),
    ("rollout", "decide", "{rollout}"),
    ("monitor", "status", "late"),
    ("monitor", "alarms"),
    ("monitor", "serving"),
    ("monitor", "serving", "late"),
    ("monitor", "alarms", "--status", "open", "--endpoint", "late"),
    ("audit", "list"),
    ("audit", "list", "--resource", "model/flights", "--limit", "5"),
    ("audit", "verify"),
    ("users", "list"),
    ("users", "tokens"),
    ("runs",),
    ("runs", "{failed_run}"),
    ("tracking", "list"),
    ("tracking", "list", "--filter", "status = 'FINISHED'", "--order-by", "run_name", "--limit", "2"),
    ("tracking", "show", "{run}"),
    ("tracking", "compare", "{run}", "{run}", "--all"),
    ("data", "snapshots"),
    ("data", "show", "{snapshot}"),
    ("data", "read", "{snapshot}", "--rows", "2"),
    ("data", "diff", "{snapshot}", "{snapshot}"),
    ("data", "inspect", "{snapshot}"),
    ("data", "skew", "{file}", "{file}", "--on", "departure"),
    ("data", "stats", "{file}"),
    ("data", "compare", "{file}", "{file}"),
    ("webhooks", "list"),
    ("webhooks", "show", "{webhook}"),
    ("workspaces", "list"),
    ("workspaces", "show", "elsewhere"),
    ("doctor",),
    ("rollout", "simulate", "--repetitions", "2", "--ratio", "2"),
]
ELSEWHERE = {
    *[(name,) for name in ("up", "control", "serve", "work", "init", "apply", "run", "track", "cancel", "demo")],
    *[("data", verb) for verb in ("validate", "check", "offending", "snapshot", "accept", "report")],
    *[("data", "schema", verb) for verb in ("infer", "update", "diff", "personal")],
    *[("data", verb) for verb in ("name", "unname", "tag", "export", "split", "delete", "restore")],
    *[
        ("models", verb)
        for verb in ("register", "verify", "state", "approve", "reject", "promote", "rollback")
    ],
    *[("models", verb) for verb in ("register-rules", "optimise", "optimised", "compose", "stage", "request", "export", "import", "delete", "restore", "purge", "package")],
    *[("webhooks", verb) for verb in ("create", "update", "delete", "test", "replay")],
    *[("workspaces", verb) for verb in ("create", "update", "delete")],
    ("import", "mlflow"),
    ("predictions", "explain"),
    ("score",),
    *[("features", verb) for verb in ("show", "try", "fit", "transform")],
    ("models", "policy"),
    *[("endpoints", verb) for verb in ("deploy", "rollback", "policy", "shadows")],
    *[("rollout", verb) for verb in ("start", "abort")],
    *[("monitor", verb) for verb in ("ack", "promise", "resolve")],
    *[("audit", verb) for verb in ("prove", "check", "key", "export")],
    *[("users", verb) for verb in ("create", "token", "revoke", "remove")],
}  # fmt: skip
"""Commands that change something, print no table, or show what is not in that home: they have tests of their own."""


PROCESSES = {(name,) for name in ("up", "control", "serve", "work", "demo")}


def test_every_command_but_those_that_stay_prints_json_on_request() -> None:
    without = {words for words, found in leaves().items() if not any("--json" in param.opts for param in found.params)}
    assert without == PROCESSES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = 200
    table = pa.table(
        {
            "hour": [float(row % 24) for row in range(rows)],
            "carrier": ["AA", "UA"] * (rows // 2),
            "a_rather_long_name_of_a_column": [None if row % 3 else "text of some length " * 3 for row in range(rows)],
            "departure": [1_357_000_000_000 + row for row in range(rows)],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def _filled(words: tuple[str, ...], template: Populated, file: Path) -> list[str]:
    return [word.format(file=file, **template.ids) for word in words]


def test_every_command_is_tried_here_or_has_a_test_of_its_own() -> None:
    shown = {leaf for leaf in leaves() if any(words[: len(leaf)] == leaf for words in SHOWING)}
    assert set(leaves()) - shown == ELSEWHERE


@pytest.mark.parametrize("words", SHOWING, ids=" ".join)
def test_it_is_readable_at_80_columns(
    command: Command, template: Populated, file: Path, words: tuple[str, ...]
) -> None:
    shown = command("--home", template.home, *_filled(words, template, file))
    assert (shown.code, shown.err) == (0, "")
    for line in shown.out.splitlines():
        assert len(line) <= 80 or line.startswith("  ") or ": " in line or words == ("doctor",), (
            line
        )  # sentences, paths
        assert line.isprintable()
        assert line == line.rstrip()
    for raw in ("{'", "<StrEnum", "None", "Struct", "object at"):
        assert raw not in shown.out


@pytest.mark.parametrize("words", SHOWING, ids=" ".join)
def test_it_is_json_on_request(command: Command, template: Populated, file: Path, words: tuple[str, ...]) -> None:
    shown = command("--home", template.home, *_filled(words, template, file), "--json")
    assert (shown.code, shown.err) == (0, "")
    assert isinstance(shown.json, list | dict)


def test_a_short_id_finds_the_record_that_a_table_shows(command: Command, template: Populated) -> None:
    whole = template.ids["rollout"]
    listed = command("--home", template.home, "rollout", "list").out
    assert whole[-8:] in listed
    assert whole not in listed
    shown = command("--home", template.home, "rollout", "status", whole[-8:])
    assert shown.out.startswith(f"Rollout {whole}: running\n")


def test_evidence_is_told_in_words(command: Command, template: Populated) -> None:
    shown = " ".join(command("--home", template.home, "rollout", "status", template.ids["rolled_back"]).out.split())
    assert "were it no worse, this would happen at most once in 100 rollouts." in shown
    assert "wrong: candidate " in shown
    assert "(rolls back at 125)" in shown


def test_alarms_stand_beside_what_was_promised(command: Command, template: Populated) -> None:
    last = command("--home", template.home, "monitor", "status", "late").out.splitlines()[-1]
    assert last.startswith("Alarms in 26 judged windows: feature drift ")
    assert "without any change at most " in last


def test_where_output_goes_to_a_file_nothing_is_wrapped(
    command: Command, template: Populated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    shown = command("--home", template.home, "runs")
    assert any(len(line) > 80 for line in shown.out.splitlines())
    assert "[" not in shown.out.replace("[0", "")  # no colours either


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("models", "show", "flihgts"), "Model 'flihgts' does not exist. Did you mean 'flights'?"),
        (("models", "show", "flights", "9"), "Model 'flights' has no version 9. There are: 3, 2, 1."),
        (("models", "card", "flights", "9"), "Model 'flights' has no version 9."),
        (("models", "verify", "flights", "9"), "Model 'flights' has no version 9."),
        (("models", "lineage", "flights", "9"), "Model 'flights' has no version 9."),
        (("models", "approve", "nope"), "Approval request 'nope' does not exist."),
        (("endpoints", "show", "lat"), "Endpoint 'lat' does not exist. Did you mean 'late'?"),
        (("endpoints", "deploy", "x", "--model", "flights", "--version", "9"), "has no version 9"),
        (("rollout", "status", "nope"), "Rollout 'nope' does not exist."),
        (("rollout", "start", "nope", "--model", "flights", "--version", "1"), "Endpoint 'nope' does not exist."),
        (("monitor", "status", "nope"), "Endpoint 'nope' does not exist."),
        (("monitor", "ack", "nope"), "Alarm 'nope' does not exist."),
        (("audit", "prove", "nope"), "Journal entry 'nope' does not exist."),
        (("users", "token", "nope"), "Identity 'nope' does not exist."),
        (("users", "revoke", "nope"), "Token 'nope' does not exist."),
        (("runs", "nope"), "Pipeline run 'nope' does not exist."),
        (("run", "--resume", "nope"), "Pipeline run 'nope' does not exist."),
        (("cancel", "nope"), "Pipeline run 'nope' does not exist."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_unknown_name_is_one_sentence_and_exit_3(
    command: Command, template: Populated, words: Any, says: str
) -> None:
    ended = command("--home", template.home, *words)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("error: ")
    assert says in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("models", "approvals", "--status", "pendin"), "Did you mean 'PENDING'?"),
        (("monitor", "alarms", "--status", "opne"), "OPEN"),
        (("models", "show", "flights", "one"), "version"),
        (("audit", "list", "--limit", "0"), "--limit"),
        (
            ("rollout", "start", "late", "--model", "flights", "--version", "1", "--ramp", "a,b"),
            "not a list of per cents",
        ),
        (("rollout", "start", "late", "--model", "flights", "--version", "1", "--ramp", "50,5"), "must rise"),
        (("users", "create", "x", "--role", "editr"), "Did you mean 'editor'?"),
        (("run", "--resume", "x", "--start", "2013-01-01"), "leave out"),
        (("run", "--resume", "x", "--force"), "leave out"),
        (("run", "--start", "yesterday"), "'yesterday' is not an ISO 8601 time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_value_that_cannot_be_used_is_named_and_exit_2(
    command: Command, template: Populated, words: Any, says: str
) -> None:
    ended = command("--home", template.home, *words)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_where_there_is_no_home_none_is_made(command: Command, tmp_path: Path) -> None:
    ended = command("models", "list")
    assert ended.code == 3
    assert ended.err.startswith(f"error: There is no Bailiwick home at {tmp_path / '.bailiwick'}.")
    assert list(tmp_path.iterdir()) == []
