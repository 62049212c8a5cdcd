"""Ensembles and pipelines of versions: one graph where that answers the same, else steps; pinned, traced, kept while used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.composing.model import read_declaration
from bailiwick.core.actor import Actor
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from bailiwick.lifecycle.composing.story import compose, read_file
from bailiwick.lifecycle.lineage.walk import trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.rules import register_rules
from bailiwick.lifecycle.scoring import Scorer, written
from bailiwick.lifecycle.transfer import export_version, import_version
from bailiwick.lifecycle.verification import verify_version
from bailiwick.registry.model import ModelVersion
from bailiwick.rules.signature import Declared
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import ModelFailed
from bailiwick.serving.runtimes.opening import opener
from tests_support.composed import logistic, register
from tests_support.decisions import encoded, scoring

ROWS = pa.table({"x": [-3.0, 0.0, 6.0], "carrier": ["AA", "UA", "AA"]})
A, B = (1 / (1 + np.exp(-np.array([-3.0, 0.0, 6.0]) * weight)) for weight in (1.0, -0.5))
RULES = np.array([0.1, 0.1, 0.9])


@pytest.fixture
def parts(platform: Platform, admin: Actor) -> None:
    register(platform, admin, "up", logistic(1.0))
    register(platform, admin, "down", logistic(-0.5))
    register_rules(platform, admin, "rules", encoded(scoring()), declared=Declared({"x": "FP32"}))


def made(platform: Platform, admin: Actor, combine: dict[str, Any] | None, **steps: Any) -> ModelVersion:
    declared = read_declaration({"model": "whole", "steps": steps, "combine": combine})
    return compose(platform, admin, declared)


def scores(platform: Platform, version: ModelVersion) -> list[float]:
    scorer = Scorer(platform, version.package)
    try:
        return [float(each) for each in scorer.score(ROWS)]
    finally:
        scorer.close()


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        ({"average": ["a", "b"]}, (A + B) / 2),
        ({"weighted": {"a": 3, "b": 1}}, (3 * A + B) / 4),
        ({"vote": ["a", "b"]}, ((A >= 0.5).astype(float) + (B >= 0.5)) / 2),
        ({"stack": "max(0, min(1, 0.25 * a + sigmoid(b) / 2))"}, 0.25 * A + 1 / (1 + np.exp(-B)) / 2),
    ],
)
@pytest.mark.usefixtures("parts")
def test_steps_that_are_onnx_become_one_graph(
    platform: Platform, admin: Actor, combine: dict[str, Any], expected: Any
) -> None:
    version = made(platform, admin, combine, a="up@1", b="down@1")
    assert version.runtime == "onnx", version.parity
    assert version.parity["rows"] >= 1000
    assert scores(platform, version) == pytest.approx(expected.tolist(), abs=1e-6)
    assert all(check.passed for check in verify_version(platform, "default", "whole", 1))


@pytest.mark.usefixtures("parts")
def test_a_step_can_read_what_another_answers(platform: Platform, admin: Actor) -> None:
    chain = made(platform, admin, {"give": "b"}, a="up@1", b={"model": "down@1", "inputs": {"x": "a.probability"}})
    assert chain.runtime == "onnx"
    assert scores(platform, chain) == pytest.approx((1 / (1 + np.exp(0.5 * A))).tolist(), abs=1e-6)


@pytest.mark.usefixtures("parts")
def test_steps_of_several_runtimes_run_one_after_another(platform: Platform, admin: Actor) -> None:
    version = made(platform, admin, {"average": ["a", "r"]}, a="up@1", r="rules@1")
    assert version.runtime == "composition"
    assert "step r is run by rules" in version.parity["reason"]
    assert [each["name"] for each in version.signature["inputs"]] == ["x", "carrier"]
    assert scores(platform, version) == pytest.approx(((A + RULES) / 2).tolist(), abs=1e-6)
    assert all(check.passed for check in verify_version(platform, "default", "whole", 1))
    nested = compose(
        platform,
        admin,
        read_declaration(
            {"model": "nested", "steps": {"w": "whole@1", "d": "down@1"}, "combine": {"average": ["w", "d"]}}
        ),
    )
    assert scores(platform, nested) == pytest.approx((((A + RULES) / 2 + B) / 2).tolist(), abs=1e-6)


@pytest.mark.usefixtures("parts")
def test_a_cascade_asks_later_steps_about_what_is_not_sure(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    combine = {"cascade": [{"step": "a", "sure": 0.9}, {"step": "r"}]}
    version = made(platform, admin, combine, a="up@1", r="rules@1")
    assert scores(platform, version) == pytest.approx([A[0], RULES[1], A[2]], abs=1e-6)
    asked: list[int] = []
    runtime: Any = opener(PythonModels.of(platform.settings))(written(platform, version.package, tmp_path))
    rules = next(part for part in runtime._parts.values() if part.platform == "rules_jdm")
    run = rules.run

    def counted(feed: Any) -> Any:
        asked.append(len(next(iter(feed.values()))))
        if len(asked) > 1:
            raise ModelFailed("broken")
        return run(feed)

    rules.run = counted
    feed = {"x": np.array([[-3], [0], [6]], np.float32), "carrier": np.array([["AA"]] * 3, object)}
    runtime.run(feed)
    runtime.run({name: values[:1] for name, values in feed.items()})
    assert asked == [1]
    with pytest.raises(ModelFailed, match="Step r: broken"):
        runtime.run(feed)


@pytest.mark.usefixtures("parts")
def test_a_composition_is_pinned_traced_and_its_parts_are_kept(platform: Platform, admin: Actor) -> None:
    platform.registry.set_alias(admin, "up", "production", 1)
    version = made(platform, admin, {"average": ["a", "b"]}, a="up@production", b="down@1")
    assert version.parts == (("up", 1), ("down", 1))
    assert made(platform, admin, {"average": ["a", "b"]}, a="up@1", b="down@1") == version
    back = {each["id"] for each in trace(platform, "default", "version/whole/1", "backward").nodes}
    assert {"version/up/1", "version/down/1"} <= back
    forth = {each["id"] for each in trace(platform, "default", "version/down/1", "forward").nodes}
    assert "version/whole/1" in forth
    platform.registry.delete_version(admin, "down", 1)
    with pytest.raises(Conflict, match="whole version 1, which is made of it"):
        platform.registry.purge_version(admin, "down", 1, reason="gone")
    with pytest.raises((Conflict, AlreadyExists), match="made of it"):
        platform.registry.rename_model(admin, "down", "sideways")
    assert scores(platform, version) == pytest.approx(((A + B) / 2).tolist(), abs=1e-6)
    platform.registry.delete_version(admin, "whole", 1)
    platform.registry.purge_version(admin, "whole", 1, reason="gone")
    assert platform.registry.purge_version(admin, "down", 1, reason="gone").purged is not None


@pytest.mark.usefixtures("parts")
def test_what_does_not_fit_is_refused_or_run_apart_with_the_reason(platform: Platform, admin: Actor) -> None:
    register(platform, admin, "older", logistic(1.0, opset=13))
    register(platform, admin, "wide", logistic(1.0, wide=True))
    apart = made(platform, admin, {"average": ["a", "b"]}, a="up@1", b="older@1")
    assert (apart.runtime, "versions 15 and 13" in apart.parity["reason"]) == ("composition", True)
    wide = made(platform, admin, {"average": ["a", "b"]}, a="up@1", b="wide@1")
    assert (wide.runtime, wide.signature["inputs"][0]["datatype"]) == ("onnx", "FP64")
    for word, error in (("up", InvalidInput), ("up@9", NotFound), ("none@1", NotFound)):
        with pytest.raises(error):
            made(platform, admin, None, a=word)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_file(b"{")


@pytest.mark.usefixtures("parts")
def test_a_composition_leaves_and_arrives_whole(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    made(platform, admin, {"average": ["a", "r"]}, a="up@1", r="rules@1")
    export_version(platform, "default", "whole", 1, tmp_path / "whole.zip")
    again = import_version(platform, admin, tmp_path / "whole.zip", model="again")
    assert (again.runtime, again.parts) == ("composition", ())
    assert scores(platform, again) == pytest.approx(((A + RULES) / 2).tolist(), abs=1e-6)
