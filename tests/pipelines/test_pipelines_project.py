"""The project file: read strictly, and every mistake named with its line and its cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import BailiwickError, InvalidInput, LimitExceeded, NotFound, Unavailable
from bailiwick.pipelines.notation import Budget, Holdout, duration_text, parse_duration
from bailiwick.pipelines.project import Project, json_schema, load_project, parse_project
from bailiwick.pipelines.schema import PUBLISHED, publish_schema, schema_text
from bailiwick.pipelines.yaml_document import MAX_BYTES, read_document

ROOT = Path(__file__).parents[2]
FLIGHTS = ROOT / "examples/flights/bailiwick.yaml"

SMALL = """\
project: small
data: {source: data.csv, time: at, label: {column: y}}
features: {x: number}
train: {entrypoint: "model:fit"}
"""


def _error(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_project(text)
    return str(caught.value)


def test_the_flights_example_is_read_with_typed_values() -> None:
    project = load_project(FLIGHTS.parent)
    assert (project.name, project.project, project.deploy.endpoint) == ("flights", "flights", "late")
    assert (project.data.key, project.data.time) == ("flight_id", "scheduled_departure")
    assert (project.data.label.column, project.data.label.positive, project.data.subject) == ("late", 1, "tail_number")
    assert project.folder == FLIGHTS.parent
    assert project.train.entrypoint == "flights:fit"
    assert project.evaluate.holdout == Holdout(length_ms=7 * 86_400_000)
    assert project.monitor.window_ms == 7 * 86_400_000
    assert project.monitor.drift.false_alarms == Budget(1, 90 * 86_400_000)
    assert project.monitor.performance.outcome_delay_ms == 6 * 3_600_000
    assert project.retrain is not None
    assert project.retrain.on == ("alarm",)
    assert project.retrain.tune is False
    assert project.retrain.window_ms == 365 * 86_400_000
    assert project.deploy.strategy.canary is not None
    assert list(project.deploy.strategy.canary.ramp) == [10, 50, 100]
    assert project.govern.approvals["production"].evidence == ("gates", "card")
    assert project.govern.retention.predictions_ms == 180 * 86_400_000
    assert "late" not in project.features
    assert project.features["carrier"] == {"category": {"min_count": 50}}


@pytest.mark.parametrize(
    ("text", "holdout"),
    [
        ("newest 20%", Holdout(fraction=0.2)),
        ("newest 7d", Holdout(length_ms=604_800_000)),
        ("newest 12h", Holdout(length_ms=43_200_000)),
    ],
)
def test_a_holdout_is_a_share_or_a_length_of_time(text: str, holdout: Holdout) -> None:
    project = parse_project(f"{SMALL}\nevaluate: {{holdout: {text}}}\n")
    assert project.evaluate.holdout == holdout
    assert parse_project(str(json.dumps(project.document()))).evaluate.holdout == holdout


def test_little_needs_to_be_said() -> None:
    project = parse_project(SMALL)
    assert project.deploy.endpoint == "small"
    assert (project.data.key, project.data.subject, project.data.schema_path) == ("", "", "")
    assert (project.retrain, project.deploy.strategy.canary, project.train.tune.timeout_ms) == (None, None, None)
    assert project.evaluate.holdout.fraction == 0.2


@pytest.mark.parametrize("text", [SMALL, FLIGHTS.read_text()])
def test_the_written_out_document_means_the_same(text: str) -> None:
    project = parse_project(text)
    again = parse_project(json.dumps(project.document()))
    assert again == project
    assert again.digest == project.digest
    assert parse_project(text.replace("seed: 7", "seed: 8") + "# a comment\n").digest != project.digest or text == SMALL
    assert parse_project(text + "# a comment\n").digest == project.digest


def test_every_mistake_is_told_at_once_with_line_value_choices_and_cure() -> None:
    text = """\
project: Flights
data:
  source: x.parquet
  tme: t
  label: {column: late}
features:
  late: number
  a: {bucketize: 10, x: 1}
  a: number
train:
  entrypoint: flights.fit
  tune: {sampler: tpee, trials: "40", seed: 1.5}
evaluate: {metrics: [], holdout: 20%, slices: origin, gates: [1]}
deploy: {strategy: {canary: {ramp: [5, 5], rollback_alpha: 2}}}
monitor: {window: 1, drift: {false_alarms: often}}
retrain: {on: [alarms, cron 0 25 * * *]}
govern: {approvals: {production: {aprovers: 2}}}
foo: 1
"""
    found = _error(text).splitlines()
    assert found[0] == f"bailiwick.yaml has {len(found) - 1} problems:"
    expected = {
        "  bailiwick.yaml:1: project 'Flights' does not do: 1 to 63 of a-z 0-9 _ -",
        "  bailiwick.yaml:2: data.time is missing",
        "  bailiwick.yaml:4: data.tme is not a known key; there are: changes, checks, engine, key, label, read, schema, source, split, stakeholders, statistics, subject, time. Did you mean 'time'?",
        "  bailiwick.yaml:7: features.late column 'late' is the label, so it cannot be a feature",
        "  bailiwick.yaml:8: features.a {'bucketize': 10, 'x': 1} is not a transform",
        "  bailiwick.yaml:9: features.a 'a' is given twice; the first is on line 8",
        "  bailiwick.yaml:11: train.entrypoint 'flights.fit' does not do: `module:function`",
        "  bailiwick.yaml:12: train.tune.sampler 'tpee' is not known; choose one of: random, tpe. Did you mean 'tpe'?",
        "  bailiwick.yaml:12: train.tune.seed must be a whole number, and is 1.5",
        "  bailiwick.yaml:12: train.tune.trials must be a whole number, and is the text '40'. Remove the quotes.",
        "  bailiwick.yaml:13: evaluate.gates[0] must be text, and is 1",
        "  bailiwick.yaml:13: evaluate.holdout '20%' is not a holdout: write `newest`",
        "  bailiwick.yaml:13: evaluate.metrics must not be empty",
        "  bailiwick.yaml:13: evaluate.slices must be a list",
        "  bailiwick.yaml:14: deploy.endpoint is missing",
        "  bailiwick.yaml:14: deploy.strategy.canary.ramp [5, 5] must rise",
        "  bailiwick.yaml:14: deploy.strategy.canary.rollback_alpha is 2; it must be below 1",
        "  bailiwick.yaml:15: monitor.drift.false_alarms 'often' is not a budget",
        "  bailiwick.yaml:15: monitor.window 1 is not a duration",
        "  bailiwick.yaml:16: retrain.on[0] 'alarms' does not start a training run",
        "  bailiwick.yaml:16: retrain.on[1] Cron expression '0 25 * * *': '25' is not a hour",
        "  bailiwick.yaml:17: govern.approvals.production.aprovers is not a known key",
        "  bailiwick.yaml:18: foo is not a known key",
    }
    assert len(found) - 1 == len(expected)
    for start in expected:
        assert [line for line in found if line.startswith(start)], start


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("project: small", "project:"), "bailiwick.yaml:1: project must be text, and is empty."),
        (("{x: number}", "{}"), "features must not be empty."),
        (("{x: number}", "[x]"), "features must be a mapping of keys to values, and is a list."),
        (("{x: number}", "{x: [1]}"), "features.x [1] is not a transform"),
        (("{column: y}", "y"), "data.label must be a mapping of keys to values, and is the text 'y'."),
        (("{column: y}", "{column: y, positive: [1]}"), "data.label.positive [1] must be one value"),
        (("{column: y}", "{column: x}"), "column 'x' is the label"),
        (("time: at", "time: at, key: x"), "column 'x' is the key"),
        (("time: at", "time: !!python/name:os.system at"), "the tag 'tag:yaml.org,2002:python/name:os.system' is not"),
        (("{column: y}", "{column: y, positive: .nan}"), "data.label.positive .nan is not a number that can be used"),
        (("{column: y}", "{column: y, positive: 1" + "0" * 400 + "}"), "is not a number that can be used"),
        (("time: at", "? [a]\n  : b"), "a key must be plain text"),
        (("{x: number}", "{x: number, <<: {y: number}}"), "given"),
    ],
)
def test_a_single_mistake_is_one_line(change: tuple[str, str], message: str) -> None:
    text = SMALL.replace(*change)
    assert text != SMALL
    if message == "given":  # YAML 1.1's merge key is a plain key here
        assert parse_project(text.replace("{y: number}}", "number}")).features["<<"] == "number"
        return
    assert message in _error(text)


def test_words_that_old_yaml_took_for_booleans_are_text() -> None:
    project = parse_project(
        SMALL.replace("{x: number}", "{on: number, no: number, 1:30: number, y: log}").replace(
            "column: y", "column: off"
        )
    )
    assert list(project.features) == ["on", "no", "1:30", "y"]
    assert project.data.label.column == "off"
    assert read_document("[true, False, 1e-3, .5, 0x10, 0o17, -7, ~, null, 2020-01-01, 1234567890123456]").value == [
        True, False, 0.001, 0.5, 16, 15, -7, None, None, "2020-01-01", 1234567890123456.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping that begins with `project:`"),
        ("- a", "must be a mapping"),
        ("a: [1", "bailiwick.yaml: line 2, column 1: not YAML: while parsing a flow sequence"),
        ("a: 1\n\tb: 2", "Indent with spaces"),
        ("a: *nowhere", "undefined alias"),
        ("a: 1\n---\nb: 2", "single document"),
        ("a: \x07", "not YAML"),
    ],
)
def test_what_is_no_yaml_is_told_by_place(text: str, message: str) -> None:
    assert message in _error(text)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BOMB, id="aliases that unfold to a billion"),
        pytest.param("a: &a [*a]", id="an alias of itself"),
        pytest.param("[" * 100_000, id="deep flow"),
        pytest.param("- " * 5_000, id="deep block"),
        pytest.param("a: " + "x" * MAX_BYTES, id="a long text"),
        pytest.param("[" + "1," * 200_000 + "1]", id="many values"),
    ],
)
def test_hostile_files_meet_a_limit(text: str) -> None:
    with pytest.raises((LimitExceeded, InvalidInput)):
        parse_project(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(BailiwickError):
        parse_project(text)


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_any_damage_to_a_good_file_is_refused_or_harmless(data: st.DataObject) -> None:
    lines = FLIGHTS.read_text().splitlines(keepends=True)
    where = data.draw(st.integers(0, len(lines) - 1))
    lines[where] = data.draw(
        st.sampled_from(["", "  ", "? ", "x: 1\n", "- \n", "\t\n", lines[where] * 2, lines[where].upper()])
    )
    try:
        assert isinstance(parse_project("".join(lines)), Project)
    except InvalidInput as error:
        shown = str(error)
    else:
        shown = "bailiwick.yaml"
    assert "bailiwick.yaml" in shown


@given(st.integers(1, 10**9))
def test_durations_are_read_back_to_the_same(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["0d", "-1d", "1.5h", "1 year", "d", "1D", "", "99999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"bailiwick init"):
        load_project(tmp_path / "missing.yaml")
    with pytest.raises(NotFound):
        load_project(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"project: caf\xe9")
    with pytest.raises(InvalidInput, match=r"not UTF-8 text: byte 12 is 0xe9"):
        load_project(latin)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(LimitExceeded, match="at most"):
        load_project(huge)
    folder = tmp_path / "folder.yaml" / "bailiwick.yaml"
    folder.mkdir(parents=True)
    with pytest.raises(Unavailable, match="cannot be read"):
        load_project(folder.parent)


def test_the_published_schema_is_current(tmp_path: Path) -> None:
    assert (ROOT / PUBLISHED).read_text() == schema_text(), "run: python -m bailiwick.pipelines.schema"
    assert publish_schema(tmp_path).read_text() == schema_text()


def test_the_schema_uses_the_keys_of_the_file() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    definitions = schema["$defs"]
    assert "schema" in definitions["Data"]["properties"]
    assert "outcome_delay" in definitions["Performance"]["properties"]
    for name, definition in definitions.items():
        assert not [key for key in definition["properties"] if key.endswith("_ms")], name
    assert schema["required"] == ["project", "data", "features", "train"]
