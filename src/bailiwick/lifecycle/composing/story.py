"""The story itself: look up the versions, join them, show that the joined graph answers as they do, evaluate, register."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import yaml

from bailiwick.composing.archive import write_archive
from bailiwick.composing.model import Combine, Composition, Declaration, DeclaredStep, Step, read_declaration
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.lifecycle.assessing import Assessment, Labelled, assess
from bailiwick.lifecycle.composing.merging import CannotMerge, merged
from bailiwick.lifecycle.packaging import gate
from bailiwick.lifecycle.packaging.graphs import Graphs, tried
from bailiwick.lifecycle.packaging.probing import Answers, Arrays, answers, probes_of, taken
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import load, written
from bailiwick.pyfunc.housing import housing_of
from bailiwick.pyfunc.mlmodel import Column
from bailiwick.pyfunc.process import ModelGone
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.rows import require_live
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import Runtime
from bailiwick.serving.runtimes.opening import opener
from bailiwick.training.agreement import TOLERANCE, compare

ONNX, COMPOSITION = "onnx", "composition"
PARTS = "parts"

Watch = Callable[[str], None]


def read_file(data: bytes) -> Declaration:
    """A declaration in YAML or JSON. Raises InvalidInput."""
    try:
        return read_declaration(yaml.safe_load(data))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The composition cannot be read: {error}.") from error


def compose(
    platform: Platform,
    actor: Actor,
    declared: Declaration,
    *,
    labelled: Labelled | None = None,
    description: str = "",
    watch: Watch = lambda _: None,
) -> ModelVersion:
    """The next version of the declared model, made of registered versions; one that is made of the same is that one.

    All-ONNX steps become one graph where that answers as they do; else the steps run one after another where it is
    served. Raises NotFound for an unknown version, Conflict for one without a package, InvalidInput for what does not
    fit together, CheckFailed where a gate says no.
    """
    actor.require(Permission.MODELS_WRITE)
    composition = _resolved(platform, actor.workspace, declared)
    with tempfile.TemporaryDirectory(prefix="bailiwick-compose-") as name:
        folder = Path(name)
        watch("Fetching the steps' packages")
        parts = {}
        for step in composition.steps:
            (folder / step.package).mkdir(exist_ok=True)
            parts[step.package] = written(platform, step.package, folder / step.package)
        with (folder / "composition").open("w+b") as file:
            signature = write_archive(file, composition, parts)
        watch("Joining the steps, and asking both for the same rows")
        graph, report = _graph(platform, composition, parts, folder / "composition")
        if graph is not None:
            digest = platform.blobs.put(graph)
        else:
            with platform.blobs.writer() as writer, (folder / "composition").open("rb") as file:
                while data := file.read(1 << 20):
                    writer.write(data)
                digest = writer.commit()
    known = [each for each in _versions(platform, actor.workspace, declared.model) if each.package == digest]
    if known:
        return known[0]
    watch("Evaluating")
    found = Assessment() if labelled is None else assess(platform, actor.workspace, declared.model, digest, labelled)
    return platform.registry.register(
        actor,
        declared.model,
        package=digest,
        run_id="",
        snapshot="",
        signature=signature,
        metrics=found.metrics,
        slices=found.slices,
        parity={**report, PARTS: _parts(composition), "gates": list(found.gates)},
        environment={},
        code_version="",
        parameters=_told(composition),
        description=description,
    )


def _resolved(platform: Platform, workspace: str, declared: Declaration) -> Composition:
    steps = tuple(_step(platform, workspace, each) for each in declared.steps)
    return Composition(steps, declared.combine, declared.answer)


def _step(platform: Platform, workspace: str, declared: DeclaredStep) -> Step:
    name, at, word = declared.model.rpartition("@")
    if not at or not word:
        raise InvalidInput(
            f"Step {declared.name!r}: {declared.model!r} names no version.", hint="Write NAME@VERSION or NAME@ALIAS."
        )
    if word.isdigit():
        version = platform.registry.version(workspace, name, int(word[:12]))
    else:
        version = platform.registry.alias(workspace, name, word)
    require_live(version)
    if not version.package:
        raise Conflict(
            f"{name} version {version.number} has no package, so it cannot be a step.",
            hint=f"Make one: bailiwick models package {name} {version.number}",
        )
    if version.signature.get("documents"):
        raise InvalidInput(
            f"{name} version {version.number} takes documents, and a step takes columns.",
            hint="Log it with `signature=`, and package that.",
        )
    return Step(
        declared.name,
        name,
        version.number,
        version.package,
        version.runtime,
        msgspec.to_builtins(version.signature),
        dict(declared.inputs),
    )


def _graph(
    platform: Platform, composition: Composition, parts: dict[str, Path], archive: Path
) -> tuple[bytes | None, dict[str, Any]]:
    """The joined graph, if it answers as the steps do; and the report, with the reason where there is none."""
    runtime = opener(PythonModels.of(platform.settings))(archive)
    try:
        runtime.warm_up()
        try:
            joined = merged(composition, _loaded(composition, parts))
        except CannotMerge as error:
            return None, _apart(error.message)
        with tried(housing_of(platform.settings), platform.settings.models_seconds) as graphs:
            return _compared(runtime, joined, graphs)
    finally:
        runtime.close()


def _loaded(composition: Composition, parts: dict[str, Path]) -> dict[str, onnx.ModelProto]:
    return {step.package: load(parts[step.package].read_bytes()) for step in composition.steps if step.runtime == ONNX}


def _compared(runtime: Runtime, joined: bytes, graphs: Graphs) -> tuple[bytes | None, dict[str, Any]]:
    columns = [Column(spec.name, spec.datatype, spec.shape) for spec in runtime.signature.inputs]
    probes = probes_of(columns, [], thresholds={}, texts=[])
    names = [spec.name for spec in runtime.signature.outputs]

    def ask(rows: Arrays) -> Answers:
        feed = {
            block.name: np.concatenate([rows[spec.name] for spec in block.specs], axis=1)
            if len(block.specs) > 1
            else rows[block.specs[0].name]
            for block in runtime.blocks
        }
        return list(zip(names, runtime.run(feed), strict=True))

    expected, refused = answers(ask, probes.rows)
    rows = taken(probes.rows, ~refused)
    try:
        found = gate.served(graphs.open(joined), rows, names)
    except (InvalidInput, ModelGone) as error:
        return None, _apart(error.message)
    report = compare(rows, expected, found, probes=probes.made, tolerance=TOLERANCE)
    if not report.passed:
        told = f"the joined graph answers otherwise: the largest error is {report.max_error:.2g}"
        return None, {**_apart(told), "onnx": gate.told(report)}
    return joined, {"runtime": ONNX, **gate.told(report), "reason": "the steps are one graph, which answers as they do"}


def _apart(reason: str) -> dict[str, Any]:
    return {
        "runtime": COMPOSITION,
        "passed": True,
        "reason": f"the steps' own packages are served, one after another, for {reason}",
    }


def _parts(composition: Composition) -> list[dict[str, Any]]:
    return [
        {"step": step.name, "model": step.model, "version": step.version, "package": step.package}
        for step in composition.steps
    ]


def _told(composition: Composition) -> dict[str, Any]:
    """What two versions are compared by."""
    told: dict[str, Any] = {}
    for step in composition.steps:
        told[f"step {step.name}"] = f"{step.model}@{step.version}"
        told |= {f"step {step.name} / {name}": source for name, source in step.inputs.items()}
    return told | {"combine": _words(composition.combine), "output": composition.answer}


def _words(combine: Combine) -> str:
    if combine.way == "stack":
        return f"stack {combine.expression}"
    beside: tuple[float, ...] = combine.weights or combine.sure
    known = [f" {beside[place]:g}" if place < len(beside) else "" for place in range(len(combine.steps))]
    return f"{combine.way} {', '.join(f'{name}{value}' for name, value in zip(combine.steps, known, strict=True))}"


def _versions(platform: Platform, workspace: str, model: str) -> list[ModelVersion]:
    if model not in {each.name for each in platform.registry.models(workspace)}:
        return []
    return platform.registry.versions(workspace, model)
