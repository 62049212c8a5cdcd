"""What runs read and made: datasets by name and digest, models in and out, links to our own snapshots, search by them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.core.filters import Clause, parse_filter
from bailiwick.store.records import Records
from bailiwick.tracking.lineage.model import (
    CONTEXT_TAG,
    MODEL_HISTORY_TAG,
    Dataset,
    DatasetInput,
    DatasetSummary,
    Direction,
    ModelOutput,
    RunLinks,
    snapshot_words,
)
from bailiwick.tracking.lineage.selection import runs_that_read
from bailiwick.tracking.lineage.service import RunLineageService
from bailiwick.tracking.lineage.tables import datasets
from bailiwick.tracking.model import RunInput
from bailiwick.tracking.service import TrackingService
from bailiwick.tracking.tables import runs

SNAPSHOT = "0190c0de" * 4
SNAPSHOT_DIGEST = "ab12cd34" * 8


class OneSnapshot:
    """Knows one snapshot of workspace `default`."""

    def snapshots_named(self, workspace: str, words: Collection[str]) -> Mapping[str, str]:
        """By id, by digest, by its first 36 and 16."""
        forms = {SNAPSHOT, SNAPSHOT_DIGEST, SNAPSHOT_DIGEST[:36], SNAPSHOT_DIGEST[:16]}
        return {word: SNAPSHOT for word in words if word in forms and workspace == "default"}


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


@pytest.fixture
def lineage(records: Records) -> RunLineageService:
    return RunLineageService(records, OneSnapshot())


def _dataset(name: str = "flights", digest: str = "d1", source: str = "s", **more: str) -> Dataset:
    return Dataset(name=name, digest=digest, source_type="local", source=source, **more)


def _input(dataset: Dataset, **tags: str) -> DatasetInput:
    return DatasetInput(dataset, {CONTEXT_TAG if key == "context" else key: value for key, value in tags.items()})


def test_a_run_tells_what_it_read_and_made_in_order(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor
) -> None:
    run = tracking.start_run(admin, "flights").id
    first = _input(_dataset(schema="{}", profile="p"), zone="z", context="training")
    second = _input(_dataset("weather"))
    lineage.log_inputs(admin, run, datasets=[first], models=["m-2", "m-1", "m-2"])
    lineage.log_inputs(admin, run, datasets=[second, first])
    lineage.log_outputs(admin, run, [ModelOutput("m-4", 7), ModelOutput("m-3")])
    assert lineage.links("default", [run, "nobody"]) == {
        run: RunLinks(
            datasets=(first, second),
            models_read=("m-1", "m-2"),
            models_made=(ModelOutput("m-3"), ModelOutput("m-4", 7)),
        )
    }
    assert list(lineage.links("default", [run])[run].datasets[0].tags) == ["zone", CONTEXT_TAG]
    assert lineage.runs_of_model("default", "m-4") == {Direction.INPUT: [], Direction.OUTPUT: [run]}
    assert lineage.runs_of_model("default", "m-1") == {Direction.INPUT: [run], Direction.OUTPUT: []}


def test_what_was_said_first_about_a_dataset_and_an_input_stays(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor
) -> None:
    run, other = (tracking.start_run(admin, "flights").id for _ in range(2))
    said = _input(_dataset(), context="training")
    lineage.log_inputs(admin, run, datasets=[said, _input(_dataset(source="another"), context="test")])
    lineage.log_inputs(admin, run, datasets=[_input(_dataset(source="a third"), zone="x")])
    lineage.log_inputs(admin, other, datasets=[_input(_dataset(source="a fourth"), zone="y")])
    assert lineage.links("default", [run])[run].datasets == (said,)
    assert lineage.links("default", [other])[other].datasets == (_input(_dataset(), zone="y"),)


def test_experiments_have_datasets_of_their_own(
    records: Records, tracking: TrackingService, lineage: RunLineageService, admin: Actor, stranger: Actor
) -> None:
    for actor, experiment in ((admin, "a"), (admin, "b"), (stranger, "a")):
        run = tracking.start_run(actor, experiment).id
        lineage.log_inputs(actor, run, datasets=[_input(_dataset(source=experiment))])
        assert lineage.links(actor.workspace, [run])[run].datasets[0].dataset.source == experiment
    with records.read() as connection:
        assert connection.scalar(select(func.count()).select_from(datasets)) == 3
    assert lineage.links(stranger.workspace, [tracking.runs("default")[0].id]) == {}


def test_eight_threads_that_log_one_dataset_make_one(
    records: Records, tracking: TrackingService, lineage: RunLineageService, admin: Actor
) -> None:
    started = [tracking.start_run(admin, "flights").id for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda run: lineage.log_inputs(admin, run, datasets=[_input(_dataset())]), started))
    with records.read() as connection:
        assert connection.scalar(select(func.count()).select_from(datasets)) == 1
    assert len(lineage.links("default", started)) == 8


def test_an_output_said_again_has_its_last_step(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor
) -> None:
    run = tracking.start_run(admin, "flights").id
    lineage.log_outputs(admin, run, [ModelOutput("m-1", 1), ModelOutput("m-1", 2)])
    lineage.log_outputs(admin, run, [ModelOutput("m-1", 3)])
    lineage.log_outputs(admin, run, [])
    assert lineage.links("default", [run])[run].models_made == (ModelOutput("m-1", 3),)


@pytest.mark.parametrize(
    ("digest", "source"),
    [
        (SNAPSHOT, "s"),
        (SNAPSHOT_DIGEST[:36], "s"),
        ("d", json.dumps({"uri": f"bailiwick:/snapshots/{SNAPSHOT}"})),
        ("d", f"/home/tables/datasets/default/flights/{SNAPSHOT_DIGEST[:16]}"),
        ("d", f"sha256:{SNAPSHOT_DIGEST}"),
    ],
)
def test_a_dataset_that_names_a_snapshot_is_linked_to_it_both_ways(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor, digest: str, source: str
) -> None:
    run = tracking.start_run(admin, "flights").id
    lineage.log_inputs(admin, run, datasets=[_input(_dataset(digest=digest, source=source), context="test")])
    assert lineage.links("default", [run])[run].datasets[0].dataset.snapshot == SNAPSHOT
    assert tracking.run("default", run).inputs == (RunInput(SNAPSHOT, "test"),)
    assert [each.id for each in tracking.runs_of_snapshot("default", SNAPSHOT)] == [run]


def test_a_dataset_gains_the_snapshot_that_was_taken_after_it_was_logged(
    records: Records, tracking: TrackingService, admin: Actor
) -> None:
    run, other = (tracking.start_run(admin, "flights").id for _ in range(2))
    read = [_input(_dataset(digest=SNAPSHOT))]
    RunLineageService(records).log_inputs(admin, run, datasets=read)
    assert RunLineageService(records).links("default", [run])[run].datasets[0].dataset.snapshot == ""
    RunLineageService(records, OneSnapshot()).log_inputs(admin, other, datasets=read)
    assert RunLineageService(records).links("default", [run])[run].datasets[0].dataset.snapshot == SNAPSHOT
    assert tracking.run("default", other).inputs == (RunInput(SNAPSHOT, "training"),)


def test_short_digests_and_parts_of_longer_words_name_no_snapshot() -> None:
    assert snapshot_words(_dataset(digest="f0f3e026", source="s3://b/x")) == set()
    assert snapshot_words(_dataset(source="a" * 65)) == set()
    assert snapshot_words(_dataset(source=f"x{'a' * 32}")) == set()
    assert snapshot_words(_dataset(source=f"/{'a' * 32}/{'b' * 16}?v=1")) == {"a" * 32, "b" * 16}


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (_dataset(name=""), "needs a name and a digest"),
        (_dataset(digest=""), "needs a name and a digest"),
        (_dataset(name="n" * 501), "'name' exceeds the maximum length of 500 characters"),
        (_dataset(digest="n" * 37), "'digest' exceeds the maximum length of 36 characters"),
        (_dataset(source="n" * 65_536), "'source' exceeds the maximum length of 65535 characters"),
        (_dataset(schema="n" * 1_048_576), "'schema' exceeds the maximum length of 1048575 characters"),
        (_dataset(profile="n" * 16_777_216), "'profile' exceeds the maximum length of 16777215 characters"),
        (_dataset(name="\x00"), "NUL"),
    ],
)
def test_a_dataset_that_cannot_be_kept_is_refused_and_nothing_of_its_batch_is_kept(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor, dataset: Dataset, said: str
) -> None:
    run = tracking.start_run(admin, "flights").id
    with pytest.raises((InvalidInput, LimitExceeded), match=said):
        lineage.log_inputs(admin, run, datasets=[_input(_dataset()), _input(dataset)], models=["m-1"])
    assert lineage.links("default", [run]) == {}


def test_limits_of_tags_models_and_batches(tracking: TrackingService, lineage: RunLineageService, admin: Actor) -> None:
    run = tracking.start_run(admin, "flights").id
    with pytest.raises(LimitExceeded, match="'key' exceeds the maximum length of 255"):
        lineage.log_inputs(admin, run, datasets=[DatasetInput(_dataset(), {"k" * 256: "v"})])
    with pytest.raises(LimitExceeded, match="'value' exceeds the maximum length of 500"):
        lineage.log_inputs(admin, run, datasets=[DatasetInput(_dataset(), {"k": "v" * 501})])
    with pytest.raises(LimitExceeded, match="At most 1000 datasets"):
        lineage.log_inputs(admin, run, datasets=[_input(_dataset(f"n{place}")) for place in range(1_001)])
    with pytest.raises(LimitExceeded, match="At most 1000 models"):
        lineage.log_outputs(admin, run, [ModelOutput(f"m-{place}") for place in range(1_001)])
    with pytest.raises(InvalidInput, match="needs its id"):
        lineage.log_inputs(admin, run, models=[""])
    with pytest.raises(InvalidInput, match="does not fit 64 bits"):
        lineage.log_outputs(admin, run, [ModelOutput("m-1", 2**63)])
    longest = DatasetInput(
        _dataset("🜁" * 500, "🜁" * 36, "s" * 65_535, schema="s" * 1_048_575, profile="p" * 100),
        {"k" * 255: "v" * 500, CONTEXT_TAG: "🜁" * 500},
    )
    lineage.log_inputs(admin, run, datasets=[longest, *(_input(_dataset(f"n{place}")) for place in range(999))])
    links = lineage.links("default", [run])[run]
    assert (len(links.datasets), links.datasets[0]) == (1_000, longest)


def test_only_active_runs_of_ones_own_are_written_to(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor, viewer: Actor, stranger: Actor
) -> None:
    run = tracking.start_run(admin, "flights").id
    with pytest.raises(NotFound, match="nobody"):
        lineage.log_inputs(admin, "nobody", datasets=[_input(_dataset())])
    with pytest.raises(NotFound, match=run):
        lineage.log_outputs(stranger, run, [ModelOutput("m-1")])
    with pytest.raises(NotAllowed):
        lineage.log_inputs(viewer, run)
    with pytest.raises(NotAllowed):
        lineage.log_outputs(viewer, run, [])
    with pytest.raises(NotAllowed):
        lineage.record_model_file(viewer, run, {})
    tracking.delete_run(admin, run)
    with pytest.raises(Conflict, match="deleted"):
        lineage.log_inputs(admin, run)


def test_models_among_a_runs_files_are_listed_in_a_tag(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor
) -> None:
    run = tracking.start_run(admin, "flights", tags={MODEL_HISTORY_TAG: "not a list"}).id
    for path in ("a", "b", "b"):
        lineage.record_model_file(admin, run, {"artifact_path": path, "run_id": run})
    listed = json.loads(tracking.run("default", run).tags[MODEL_HISTORY_TAG])
    assert listed == [{"artifact_path": "a", "run_id": run}, {"artifact_path": "b", "run_id": run}]
    with pytest.raises(LimitExceeded, match="1000000 characters"):
        lineage.record_model_file(admin, run, {"artifact_path": "x" * 1_000_000})


def test_datasets_of_experiments_are_listed_once_per_context(
    tracking: TrackingService, lineage: RunLineageService, admin: Actor, stranger: Actor
) -> None:
    first, second = (tracking.start_run(admin, "a") for _ in range(2))
    third = tracking.start_run(admin, "b")
    lineage.log_inputs(admin, first.id, datasets=[_input(_dataset(), context="train"), _input(_dataset("other"))])
    lineage.log_inputs(admin, second.id, datasets=[_input(_dataset(), context="train"), _input(_dataset("x"))])
    lineage.log_inputs(admin, third.id, datasets=[_input(_dataset(), context="test")])
    experiment = first.experiment_id
    assert lineage.datasets("default", [experiment]) == [
        DatasetSummary(experiment, "flights", "d1", "train"),
        DatasetSummary(experiment, "other", "d1", None),
        DatasetSummary(experiment, "x", "d1", None),
    ]
    assert len(lineage.datasets("default", [experiment, third.experiment_id])) == 4
    assert lineage.datasets(stranger.workspace, [experiment]) == []
    assert lineage.datasets("default", []) == []


words = st.sampled_from(["a", "b", "Ab", "a_b"])
read = st.lists(st.tuples(words, words, st.none() | words), max_size=3)
clause = st.builds(
    Clause,
    st.just("datasets"),
    st.sampled_from(["name", "digest", "context"]),
    st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
    words | st.sampled_from(["a%", "%B", "_"]),
) | st.builds(
    Clause,
    st.just("datasets"),
    st.sampled_from(["name", "digest", "context"]),
    st.sampled_from(["IN", "NOT IN"]),
    st.lists(words, min_size=1, max_size=2).map(tuple),
)


def _meets(inputs: list[tuple[str, str, str | None]], asked: Clause) -> bool:
    place = ("name", "digest", "context").index(asked.key)
    seen: dict[tuple[str, str], tuple[str, str, str | None]] = {}
    for each in inputs:
        seen.setdefault(each[:2], each)
    texts = [each[place] for each in seen.values() if each[place] is not None]
    return any(_compare(str(text), asked) for text in texts)


def _compare(text: str, asked: Clause) -> bool:
    import re

    value = asked.value
    if isinstance(value, tuple):
        return (text in value) == (asked.comparator == "IN")
    assert isinstance(value, str)
    if "LIKE" in asked.comparator:
        pattern = "".join({"%": ".*", "_": "."}.get(letter, letter) for letter in value)
        return re.fullmatch(pattern, text, re.IGNORECASE if asked.comparator == "ILIKE" else 0) is not None
    return (text == value) == (asked.comparator == "=")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(read, max_size=4), st.lists(clause, max_size=2))
def test_runs_are_chosen_as_looking_at_each_ones_inputs_would(
    records: Records, admin: Actor, given_inputs: list[list[tuple[str, str, str | None]]], asked: list[Clause]
) -> None:
    tracking, lineage = TrackingService(records), RunLineageService(records)
    experiment = tracking.start_run(admin, f"e{len(tracking.experiments('default'))}").experiment_id
    name = tracking.experiment("default", experiment).name
    made = {}
    for inputs in given_inputs:
        run = tracking.start_run(admin, name).id
        made[run] = inputs
        logged = [
            DatasetInput(_dataset(f"{title}", digest), {} if context is None else {CONTEXT_TAG: context})
            for title, digest, context in inputs
        ]
        lineage.log_inputs(admin, run, datasets=logged)
    with records.read() as connection:
        condition = runs_that_read("default", asked, connection.dialect.name)
        query = select(runs.c.id).where(runs.c.experiment_id == experiment, condition)
        found = set(connection.scalars(query)) & made.keys()
    assert found == {run for run, inputs in made.items() if all(_meets(inputs, each) for each in asked)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dataset.context = 'validation'", [0]),
        ("datasets.context LIKE 'valid%'", [0]),
        (f"dataset.name = '{SNAPSHOT}'", [0]),
        (f"dataset.digest IN ('{SNAPSHOT}')", [0, 1]),
        ("dataset.name != 'flights'", [0]),
        ("dataset.context = 'training'", [1]),
    ],
)
def test_a_snapshot_that_nobody_described_is_found_by_its_id_and_role(
    records: Records,
    tracking: TrackingService,
    lineage: RunLineageService,
    admin: Actor,
    text: str,
    found: list[int],
) -> None:
    plain = tracking.start_run(admin, "flights", inputs=[RunInput(SNAPSHOT, "validation")]).id
    described = tracking.start_run(admin, "flights").id
    lineage.log_inputs(admin, described, datasets=[_input(_dataset(digest=SNAPSHOT), context="training")])
    tracking.start_run(admin, "flights")
    clauses = parse_filter(text, entities={"dataset": "dataset", "datasets": "dataset"}, default="attribute")
    with records.read() as connection:
        query = select(runs.c.id).where(runs_that_read("default", clauses, connection.dialect.name))
        assert set(connection.scalars(query)) == {(plain, described)[place] for place in found}


def test_a_dataset_has_no_other_keys() -> None:
    with pytest.raises(InvalidInput, match="choose one of: context, digest, name"):
        runs_that_read("default", [Clause("dataset", "profile", "=", "x")], "sqlite")
