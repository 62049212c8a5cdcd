"""What a composition is: steps over registered versions, how columns reach them, and how their answers become one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bailiwick.composing import arithmetic
from bailiwick.core.errors import InvalidInput

PROBABILITY = "probability"
MAX_STEPS = 50

_NAME = re.compile(r"[A-Za-z_]\w{0,99}")
_WIDER = {("FP32", "FP64"): "FP64", ("FP64", "FP32"): "FP64"}
WAYS = ("average", "weighted", "vote", "stack", "cascade", "give")


class Step(Struct, frozen=True):
    """One version, pinned by the digest of its package. `inputs` maps its inputs to columns, or to `STEP.OUTPUT`."""

    name: str
    model: str
    version: int
    package: str
    runtime: str
    signature: dict[str, Any]
    inputs: dict[str, str] = {}

    def source(self, name: str) -> str:
        """Where one of its inputs comes from."""
        return self.inputs.get(name, name)


class Combine(Struct, frozen=True):
    """How answers become one.

    `weights` are those of a weighted average, in the order of `steps`; `sure` are how sure each step of a cascade must be
    (the larger of p and 1 - p) for its answer to count, the last one always does.
    """

    way: str
    steps: tuple[str, ...]
    weights: tuple[float, ...] = ()
    sure: tuple[float, ...] = ()
    expression: str = ""


class Composition(Struct, frozen=True):
    """The whole. `answer` names the output of each step that is combined, and that of the whole."""

    steps: tuple[Step, ...]
    combine: Combine
    answer: str = PROBABILITY

    def step(self, name: str) -> Step:
        """One by its name."""
        return next(each for each in self.steps if each.name == name)


@dataclass(frozen=True, slots=True)
class DeclaredStep:
    """A step as declared: `model` is `NAME@VERSION` or `NAME@ALIAS`."""

    name: str
    model: str
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A composition as a file declares it, before its versions are looked up."""

    model: str
    steps: tuple[DeclaredStep, ...]
    combine: Combine
    answer: str = PROBABILITY


def read_declaration(tree: object) -> Declaration:
    """Raises InvalidInput naming the key and the choices."""
    if not isinstance(tree, Mapping):
        raise InvalidInput("A composition is a mapping with `model`, `steps` and `combine`.")
    for key in tree:
        if key not in {"model", "steps", "combine", "output"}:
            raise InvalidInput.choice("Key of the composition", key, ["model", "steps", "combine", "output"])
    steps = tree.get("steps")
    if not isinstance(tree.get("model"), str) or not isinstance(steps, Mapping) or not steps:
        raise InvalidInput("A composition needs `model`, its name, and `steps`, a mapping of names to versions.")
    if len(steps) > MAX_STEPS:
        raise InvalidInput(f"A composition has at most {MAX_STEPS} steps; this one has {len(steps)}.")
    declared = tuple(_step(str(name), each) for name, each in steps.items())
    combine = _combine(tree.get("combine"), [each.name for each in declared])
    return Declaration(str(tree["model"]), declared, combine, str(tree.get("output", PROBABILITY)))


def _step(name: str, said: object) -> DeclaredStep:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"Step {name!r} may hold only letters, digits and _, and begin with no digit.")
    known = {"model": said} if isinstance(said, str) else said
    if not isinstance(known, Mapping) or not isinstance(known.get("model"), str):
        raise InvalidInput(f"Step {name!r} needs `model: NAME@VERSION`.")
    inputs = known.get("inputs", {})
    if not isinstance(inputs, Mapping) or not all(isinstance(each, str) for each in inputs.values()):
        raise InvalidInput(f"Step {name!r}: `inputs` maps its inputs to columns or to STEP.OUTPUT.")
    for key in known:
        if key not in {"model", "inputs"}:
            raise InvalidInput.choice(f"Key of step {name!r}", key, ["model", "inputs"])
    return DeclaredStep(name, known["model"], {str(key): value for key, value in inputs.items()})


def _combine(said: object, steps: Sequence[str]) -> Combine:
    if said is None and len(steps) == 1:
        return Combine("give", tuple(steps))
    if not isinstance(said, Mapping) or len(said) != 1:
        raise InvalidInput(f"`combine` is a mapping with one of: {', '.join(WAYS)}.")
    way, value = next(iter(said.items()))
    if way not in WAYS:
        raise InvalidInput.choice("`combine`", way, WAYS)
    made = _read_way(str(way), value)
    for name in made.steps:
        if name not in steps:
            raise InvalidInput.choice(f"Step of `{way}`", name, steps)
    if not made.steps:
        raise InvalidInput(f"`{way}` names no step.")
    return made


def _read_way(way: str, value: Any) -> Combine:
    form = {
        "weighted": "a mapping of steps to weights",
        "stack": "an expression over steps",
        "cascade": "a list of {step, sure}, the last without `sure`",
        "give": "the name of a step",
    }.get(way, "a list of steps")
    try:
        if way == "weighted":
            weights = tuple(float(each) for each in value.values())
            if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
                raise InvalidInput("Weights are 0 or more, and one of them is more.")
            return Combine(way, tuple(map(str, value)), weights)
        if way == "stack":
            return Combine(way, tuple(sorted(arithmetic.parse(str(value)).names())), expression=str(value))
        if way == "cascade":
            sure = tuple(float(each["sure"]) for each in value[:-1])
            if not all(0.5 <= each <= 1 for each in sure) or "sure" in value[-1]:
                raise InvalidInput("`sure` of a cascade is between 0.5 and 1, and the last step has none.")
            return Combine(way, tuple(str(each["step"]) for each in value), sure=sure)
        if way == "give" or isinstance(value, str):
            return Combine(way, (str(value),))
        return Combine(way, tuple(str(each) for each in value))
    except (TypeError, KeyError, AttributeError, ValueError, IndexError) as error:
        raise InvalidInput(f"`{way}` is {form}; this is {str(value)[:100]!r}.") from error


def in_order(composition: Composition) -> list[Step]:
    """Each step after those that it reads. Raises InvalidInput for a circle, and for an output that no step has."""
    outputs = {(step.name, each["name"]) for step in composition.steps for each in step.signature["outputs"]}
    before: dict[str, set[str]] = {step.name: set() for step in composition.steps}
    for step in composition.steps:
        known = [str(each["name"]) for each in step.signature["inputs"]]
        for name, source in step.inputs.items():
            if name not in known:
                raise InvalidInput.choice(f"Input of step {step.name!r}", name, known)
            giver, dot, output = source.partition(".")
            if dot and giver in before:
                if (giver, output) not in outputs:
                    raise InvalidInput.choice(
                        f"Output of step {giver!r}", output, [each for one, each in outputs if one == giver]
                    )
                before[step.name].add(giver)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise InvalidInput(f"The steps go round in a circle: {' → '.join(error.args[1])}.") from error
    return [composition.step(name) for name in order]


def signature_of(composition: Composition) -> dict[str, Any]:
    """Columns that the steps need, and what comes out. Raises InvalidInput for one column of two types, and for no answer."""
    names = {step.name for step in composition.steps}
    inputs: dict[str, dict[str, Any]] = {}
    for step in in_order(composition):
        for each in step.signature["inputs"]:
            source = step.source(str(each["name"]))
            if source.partition(".")[0] in names and "." in source:
                continue
            known = inputs.setdefault(source, {**each, "name": source})
            if known["datatype"] != each["datatype"] or known["shape"] != each["shape"]:
                kind = _WIDER.get((known["datatype"], each["datatype"]), "")
                if not kind or known["shape"] != each["shape"]:
                    raise InvalidInput(
                        f"Column {source!r} is {known['datatype']} {known['shape']} for one step and {each['datatype']} "
                        f"{each['shape']} for step {step.name!r}."
                    )
                known["datatype"] = kind
            if each.get("nullable") is False:
                known["nullable"] = False
    return {"inputs": list(inputs.values()), "outputs": _outputs(composition)}


def _outputs(composition: Composition) -> list[dict[str, Any]]:
    combine = composition.combine
    if combine.way == "give":
        return list(composition.step(combine.steps[0]).signature["outputs"])
    for name in combine.steps:
        step = composition.step(name)
        found = [each for each in step.signature["outputs"] if each["name"] == composition.answer]
        if not found or found[0]["datatype"] not in {"FP32", "FP64"} or list(found[0]["shape"]) not in ([-1], [-1, 1]):
            raise InvalidInput(
                f"Step {name!r} has no output {composition.answer!r} of one number a row, which `{combine.way}` combines.",
                hint="Name another with `output`.",
            )
    return [{"name": composition.answer, "datatype": "FP32", "shape": [-1]}]


def combined(combine: Combine, answers: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """One answer a row of those of the steps, in float32 and in the order that the graph computes in. Not of a cascade."""
    if combine.way == "stack":
        first = next(iter(answers.values()))
        return np.broadcast_to(arithmetic.parse(combine.expression).evaluate(answers), first.shape).astype(np.float32)
    parts = [answers[name] for name in combine.steps]
    if combine.way == "vote":
        parts = [(part >= np.float32(0.5)).astype(np.float32) for part in parts]
    return _summed([part * weight for part, weight in zip(parts, weights_of(combine), strict=True)])


def weights_of(combine: Combine) -> list[np.float32]:
    """Of each step, adding up to 1; equal ones of an average and of a vote."""
    given = combine.weights or (1.0,) * len(combine.steps)
    return [np.float32(each / sum(given)) for each in given]


def _summed(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
