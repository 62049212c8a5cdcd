"""An endpoint's policy by hand: shown, changed in parts or whole, and refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bailiwick.endpoints.log import PredictionLog
from bailiwick.store.delta import DeltaTables
from tests_support.command import Command, Populated


def test_an_endpoints_policy_is_shown_and_changed_in_parts(
    command: Command, populated: Populated, tmp_path: Path
) -> None:
    def policy(*words: object) -> Any:
        return command("--home", populated.home, "endpoints", "policy", "late", *words)

    assert "the split alone decides" in policy().out
    after = policy(
        *("--shadow", "flights:1=25", "--fallback", "previous", "--fallback-answer", "probability=0.2", "--quota", 10),
        *("--quota-by", "header:x-client", "--override-header", "x-variant", "--reason", "careful", "--json"),
    ).json
    (shadow,) = after["policy"]["shadows"]
    assert (shadow["share"], shadow["variant"]["version"]) == (2_500, 1)
    assert [bool(each["answer"]) for each in after["policy"]["fallbacks"]] == [False, True]
    assert after["policy"]["quota"] == {"per_second": 10.0, "burst": 10, "by": "header:x-client"}
    assert policy("--clear", "quota", "--slow-ms", 50).code == 0
    said = policy().out
    for word in ("flights", "on copies of 25 % of the units", "previous", "probability 0.2", "slow_ms", "x-variant"):
        assert word in said
    assert "quota" not in said
    kept = policy("--json").json
    (tmp_path / "policy.json").write_text(json.dumps({**kept, "shadows": [], "breaker": {"percent": 20}}))
    whole = policy("--file", tmp_path / "policy.json", "--json").json["policy"]
    assert "shadows" not in whole
    assert whole["breaker"]["percent"] == 20


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--shadow", "flights"), 2, "MODEL:VERSION"),
        (("--shadow", "flights:1=much"), 2, "no percentage"),
        (("--shadow", "flights:1=250"), 2, "250 percent"),
        (("--file", "nowhere.json"), 2, "nowhere.json cannot be read: No such file or directory."),
        (("--shadow", "flights:99"), 3, "99"),
        (("--fallback-answer", "probability"), 2, "OUTPUT=VALUE"),
        (("--fallback-answer", "probabilty=0.2"), 2, "values for probabilty; the outputs are: probability (FP"),
        (("--fallback-answer", "probability=low"), 2, "flights version"),
        (("--fallback-answer", "probability=true"), 2, "Output probability is FP"),
        (("--burst", "3"), 2, "--quota"),
        (("--clear", "shadow"), 2, "shadows"),
        (("--file", "missing.json"), 2, "cannot be read"),
        (("--quota", "1", "--quota-by", "colour"), 2, "'address'"),
        (("--slow-ms", "-1"), 2, "slow_ms"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_in_words(
    command: Command, populated: Populated, words: tuple[str, ...], code: int, said: str
) -> None:
    found = command("--home", populated.home, "endpoints", "policy", "late", *words)
    assert (found.code, said in found.err) == (code, True), found.err


def test_shadows_are_shown_beside_answers(command: Command, populated: Populated) -> None:
    assert "No shadow has run here yet" in command("--home", populated.home, "endpoints", "shadows", "late").out
    assert command("--home", populated.home, "endpoints", "shadows", "none").code == 3
    log = PredictionLog(DeltaTables(str(Path(populated.home) / "tables")), "default")
    answered = log.predictions("late").filter(pc.field("status") == 200).slice(0, 50)
    assert answered.num_rows == 50
    place = answered.column_names.index("version")
    log.append_shadows("late", answered.set_column(place, "version", pa.array([7] * 50, pa.int32())))
    said = command("--home", populated.home, "endpoints", "shadows", "late").out
    assert "7" in said
    (found,) = command("--home", populated.home, "endpoints", "shadows", "late", "--json").json
    assert (found["version"], found["largest_difference"]) == (7, 0.0)
