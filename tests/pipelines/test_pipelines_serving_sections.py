"""What the project file says of its endpoint: read strictly, each mistake at its line, the same when written out."""

from __future__ import annotations

import json

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.pipelines.project import parse_project
from bailiwick.pipelines.serving_sections import Deploy

HEAD = """\
project: small
data: {source: data.csv, time: at, label: {column: y}}
features: {x: number}
train: {entrypoint: "model:fit"}
"""
WHOLE = f"""{HEAD}
deploy:
  endpoint: late
  policy:
    override: {{header: x-bailiwick-variant, parameter: variant}}
    shadows: [{{model: other, version: 2, share: 0.25}}]
    fallbacks:
      - previous: true
      - {{model: rules, version: 1}}
      - answer: {{probability: 0.15}}
    breaker: {{percent: 30, window: 20s}}
    slow: 200ms
    queue: 64
    deadline: 250ms
    quota: {{per_second: 50, by: "header:x-client"}}
    priority_header: x-priority
  recording: {{share: 0.1, omit: [remarks], hash: [tail_number], when_full: drop}}
  promises: {{availability: 0.995, latency: 20ms}}
"""


def _deploy(said: str) -> Deploy:
    return parse_project(f"{HEAD}deploy: {{endpoint: late, {said}}}\n").deploy


def test_all_that_can_be_said_is_read_and_means_the_same_when_written_out() -> None:
    project = parse_project(WHOLE)
    assert parse_project(json.dumps(project.document())) == project
    deploy = project.deploy
    assert deploy.policy is not None
    assert deploy.policy.breaker is not None
    assert deploy.recording is not None
    assert deploy.promises is not None
    assert (deploy.policy.slow_ms, deploy.policy.deadline_ms, deploy.policy.breaker.window_ms) == (200, 250, 20_000)
    assert [each.previous for each in deploy.policy.fallbacks] == [True, False, False]
    recording = deploy.recording.recording()
    assert (recording.share, recording.omitted, recording.hashed) == (1_000, ("remarks",), ("tail_number",))
    assert recording.when_full == "drop"
    assert deploy.promises.latency_ms == 20


def test_what_is_left_out_is_not_said_and_spoils_no_digest() -> None:
    project = parse_project(f"{HEAD}deploy: {{endpoint: small}}\n")
    assert (project.deploy.policy, project.deploy.recording, project.deploy.promises) == (None, None, None)
    assert set(project.document()["deploy"]) == {"endpoint", "strategy"}
    assert project.digest == parse_project(HEAD).digest
    assert _deploy("policy: {}").policy is not None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("policy: {override: {header: X-A}}", "deploy.policy.override.header header 'X-A' cannot be used"),
        ("policy: {priority_header: cookie}", "deploy.policy.priority_header header 'cookie' cannot be used"),
        ("policy: {shadow: []}", "deploy.policy.shadow is not a known key"),
        ("policy: {shadows: [{model: a}]}", "deploy.policy.shadows[0].version is missing"),
        ("policy: {shadows: [{model: a, version: 1, share: 25}]}", "share is 25; it must be at most 1"),
        ("policy: {shadows: [{model: a, version: 1}, {model: a, version: 1}]}", "a version 1 as a shadow twice"),
        ("policy: {fallbacks: [{model: a}]}", "deploy.policy.fallbacks[0] needs `model` and `version` together"),
        ("policy: {fallbacks: [{previous: true, answer: {p: 1}}]}", "must be exactly one of {previous: true}"),
        ("policy: {fallbacks: [{}]}", "must be exactly one of {previous: true}"),
        ("policy: {fallbacks: [{answer: {p: [1]}}]}", "fallbacks[0].answer.p [1] must be one value"),
        ("policy: {fallbacks: [" + "{previous: true}, " * 5 + "]}", "must have at most 4 items, and has 5"),
        ("policy: {breaker: {window: 1500ms}}", "deploy.policy.breaker.window '1500ms' must be whole seconds"),
        ("policy: {slow: 20}", "deploy.policy.slow 20 is not a duration"),
        ("policy: {quota: {per_second: 5, by: ip}}", "deploy.policy.quota.by A quota by 'ip' is not known"),
        ("policy: {quota: {burst: 5}}", "deploy.policy.quota.per_second is missing"),
        ("recording: {share: 10}", "deploy.recording.share is 10; it must be at most 1"),
        ("recording: {omit: [a], hash: [a]}", "deploy.recording Column 'a' cannot be left out and be kept"),
        ("recording: {personal: forget}", "deploy.recording.personal 'forget' is not known; choose one of: hash"),
        ("promises: {availability: 99.9}", "deploy.promises.availability is 99.9; it must be below 1"),
        ("promises: {latency: 30ms}", "deploy.promises.latency '30ms' is not where a class of counted latencies ends"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_cure(said: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _deploy(said)
    assert str(caught.value).startswith("bailiwick.yaml:5: deploy.")
    assert told in str(caught.value)
