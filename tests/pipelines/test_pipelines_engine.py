"""The durable engine: what is finished stays finished, whoever dies, stalls or races."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.errors import CheckFailed, Conflict, NotAllowed, NotFound, Unavailable
from bailiwick.pipelines import lease
from bailiwick.pipelines.board import MAX_LOSSES, MAX_OUTPUT_BYTES, StepBoard
from bailiwick.pipelines.engine import Engine
from bailiwick.pipelines.model import (
    JSON,
    Pipeline,
    PipelineRun,
    PipelineStep,
    RunStatus,
    Step,
    StepContext,
    StepStatus,
)
from bailiwick.pipelines.service import PipelineService
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

Outputs = Mapping[str, JSON]


@pytest.fixture
def service(records: Records) -> PipelineService:
    return PipelineService(records)


def _engine(records: Records, *pipelines: Pipeline, owner: str = "one", lease_ms: int = 30_000) -> Engine:
    return Engine(records, {pipeline.name: pipeline for pipeline in pipelines}, owner=owner, lease_ms=lease_ms)


def _chain(run: Callable[[StepContext], Outputs], *names: str, cached: bool = True) -> Pipeline:
    steps = [Step(name, names[max(0, i - 1) : i], run, "1", cached=cached) for i, name in enumerate(names)]
    return Pipeline("chain", steps)


def _statuses(run: PipelineRun) -> dict[str, str]:
    return {step.name: step.status.value for step in run.steps}


def _actions(records: Records) -> Counter[str]:
    with records.read() as connection:
        return Counter(connection.scalars(select(entries.c.action)))


def test_steps_run_in_order_and_hand_on_their_outputs(records: Records, admin: Actor, service: PipelineService) -> None:
    def add(context: StepContext) -> Outputs:
        before = sum(int(str(outputs["n"])) for outputs in context.inputs.values())
        return {"n": before + int(str(context.params["by"]))}

    diamond = Pipeline(
        "diamond",
        [
            Step("end", ("left", "right"), add, "1"),
            Step("left", ("start",), add, "1"),
            Step("right", ("start",), add, "1"),
            Step("start", (), add, "1"),
        ],
    )
    run = service.submit(admin, diamond, {"by": 2})
    assert run.status is RunStatus.PENDING
    run = _engine(records, diamond).execute(admin, run.id)
    assert run.status is RunStatus.FINISHED
    assert {step.name: step.outputs["n"] for step in run.steps} == {"start": 2, "left": 4, "right": 4, "end": 10}
    assert _actions(records) == {
        "pipeline_run.submitted": 1,
        "pipeline_step.finished": 4,
        "pipeline_run.finished": 1,
    }


def test_a_context_names_run_step_attempt_and_submitter(
    records: Records, admin: Actor, second: Actor, service: PipelineService
) -> None:
    seen: list[StepContext] = []
    pipeline = _chain(lambda context: seen.append(context) or {}, "a")  # type: ignore[func-returns-value]
    run = service.submit(second, pipeline, {})
    _engine(records, pipeline).execute(admin, run.id)
    context = seen[0]
    assert (context.run_id, context.step, context.attempt) == (run.id, "a", 1)
    assert (context.actor, context.submitted_by) == (admin, second.identity)


def test_finished_work_is_reused_by_a_later_run(records: Records, admin: Actor, service: PipelineService) -> None:
    ran: list[str] = []

    def work(context: StepContext) -> Outputs:
        ran.append(context.step)
        return {"made": context.step}

    pipeline = _chain(work, "a", "b", "c")
    engine = _engine(records, pipeline)
    first = engine.execute(admin, service.submit(admin, pipeline, {"x": 1}).id)
    again = engine.execute(admin, service.submit(admin, pipeline, {"x": 1}).id)
    other = engine.execute(admin, service.submit(admin, pipeline, {"x": 2}).id)
    assert ran == ["a", "b", "c"] * 2
    assert set(_statuses(again).values()) == {"CACHED"}
    assert {step.cached_from for step in again.steps} == {first.id}
    assert [step.outputs for step in again.steps] == [step.outputs for step in first.steps]
    assert set(_statuses(other).values()) == {"FINISHED"}


def test_a_new_version_reruns_the_step_and_only_what_its_outputs_change(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    def pipeline(version: str, value: int) -> Pipeline:
        return Pipeline(
            "p",
            [
                Step("a", (), lambda _context: {"value": value}, version),
                Step("b", ("a",), lambda context: dict(context.inputs["a"]), "1"),
            ],
        )

    for version, value, expected in [
        ("1", 1, {"a": "FINISHED", "b": "FINISHED"}),
        ("2", 1, {"a": "FINISHED", "b": "CACHED"}),
        ("3", 7, {"a": "FINISHED", "b": "FINISHED"}),
    ]:
        declared = pipeline(version, value)
        run = _engine(records, declared).execute(admin, service.submit(admin, declared, {}).id)
        assert _statuses(run) == expected


def test_a_step_sees_and_is_cached_by_only_the_parameters_it_reads(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    pipeline = Pipeline("p", [Step("a", (), lambda context: {"saw": sorted(context.params)}, "1", reads=("x", "y"))])
    engine = _engine(records, pipeline)
    first = engine.execute(admin, service.submit(admin, pipeline, {"x": 1, "secret": 1}).id)
    again = engine.execute(admin, service.submit(admin, pipeline, {"x": 1, "secret": 2}).id)
    assert first.steps[0].outputs == {"saw": ["x"]}
    assert again.steps[0].status is StepStatus.CACHED


def test_work_of_another_workspace_is_never_reused(
    records: Records, admin: Actor, stranger: Actor, service: PipelineService
) -> None:
    pipeline = _chain(lambda _context: {}, "a")
    engine = _engine(records, pipeline)
    engine.execute(admin, service.submit(admin, pipeline, {}).id)
    theirs = engine.execute(stranger, service.submit(stranger, pipeline, {}).id)
    assert _statuses(theirs) == {"a": "FINISHED"}


def test_a_failure_says_what_and_where_and_skips_what_needed_it(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    def divide(_context: StepContext) -> Outputs:
        return {"n": 1 // 0}

    pipeline = Pipeline(
        "p",
        [
            Step("a", (), lambda _context: {}, "1"),
            Step("b", ("a",), divide, "1"),
            Step("c", ("b",), lambda _context: {}, "1"),
            Step("d", ("c",), lambda _context: {}, "1"),
        ],
    )
    run = _engine(records, pipeline).execute(admin, service.submit(admin, pipeline, {}).id)
    assert run.status is RunStatus.FAILED
    assert _statuses(run) == {"a": "FINISHED", "b": "FAILED", "c": "SKIPPED", "d": "SKIPPED"}
    assert run.message.startswith("Step 'b' failed: ZeroDivisionError: integer division or modulo by zero (test_pipe")
    assert "in divide)" in run.message
    assert run.step("d").message == "It needs step 'b', which failed."


def test_resume_goes_on_at_the_failed_step_with_the_code_of_now(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    ran: list[str] = []

    def work(context: StepContext) -> Outputs:
        ran.append(context.step)
        if context.step == "b" and ran.count("b") == 1:
            raise OSError("no such file")
        return {}

    pipeline = _chain(work, "a", "b", "c", cached=False)
    engine = _engine(records, pipeline)
    failed = engine.execute(admin, service.submit(admin, pipeline, {}).id)
    assert failed.status is RunStatus.FAILED
    assert service.resume(admin, failed.id).status is RunStatus.RUNNING
    finished = engine.execute(admin, failed.id)
    assert finished.status is RunStatus.FINISHED
    assert ran == ["a", "b", "b", "c"]
    assert finished.message == ""
    with pytest.raises(Conflict, match="nothing to resume"):
        service.resume(admin, finished.id)


def test_retries_wait_longer_each_time_and_then_give_up(
    records: Records, admin: Actor, service: PipelineService, clock: FakeClock
) -> None:
    attempts: list[tuple[int, int]] = []

    def flaky(context: StepContext) -> Outputs:
        attempts.append((context.attempt, clock.now))
        raise ConnectionError("reset")

    pipeline = Pipeline("p", [Step("a", (), flaky, "1", retries=2, backoff_ms=100)])
    engine = _engine(records, pipeline)
    run = service.submit(admin, pipeline, {})
    start = clock.now
    for _ in range(40):
        engine.work_once(admin)
        clock.advance(10)
    assert [(number, moment - start) for number, moment in attempts] == [(1, 0), (2, 100), (3, 300)]
    run = service.run("default", run.id)
    assert run.status is RunStatus.FAILED
    assert _actions(records)["pipeline_step.retried"] == 2


@pytest.mark.parametrize(("error", "tried"), [(CheckFailed("gate"), 1), (Unavailable("gone"), 2), (OSError("x"), 2)])
def test_only_what_may_pass_later_is_retried(
    records: Records, admin: Actor, service: PipelineService, error: Exception, tried: int
) -> None:
    count = 0

    def failing(_context: StepContext) -> Outputs:
        nonlocal count
        count += 1
        raise error

    pipeline = Pipeline("p", [Step("a", (), failing, "1", retries=1, backoff_ms=0)])
    run = _engine(records, pipeline).execute(admin, service.submit(admin, pipeline, {}).id)
    assert (run.status, count) == (RunStatus.FAILED, tried)
    assert str(error) in run.message


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (None, "returned NoneType; it must return a mapping"),
        ({"x": float("nan")}, "no canonical JSON form"),
        ({"x": object()}, "no canonical JSON form"),
        ({"x": "y" * MAX_OUTPUT_BYTES}, "Store the data as a blob"),
    ],
)
def test_outputs_that_are_not_small_json_fail_the_step(
    records: Records, admin: Actor, service: PipelineService, outputs: Outputs, message: str
) -> None:
    pipeline = _chain(lambda _context: outputs, "a")
    run = _engine(records, pipeline).execute(admin, service.submit(admin, pipeline, {}).id)
    assert run.status is RunStatus.FAILED
    assert message in run.message


def test_cancelling_stops_the_run_and_the_running_step_cannot_commit(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    def cancel_myself(context: StepContext) -> Outputs:
        service.cancel(admin, context.run_id)
        return {"late": True}

    pipeline = _chain(cancel_myself, "a", "b")
    run = _engine(records, pipeline).execute(admin, service.submit(admin, pipeline, {}).id)
    assert run.status is RunStatus.CANCELLED
    assert _statuses(run) == {"a": "CANCELLED", "b": "CANCELLED"}
    assert run.step("a").outputs == {}
    with pytest.raises(Conflict, match="CANCELLED"):
        service.cancel(admin, run.id)
    assert _statuses(service.resume(admin, run.id)) == {"a": "PENDING", "b": "PENDING"}


def test_a_cancelled_step_is_told_at_its_next_progress(
    records: Records, admin: Actor, service: PipelineService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TICK_SECONDS", 0.01)
    stopped_early = threading.Event()

    def long(context: StepContext) -> Outputs:
        service.cancel(admin, context.run_id)
        for number in range(500):
            time.sleep(0.01)
            try:
                context.progress(number / 500, "still going")
            except Conflict:
                stopped_early.set()
                raise
        return {}

    pipeline = _chain(long, "a")
    run = _engine(records, pipeline).execute(admin, service.submit(admin, pipeline, {}).id)
    assert run.status is RunStatus.CANCELLED
    assert stopped_early.is_set()


def test_progress_reaches_the_watcher_and_the_row_without_the_journal(
    records: Records, admin: Actor, service: PipelineService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TICK_SECONDS", 0.01)
    stored: list[PipelineStep] = []

    def work(context: StepContext) -> Outputs:
        context.progress(0.5, "half way")
        for _ in range(500):
            stored[:] = [service.run("default", context.run_id).step("a")]
            if stored[0].progress:
                break
            time.sleep(0.01)
        context.progress(7.0)
        return {}

    seen: list[tuple[str, float, str]] = []
    pipeline = _chain(work, "a")
    run = service.submit(admin, pipeline, {})
    _engine(records, pipeline).execute(
        admin, run.id, progress=lambda step: seen.append((step.status.value, step.progress, step.message))
    )
    assert (stored[0].progress, stored[0].message) == (0.5, "half way")
    assert [(state, fraction) for state, fraction, _ in seen] == [
        ("RUNNING", 0.0),
        ("RUNNING", 0.5),
        ("RUNNING", 1.0),
        ("FINISHED", 1.0),
    ]
    assert sum(_actions(records).values()) == 3


def test_a_zombie_whose_lease_ran_out_cannot_commit(
    records: Records, admin: Actor, service: PipelineService, clock: FakeClock
) -> None:
    """The first engine stalls past its lease while it runs the step; a second takes the step over and finishes it."""
    ran: list[str] = []

    def stalls(context: StepContext) -> Outputs:
        ran.append(f"zombie attempt {context.attempt}")
        clock.advance(30_001)
        assert second_engine.work_once(admin)
        return {"by": "zombie"}

    def works(context: StepContext) -> Outputs:
        ran.append(f"second attempt {context.attempt}")
        return {"by": "second"}

    slow = Pipeline("p", [Step("a", (), stalls, "1"), Step("b", ("a",), lambda c: dict(c.inputs["a"]), "1")])
    fast = Pipeline("p", [Step("a", (), works, "1"), Step("b", ("a",), lambda c: dict(c.inputs["a"]), "1")])
    second_engine = _engine(records, fast, owner="two")
    run = _engine(records, slow, owner="one").execute(admin, service.submit(admin, slow, {}).id)
    assert run.status is RunStatus.FINISHED
    assert [step.outputs for step in run.steps] == [{"by": "second"}, {"by": "second"}]
    assert ran == ["zombie attempt 1", "second attempt 2"]
    assert _actions(records)["pipeline_step.finished"] == 2


def test_a_lease_is_renewed_while_the_step_runs(
    records: Records, admin: Actor, service: PipelineService, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(lease, "TICK_SECONDS", 0.005)

    def long(_context: StepContext) -> Outputs:
        for _ in range(6):
            clock.advance(20)
            time.sleep(0.1)
            StepBoard(records).reap(admin)
        return {}

    pipeline = _chain(long, "a")
    run = _engine(records, pipeline, lease_ms=30).execute(admin, service.submit(admin, pipeline, {}).id)
    assert (run.status, run.steps[0].attempt) == (RunStatus.FINISHED, 1)


def test_a_step_that_keeps_killing_its_process_fails_at_last(
    records: Records, admin: Actor, service: PipelineService, clock: FakeClock
) -> None:
    pipeline = _chain(lambda _context: {}, "a")
    run = service.submit(admin, pipeline, {})
    board = StepBoard(records)
    for _ in range(MAX_LOSSES):
        ready = board.ready("default", {"chain": pipeline.digest})
        assert ready is not None
        assert board.claim(ready, "doomed", lease_ms=10, version="1", cache_key="") is not None
        clock.advance(11)
        board.reap(admin)
    failed = service.run("default", run.id)
    assert failed.status is RunStatus.FAILED
    assert f"died or stalled {MAX_LOSSES} times" in failed.message


def test_an_interrupted_engine_gives_its_step_back(records: Records, admin: Actor, service: PipelineService) -> None:
    def interrupt(_context: StepContext) -> Outputs:
        raise KeyboardInterrupt

    pipeline = _chain(interrupt, "a")
    run = service.submit(admin, pipeline, {})
    with pytest.raises(KeyboardInterrupt):
        _engine(records, pipeline).execute(admin, run.id)
    assert _statuses(service.run("default", run.id)) == {"a": "PENDING"}


def test_many_engines_on_one_database_run_each_step_once(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    ran: list[str] = []

    def work(context: StepContext) -> Outputs:
        ran.append(f"{context.run_id}/{context.step}")
        time.sleep(0.002)
        return {}

    wide = Pipeline(
        "wide",
        [
            Step("first", (), work, "1", cached=False),
            *(Step(f"s{n}", ("first",), work, "1", cached=False) for n in range(8)),
            Step("last", tuple(f"s{n}" for n in range(8)), work, "1", cached=False),
        ],
    )
    runs = [service.submit(admin, wide, {}) for _ in range(3)]

    def drive(owner: str) -> None:
        engine = _engine(records, wide, owner=owner)
        for run in runs:
            engine.execute(admin, run.id)

    threads = [threading.Thread(target=drive, args=(f"engine-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {service.run("default", run.id).status for run in runs} == {RunStatus.FINISHED}
    assert Counter(ran) == {f"{run.id}/{name}": 1 for run in runs for name in wide.order}
    assert _actions(records)["pipeline_run.finished"] == 3


def test_a_run_of_another_graph_is_refused_or_failed_but_never_half_run(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    old, new = _chain(lambda _context: {}, "a", "b"), _chain(lambda _context: {}, "a", "c")
    run = service.submit(admin, old, {})
    with pytest.raises(Conflict, match="other steps"):
        _engine(records, new).execute(admin, run.id)
    assert _engine(records, new).work_once(admin) is False
    assert service.run("default", run.id).status is RunStatus.FAILED


def test_a_run_of_a_pipeline_unknown_here_is_left_for_others(
    records: Records, admin: Actor, service: PipelineService
) -> None:
    known, other = _chain(lambda _context: {}, "a"), Pipeline("other", [Step("a", (), lambda _context: {}, "1")])
    run = service.submit(admin, other, {})
    assert _engine(records, known).work_once(admin) is False
    with pytest.raises(NotFound, match="Pipeline 'other'"):
        _engine(records, known).execute(admin, run.id)
    assert service.run("default", run.id).status is RunStatus.PENDING


def test_a_key_submits_once(records: Records, admin: Actor, viewer: Actor, service: PipelineService) -> None:
    pipeline = _chain(lambda _context: {}, "a")
    first = service.submit(admin, pipeline, {"x": 1}, key="monday")
    assert service.submit(admin, pipeline, {"x": 1}, key="monday").id == first.id
    assert service.submit(admin, pipeline, {"x": 1}).id != first.id
    assert len(service.runs("default")) == 2
    assert [run.id for run in service.runs("default", 1)] == [service.runs("default")[0].id]
    with pytest.raises(NotAllowed):
        service.submit(viewer, pipeline, {}, key="monday")
    with pytest.raises(NotAllowed):
        _engine(records, pipeline).work_once(viewer)


def test_runs_of_another_workspace_do_not_exist(
    records: Records, admin: Actor, stranger: Actor, service: PipelineService
) -> None:
    pipeline = _chain(lambda _context: {}, "a")
    run = service.submit(admin, pipeline, {})
    for verb in (service.cancel, service.resume, _engine(records, pipeline).execute):
        with pytest.raises(NotFound):
            verb(stranger, run.id)
    assert service.runs("elsewhere") == []
    assert _engine(records, pipeline).work_once(stranger) is False


def test_a_rerun_of_five_steps_comes_from_the_cache(records: Records, admin: Actor, service: PipelineService) -> None:
    """Times are printed (-s), not judged: other programs may be using the machine."""
    pipeline = _chain(lambda _context: {}, "a", "b", "c", "d", "e")
    engine = _engine(records, pipeline)

    def seconds(number: int) -> float:
        run = service.submit(admin, pipeline, {"number": number})
        started = time.perf_counter()
        engine.execute(admin, run.id)
        return time.perf_counter() - started

    fresh, cached = min(seconds(number) for number in range(3)), min(seconds(number) for number in range(3))
    print(f"engine overhead per step: {fresh * 200:.1f} ms fresh, {cached * 200:.1f} ms cached")
    assert {step.status for step in service.runs(admin.workspace, 1)[0].steps} == {StepStatus.CACHED}
