"""Compositions of ONNX packages as one graph: every part under a prefix of its own, columns shared, answers combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bailiwick.composing import arithmetic
from bailiwick.composing.model import Combine, Composition, Step, in_order, signature_of, weights_of
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import InvalidInput
from bailiwick.training.metadata import FORMAT
from bailiwick.training.wrapping import DATATYPES

KINDS = {name: kind for kind, name in DATATYPES.items()}
_LEAST_OPSET = 13


class CannotMerge(InvalidInput):
    """Why the steps are run one after another instead."""

    code = "invalid_input"


def merged(composition: Composition, packages: Mapping[str, onnx.ModelProto]) -> bytes:
    """One package that answers as the steps do; `packages` by digest. Raises CannotMerge with the reason."""
    order = in_order(composition)
    if composition.combine.way == "cascade":
        raise CannotMerge("later steps of a cascade are only asked about the rows that need them")
    other = [step for step in order if step.runtime != "onnx"]
    if other:
        raise CannotMerge(f"step {other[0].name} is run by {other[0].runtime}")
    opsets, ir_version = _opsets([packages[step.package] for step in order])
    signature = signature_of(composition)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = [numpy_helper.from_array(np.array([-1], np.int64), "rows")]
    described: list[onnx.ValueInfoProto] = []
    for step in order:
        part = onnx.compose.add_prefix(packages[step.package], f"{step.name}/")
        nodes += [*_feeding(step, composition, signature), *part.graph.node]
        constants += part.graph.initializer
        described += part.graph.value_info
    tail, more = _answers(composition, signature)
    graph = helper.make_graph(
        [*nodes, *tail],
        "composition",
        [
            helper.make_tensor_value_info(each["name"], KINDS[each["datatype"]], _dims(each))
            for each in signature["inputs"]
        ],
        [
            helper.make_tensor_value_info(each["name"], KINDS[each["datatype"]], _dims(each))
            for each in signature["outputs"]
        ],
        [*constants, *more],
        value_info=described,
    )
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="bailiwick")
    properties = {
        "bailiwick.format": FORMAT,
        "bailiwick.signature": canonical_json(signature).decode(),
        "bailiwick.features": "",
        "bailiwick.names": canonical_json([each["name"] for each in signature["inputs"]]).decode(),
    }
    helper.set_model_props(model, properties)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise CannotMerge(f"the joined graph is not valid: {str(error).splitlines()[0][:200]}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _opsets(models: Sequence[onnx.ModelProto]) -> tuple[list[onnx.OperatorSetIdProto], int]:
    found: dict[str, int] = {}
    for model in models:
        if model.functions:
            raise CannotMerge("a step's graph has functions of its own")
        for each in model.opset_import:
            domain = "" if each.domain == "ai.onnx" else each.domain
            if found.setdefault(domain, each.version) != each.version:
                raise CannotMerge(
                    f"steps are written for versions {found[domain]} and {each.version} of the operators {domain or 'ai.onnx'}"
                )
    if found.get("", 0) < _LEAST_OPSET:
        raise CannotMerge(
            f"a step is written for version {found.get('', 0)} of the operators; {_LEAST_OPSET} is needed"
        )
    return [helper.make_opsetid(domain, version) for domain, version in found.items()], max(
        m.ir_version for m in models
    )


def _feeding(step: Step, composition: Composition, signature: Mapping[str, Any]) -> list[onnx.NodeProto]:
    """What brings columns, and the answers of other steps, to the inputs of one."""
    kinds = {each["name"]: each["datatype"] for each in signature["inputs"]}
    for other in composition.steps:
        kinds |= {f"{other.name}.{each['name']}": each["datatype"] for each in other.signature["outputs"]}
    nodes = []
    for each in step.signature["inputs"]:
        source, target = step.source(str(each["name"])), f"{step.name}/{each['name']}"
        giver, dot, output = source.partition(".")
        name = source
        if dot and source in kinds and giver in {other.name for other in composition.steps}:
            if list(each["shape"]) != [-1, 1]:
                raise CannotMerge(f"input {each['name']} of step {step.name} is wider than one number")
            name = f"{target} as a column"
            shape = f"{target} shape"
            nodes.append(helper.make_node("Constant", [], [shape], value_ints=[-1, 1]))
            nodes.append(helper.make_node("Reshape", [f"{giver}/{output}", shape], [name]))
        if kinds[source] == each["datatype"]:
            nodes.append(helper.make_node("Identity", [name], [target]))
        else:
            nodes.append(helper.make_node("Cast", [name], [target], to=KINDS[each["datatype"]]))
    return nodes


def _answers(
    composition: Composition, signature: Mapping[str, Any]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    combine = composition.combine
    if combine.way == "give":
        names = [each["name"] for each in signature["outputs"]]
        return [helper.make_node("Identity", [f"{combine.steps[0]}/{name}"], [name]) for name in names], []
    nodes = []
    for name in combine.steps:
        nodes.append(helper.make_node("Reshape", [f"{name}/{composition.answer}", "rows"], [f"flat {name}"]))
        nodes.append(helper.make_node("Cast", [f"flat {name}"], [f"answer {name}"], to=TensorProto.FLOAT))
    made = _Joined(nodes)
    last = made.stacked(arithmetic.parse(combine.expression)) if combine.way == "stack" else made.weighed(combine)
    if combine.way == "stack" and not arithmetic.parse(combine.expression).names():
        raise CannotMerge("the expression names no step")
    made.nodes.append(helper.make_node("Identity", [last], [composition.answer]))
    return made.nodes, made.constants


class _Joined:
    """Nodes that combine answers, and their constants."""

    def __init__(self, nodes: list[onnx.NodeProto]) -> None:
        self.nodes = nodes
        self.constants: list[onnx.TensorProto] = []

    def weighed(self, combine: Combine) -> str:
        total = ""
        for name, weight in zip(combine.steps, weights_of(combine), strict=True):
            answer = f"answer {name}"
            if combine.way == "vote":
                half = self._constant(np.float32(0.5))
                answer = self._node("Cast", self._node("GreaterOrEqual", answer, half), to=TensorProto.FLOAT)
            part = self._node("Mul", answer, self._constant(weight))
            total = self._node("Add", total, part) if total else part
        return total

    def stacked(self, tree: arithmetic.Operation) -> str:
        if tree.operator == "Name":
            return f"answer {tree.name}"
        if tree.operator == "Constant":
            return self._constant(np.float32(tree.value))
        return self._node(tree.operator, *(self.stacked(part) for part in tree.parts))

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"combined {len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def _constant(self, value: np.float32) -> str:
        name = f"constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name


def _dims(each: Mapping[str, Any]) -> list[int | None]:
    return [None, *each["shape"][1:]]
