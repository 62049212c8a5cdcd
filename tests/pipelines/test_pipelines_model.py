"""The declared graph: ordered, acyclic, and named unambiguously."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.pipelines.model import Pipeline, Step


def _step(name: str, *needs: str) -> Step:
    return Step(name, needs, lambda _context: {}, "1")


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    """Acyclic graphs in any order of declaration."""
    size = draw(st.integers(1, 12))
    steps = []
    for number in range(size):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        steps.append(_step(f"s{number}", *(f"s{need}" for need in needs)))
    return draw(st.permutations(steps))


@given(graphs())
def test_every_step_comes_once_and_after_all_it_needs(steps: list[Step]) -> None:
    pipeline = Pipeline("p", steps)
    assert sorted(pipeline.order) == sorted(step.name for step in steps)
    for step in steps:
        for need in step.needs:
            assert pipeline.order.index(need) < pipeline.order.index(step.name)


@given(graphs(), st.randoms())
def test_the_digest_changes_with_the_graph_and_not_with_the_code(steps: list[Step], random: object) -> None:
    del random
    pipeline = Pipeline("p", steps)
    newer = [Step(step.name, step.needs, lambda _context: {"x": 1}, "2") for step in steps]
    assert Pipeline("p", newer).digest == pipeline.digest
    assert Pipeline("p", [*newer, _step("extra")]).digest != pipeline.digest
    assert Pipeline("q", newer).digest != pipeline.digest


@given(graphs(), st.data())
def test_closing_a_circle_is_refused(steps: list[Step], data: st.DataObject) -> None:
    pipeline = Pipeline("p", steps)
    early = data.draw(st.integers(0, len(steps) - 1))
    late = data.draw(st.integers(early, len(steps) - 1))
    chain = [_step(name, *pipeline.order[max(0, index - 1) : index]) for index, name in enumerate(pipeline.order)]
    chain[early] = _step(pipeline.order[early], *chain[early].needs, pipeline.order[late])
    with pytest.raises(InvalidInput, match="cycle among"):
        Pipeline("p", chain)


def test_an_unknown_need_names_the_steps_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"'ingets'.*Did you mean 'ingest'"):
        Pipeline("p", [_step("ingest"), _step("train", "ingets")])


@pytest.mark.parametrize("steps", [[], [_step("a"), _step("a")]])
def test_no_steps_or_a_repeated_name_is_refused(steps: list[Step]) -> None:
    with pytest.raises(InvalidInput, match="at least one step"):
        Pipeline("p", steps)


@pytest.mark.parametrize("name", ["", "A", "a/b", "a" * 101, "-a"])
def test_names_that_cannot_stand_in_a_resource_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="may hold only"):
        Pipeline("p", [_step(name)])
