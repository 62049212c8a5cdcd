"""Commands that change something: they do it, say so in a sentence or as the record, and obey permissions."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests_support.command import Command, Populated, Result
from tests_support.serving import package_bytes

ROWS = "at,x,late\n" + "".join(f"2013-01-0{day}T00:00:00,{day}.5,{day % 2}\n" for day in range(1, 8))


def _token(command: Command, home: Path, role: str) -> str:
    assert command("--home", home, "users", "create", role, "--role", role).code == 0
    return command("--home", home, "users", "token", role).out.strip()


def _package() -> bytes:
    model = onnx.load_from_string(package_bytes(1))
    known = {each.key: each.value for each in model.metadata_props}
    onnx.helper.set_model_props(model, {**known, "bailiwick.features": "f" * 64, "bailiwick.names": "[]"})
    return bytes(model.SerializeToString())


def _said(ended: Result) -> str:
    assert (ended.code, ended.err) == (0, ""), ended
    return ended.out


def _approved(command: Command, populated: Populated) -> str:
    home, request = populated.home, populated.ids["approval"]
    token = _token(command, home, "approver")
    return _said(command("--home", home, "--token", token, "models", "approve", request[-8:], "--reason", "fine"))


def test_a_second_person_approves_by_the_end_of_the_id(command: Command, populated: Populated) -> None:
    home, said = populated.home, _approved(command, populated)
    assert said == "flights version 3 for production is approved (1 of 1 approvals: approver).\n"
    assert _said(command("--home", home, "models", "promote", "flights", 3)) == "flights production is version 3.\n"
    rolled = command("--home", home, "models", "rollback", "flights", "--reason", "worse", "--json")
    assert rolled.json["number"] == 1


def test_who_approves_an_older_version_is_told_that_a_newer_one_goes_out(
    command: Command, populated: Populated, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(_package())
    made = command("--home", populated.home, "models", "register", "flights", "model.onnx", "--json").json
    assert (
        command("--home", populated.home, "models", "promote", "flights", made["number"], "--alias", "candidate").code
        == 0
    )
    said = " ".join(_approved(command, populated).split())
    assert f"Version {made['number']} was proposed since" in said
    assert "`bailiwick endpoints deploy ENDPOINT --model flights --version 3`" in said


def test_a_rejection_is_final(command: Command, populated: Populated) -> None:
    home, request = populated.home, populated.ids["approval"]
    rejected = command("--home", home, "models", "reject", request, "--reason", "too few slices", "--json")
    assert rejected.json["status"] == "REJECTED"
    again = command("--home", home, "models", "approve", request)
    assert again.code == 1
    assert "REJECTED" in again.err


def test_the_gate_keeps_an_unapproved_version_out_of_production(command: Command, populated: Populated) -> None:
    ended = command("--home", populated.home, "models", "promote", "flights", 3)
    assert ended.code == 4
    assert "flights version 3 may not become 'production'" in ended.err


def test_alarms_are_acknowledged_and_resolved(command: Command, populated: Populated) -> None:
    home, alarm = populated.home, populated.ids["alarm"]
    assert _said(command("--home", home, "monitor", "ack", alarm[-8:])) == f"Alarm {alarm[-8:]} is acknowledged.\n"
    assert command("--home", home, "monitor", "resolve", alarm, "--json").json["status"] == "RESOLVED"


def test_a_rollout_is_started_judged_and_aborted(command: Command, populated: Populated) -> None:
    home, running = populated.home, populated.ids["rollout"]
    assert command("--home", home, "rollout", "decide", running, "--act", "--json").json["status"] == "RUNNING"
    aborted = _said(command("--home", home, "rollout", "abort", running[-8:], "--reason", "enough"))
    assert aborted == "Aborted: all traffic of late is back with flights version 1.\n"
    options = ("--ramp", "10,50", "--margin", "1.5", "--min-units", "5")
    words = ("--home", home, "rollout", "start", "late", "--model", "flights", "--version", 3, *options)
    assert command(*words).code == 4  # nobody has approved it yet
    _approved(command, populated)
    begun = _said(command(*words))
    assert begun.endswith(": flights version 3 has 10 % of late.\n")
    second = command("--home", home, "rollout", "start", "late", "--model", "flights", "--version", 2)
    assert second.code == 1
    assert "under way" in second.err


def test_an_endpoint_is_deployed(command: Command, populated: Populated) -> None:
    home = populated.home
    words = ("--home", home, "endpoints", "deploy", "new", "--model", "flights", "--version", 2)
    assert _said(command(*words)) == "flights version 2 serves endpoint new.\n"
    assert command(*words, "--json").json["variants"][0]["weight"] == 10_000


def test_a_package_is_registered_and_verified_until_it_is_changed(command: Command, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(_package())
    made = command("models", "register", "fast", "model.onnx", "--metric", "roc_auc=0.7", "--json").json
    assert (made["number"], made["metrics"]) == (1, {"roc_auc": 0.7})
    assert command("models", "verify", "fast", 1).code == 0
    blob = tmp_path / ".bailiwick" / "blobs" / "sha256" / made["package"][:2] / made["package"][2:]
    blob.write_bytes(blob.read_bytes()[:-1])
    ended = command("models", "verify", "fast", 1)
    assert ended.code == 1
    assert ended.out.startswith("✗ package")
    assert [check["problem"] != "" for check in command("models", "verify", "fast", 1, "--json").json] == [True]


@pytest.mark.parametrize("content", [b"", b"no model at all", package_bytes(1), package_bytes(1)[:100]])
def test_what_is_no_package_is_not_registered(command: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    ended = command("models", "register", "fast", "model.onnx")
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert not (tmp_path / ".bailiwick").exists()


def test_a_metric_that_is_none_is_refused_before_anything_is_read(command: Command) -> None:
    ended = command("models", "register", "fast", "nowhere.onnx", "--metric", "roc_auc")
    assert (ended.code, "is not name=value" in ended.err) == (2, True)
    assert command("models", "register", "fast", "nowhere.onnx").code == 2


def test_a_proof_convinces_whoever_has_the_key_and_nobody_once_changed(
    command: Command, populated: Populated, tmp_path: Path
) -> None:
    home = populated.home
    entry = command("--home", home, "audit", "list", "--resource", "model/flights", "--json").json[0]["id"]
    _said(command("--home", home, "audit", "prove", entry[-8:], "--out", "proof.json"))
    told = command("--home", home, "audit", "prove", entry[-8:], "--out", "proof.json", "--json").json
    assert told == {"entry": entry, "file": "proof.json"}
    key = _said(command("--home", home, "audit", "key")).strip()
    assert command("--home", home, "audit", "key", "--json").json == {"key": key}
    assert _said(command("audit", "check", "proof.json", "--key", key)).startswith("The proof holds.\n")
    bundle = json.loads((tmp_path / "proof.json").read_text())
    bundle["entry"]["actor"] = "mallory"
    (tmp_path / "proof.json").write_text(json.dumps(bundle))
    changed = command("audit", "check", "proof.json", "--key", key)
    assert (changed.code, "was changed" in changed.err) == (1, True)
    (tmp_path / "proof.json").write_text("no json")
    assert command("audit", "check", "proof.json", "--key", key).code == 2


def test_every_entry_is_exported_oldest_first_without_salts(
    command: Command, populated: Populated, tmp_path: Path
) -> None:
    _said(command("--home", populated.home, "audit", "export", "--out", "journal.jsonl"))
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [entry["number"] for entry in entries] == sorted(entry["number"] for entry in entries)
    assert len(entries) > 100
    assert not any("salt" in entry for entry in entries)
    assert command("--home", populated.home, "audit", "export", "--json").json == entries
    told = command("--home", populated.home, "audit", "export", "--out", "journal.jsonl", "--json").json
    assert told == {"entries": len(entries), "file": "journal.jsonl"}


def test_tokens_are_issued_listed_and_revoked(command: Command, populated: Populated) -> None:
    home = populated.home
    token = _token(command, home, "viewer")
    assert command("--home", home, "--token", token, "models", "list").code == 0
    (listed,) = command("--home", home, "users", "tokens", "--json").json
    assert token not in json.dumps(listed)
    revoked = _said(command("--home", home, "users", "revoke", listed["id"][-8:]))
    assert revoked == f"Token {listed['id'][-8:]} of viewer is revoked.\n"
    ended = command("--home", home, "--token", token, "models", "list")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "error: The token is not valid in this workspace. Ask an administrator for a new one.\n"


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (("audit", "verify"), "journal.read"),
        (("audit", "list"), "journal.read"),
        (("audit", "export"), "journal.read"),
        (("users", "tokens"), "identities.manage"),
        (("users", "create", "x", "--role", "admin"), "identities.manage"),
        (("models", "approve", "{approval}"), "models.approve"),
        (("models", "promote", "flights", "2"), "models.write"),
        (("endpoints", "deploy", "late", "--model", "flights", "--version", "2"), "endpoints.deploy"),
        (("rollout", "abort", "{rollout}", "--reason", "x"), "endpoints.deploy"),
        (("monitor", "ack", "{alarm}"), "monitors.write"),
        (("cancel", "{waiting_run}"), "pipelines.run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_viewer_changes_nothing(command: Command, populated: Populated, words: tuple[str, ...], needs: str) -> None:
    token = _token(command, populated.home, "viewer")
    filled = [word.format(**populated.ids) for word in words]
    ended = command("--home", populated.home, "--token", token, *filled)
    assert (ended.code, ended.out) == (4, "")
    assert f"it needs the permission '{needs}'" in ended.err


def test_rows_become_a_snapshot_once(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    words = ("data", "snapshot", "rows.csv", "--dataset", "days", "--time", "at", "--json")
    first, second = command(*words).json, command(*words).json
    assert first == second
    assert first["rows"] == 7
    wrong = command("data", "snapshot", "rows.csv", "--dataset", "others", "--time", "att")
    assert (wrong.code, "Did you mean 'at'?" in wrong.err) == (2, True)


def test_data_is_held_against_its_schema(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "odd.csv").write_text(ROWS.replace(",x,", ",y,"))
    said = _said(command("data", "schema", "infer", "rows.csv", "--out", "rows.pbtxt"))
    assert said == "Wrote rows.pbtxt: review it, then keep it in git.\n"
    assert (tmp_path / "rows.pbtxt").read_text() == _said(command("data", "schema", "infer", "rows.csv"))
    inferred = command("data", "schema", "infer", "rows.csv", "--json").json
    assert all(f'name: "{each["name"]}"' in (tmp_path / "rows.pbtxt").read_text() for each in inferred["feature"])
    fits = command("data", "validate", "rows.csv", "--schema", "rows.pbtxt")
    assert (fits.code, fits.out) == (0, "No anomalies: the data fits the schema.\n")
    odd = command("data", "validate", "odd.csv", "--schema", "rows.pbtxt")
    assert odd.code == 1
    assert {"x", "y"} <= set(odd.out.split())
    assert command("data", "validate", "odd.csv", "--schema", "rows.pbtxt", "--json").code == 1


def test_a_schema_is_updated_compared_and_marked(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("carrier\nUA\nB6\n")
    (tmp_path / "odd.csv").write_text("carrier\nUA\nDL\n")
    _said(command("data", "schema", "infer", "rows.csv", "--out", "rows.pbtxt"))
    assert "fits the schema" in _said(command("data", "schema", "update", "rows.csv", "--schema", "rows.pbtxt"))
    words = ("data", "schema", "update", "odd.csv", "--schema", "rows.pbtxt", "--out", "new.pbtxt", "--json")
    changes = command(*words).json
    assert [(change["field"], change["before"], change["after"]) for change in changes] == [("value", "", "DL")]
    assert command("data", "validate", "odd.csv", "--schema", "new.pbtxt").code == 0
    assert command("data", "schema", "diff", "rows.pbtxt", "rows.pbtxt").code == 0
    differ = command("data", "schema", "diff", "rows.pbtxt", "new.pbtxt", "--json")
    assert (differ.code, differ.json) == (1, changes)
    _said(command("data", "stats", "odd.csv", "--out", "odd.tfrecord"))
    more = ("--by", "carrier", "--label", "carrier", "--correlations", "--meanings", "--out", "all.pbtxt")
    _said(command("data", "stats", "odd.csv", *more))
    assert (tmp_path / "all.pbtxt").read_text().count("datasets {") == 3
    again = command("data", "schema", "update", "odd.tfrecord", "--schema", "rows.pbtxt", "--json")
    assert again.json == changes
    failed = command("data", "validate", "odd.csv", "--schema", "new.pbtxt", "--check", "carrier <> 'DL'", "--json")
    assert (failed.code, [anomaly["kind"] for anomaly in failed.json]) == (1, ["CUSTOM_VALIDATION"])
    listed = command("data", "offending", "odd.csv", "--schema", "rows.pbtxt", "--json")
    assert (listed.code, listed.json[0]["rows"]) == (1, [{"row": 2, "carrier": "DL"}])
    assert command("data", "offending", "odd.csv", "--check", "carrier <> 'XX'").code == 0
    column = changes[0]["where"].removeprefix("domain ")
    _said(command("data", "schema", "personal", "new.pbtxt", column, "--kind", "name"))
    assert command("data", "schema", "personal", "new.pbtxt", "--json").json == {column: ["name"]}
    wrong = command("data", "schema", "personal", "new.pbtxt", "nobody")
    assert (wrong.code, "Column of the schema 'nobody' is not known" in wrong.err) == (2, True)


def test_a_run_is_cancelled(command: Command, populated: Populated) -> None:
    waiting = populated.ids["waiting_run"]
    said = _said(command("--home", populated.home, "cancel", waiting[-8:]))
    assert said.startswith(f"Run {waiting[-8:]} is cancelled.")
    again = command("--home", populated.home, "cancel", waiting)
    assert (again.code, "CANCELLED" in again.err) == (1, True)


def test_a_refused_stage_is_requested_approved_and_rolled_back(command: Command, populated: Populated) -> None:
    home = populated.home
    at = ("--home", home)
    refused = command(*at, "models", "stage", "flights", 3, "Production")
    assert refused.code == 4
    assert "flights version 3 may not become 'production'" in refused.err
    assert f"approve request {populated.ids['approval']} at http" in refused.err
    _approved(command, populated)
    assert _said(command(*at, "models", "stage", "flights", 3, "production")) == "flights version 3 is at Production.\n"
    then = command(*at, "models", "history", "flights", "Production", "--json").json
    assert [(each["kind"], each["number"]) for each in then] == [("stage", 3)]
    back = command(*at, "models", "rollback", "flights", "--stage", "production", "--reason", "worse")
    assert back.code == 1
    assert "no earlier version" in back.err


def test_asking_again_returns_the_request_that_waits(command: Command, populated: Populated) -> None:
    said = _said(command("--home", populated.home, "models", "request", "flights", 3))
    assert said == f"Request {populated.ids['approval']} for production needs 1 to approve it.\n"


def test_a_version_leaves_as_a_file_and_arrives_elsewhere(
    command: Command, populated: Populated, tmp_path: Path
) -> None:
    told = command("--home", populated.home, "models", "export", "flights", 1, "--json").json
    assert told["file"] == "flights-1.zip"
    assert [each["path"] for each in told["members"]] == [
        "package.onnx",
        "card.json",
        "lineage.json",
        "journal_proof.json",
    ]
    other = tmp_path / "other"
    made = command("--home", other, "models", "import", "flights-1.zip", "--as", "delays", "--json").json
    assert (made["model"], made["number"], made["metrics"]["roc_auc"]) == ("delays", 1, 0.71)
    again = _said(command("--home", other, "models", "import", "flights-1.zip", "--as", "delays"))
    assert again == "delays version 1 is registered.\n"
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    bad = command("--home", other, "models", "import", "bad.zip")
    assert (bad.code, "is no exported version" in bad.err) == (2, True)


def test_deleting_restoring_and_purging(command: Command, populated: Populated) -> None:
    at = ("--home", populated.home)
    assert command(*at, "models", "purge", "flights", 3, "--reason", "x").code == 1
    assert _said(command(*at, "models", "delete", "flights", 3)) == "flights version 3 is deleted.\n"
    assert _said(command(*at, "models", "restore", "flights", 3)) == "flights version 3 is back.\n"
    _said(command(*at, "models", "delete", "flights", 3, "--reason", "mistake"))
    purged = _said(command(*at, "models", "purge", "flights", 3, "--reason", "erased"))
    assert purged == "flights version 3 is purged; its number and origin are kept.\n"
    served = command(*at, "models", "delete", "flights", 1)
    assert served.code == 0
    kept = command(*at, "models", "purge", "flights", 1, "--reason", "erased")
    assert (kept.code, "in use by endpoint" in kept.err) == (1, True)
    assert _said(command(*at, "models", "delete", "flights")) == "flights and 1 versions are deleted.\n"
    assert _said(command(*at, "models", "restore", "flights")) == "flights is back with 1 versions.\n"
    assert command(*at, "audit", "verify").code == 0


def test_a_time_that_is_none_is_refused(command: Command, populated: Populated) -> None:
    ended = command("--home", populated.home, "models", "history", "flights", "--at", "yesterday")
    assert (ended.code, "is no time" in ended.err) == (2, True)
