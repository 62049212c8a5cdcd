"""Inputs and outputs of a decision: declared, by its own JSON schemas or whoever registers it, else shown by its expressions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.rules.document import INPUT, OUTPUT, SWITCH, Decision, Node, Text, texts_of
from bailiwick.rules.expressions import Reference, check_text, references_of
from bailiwick.rules.kinds import kind_of
from bailiwick.rules.tokens import words_of

DATATYPES = (
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64", "BYTES",
)  # fmt: skip
PROBABILITY = "probability"
"""An output of this name is a probability of the positive class, FP32 as everywhere here."""

MAX_GROWTH = 500
"""How many of its inputs' texts one output may hold: copies of copies would take all memory."""

_SCHEMA_TYPES = {"number": "FP64", "integer": "INT64", "string": "BYTES", "boolean": "BOOL"}
_EVERYTHING = "$"

Value = float | int | bool | str


@dataclass(frozen=True, slots=True)
class Declared:
    """What whoever registers a decision says of it: OIP datatypes by name, and what an output is where no rule gives it.

    `preferred` are datatypes of inputs and outputs that the decision need not have.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Value] = field(default_factory=dict)
    preferred: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """Datatypes of inputs and outputs in order, and defaults of outputs."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    defaults: Mapping[str, Value]

    @property
    def signature(self) -> dict[str, Any]:
        """As packages write it."""
        return {
            "inputs": [{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in self.inputs.items()],
            "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in self.outputs.items()],
        }


def shape_of(decision: Decision, declared: Declared) -> Shape:
    """Check every expression, and say what goes in and comes out. Raises InvalidInput naming node and expression."""
    for text in decision.texts():
        check_text(text)
    _check_growth(decision)
    from_schema, _ = _of_schema(decision.of(INPUT)[0])
    out_schema, defaults = _of_schema(decision.of(OUTPUT)[0])
    preferred = declared.preferred
    inputs = _inputs(decision, {**_preferred(from_schema, preferred), **declared.inputs}, preferred)
    outputs = _outputs(decision, {**_preferred(out_schema, preferred), **declared.outputs}, preferred)
    found = {**defaults, **declared.defaults}
    for name, value in found.items():
        if name not in outputs:
            raise InvalidInput.choice("Default of output", name, outputs)
        if not fits(value, outputs[name]):
            raise InvalidInput(f"The default {value!r} of output {name!r} is no {outputs[name]}.")
    return Shape(inputs, outputs, found)


def fits(value: object, datatype: str) -> bool:
    """Whether a value of JSON is of a datatype."""
    if datatype in {"BOOL", "BYTES"}:
        return type(value) is (bool if datatype == "BOOL" else str)
    if type(value) not in {int, float}:
        return False
    return datatype.startswith("FP") or float(value) == int(value)  # type: ignore[call-overload, arg-type]


def _preferred(kinds: Mapping[str, str], preferred: Mapping[str, str]) -> dict[str, str]:
    return {name: preferred.get(name, kind) for name, kind in kinds.items()}


def _inputs(decision: Decision, declared: Mapping[str, str], preferred: Mapping[str, str]) -> dict[str, str]:
    _check_types("input", {**preferred, **declared})
    shown: defaultdict[str, set[str]] = defaultdict(set)
    first: dict[str, Text] = {}
    made = _made_before(decision)
    start = decision.of(INPUT)[0]
    for text in decision.texts():
        for each in references_of(text):
            if _is_input(each, made[text.node.id], start):
                first.setdefault(each.path, text)
                shown[each.path] |= each.kinds
    _check_paths(list(first))
    known = {**preferred, **declared}
    kinds = {
        name: known[name] if name in known else _only_kind(name, shown[name], text) for name, text in first.items()
    }
    for name in declared:
        if name not in kinds:
            raise InvalidInput.choice("Declared input", name, kinds)
    if not kinds:
        raise InvalidInput("The rules read no input.")
    return kinds


def _check_paths(names: list[str]) -> None:
    for one in names:
        longer = [other for other in names if other.startswith(f"{one}.")]
        if longer:
            raise InvalidInput(
                f"Input {one!r} is one value, and {longer[0]!r} is a part of it; an input cannot be both."
            )


def _only_kind(name: str, kinds: set[str], text: Text) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    why = f"is used as {' and '.join(sorted(kinds))}" if kinds else "may be of any type"
    raise InvalidInput(
        f"Input {name!r} {why} (first in {text}).", hint=f"Declare it: --input {name}=FP64, BYTES or BOOL."
    )


def _is_input(reference: Reference, made: frozenset[str], start: Node) -> bool:
    if reference.root:
        return reference.root == start.name
    return not any(reference.path == name or reference.path.startswith(f"{name}.") for name in made)


def _outputs(decision: Decision, declared: Mapping[str, str], preferred: Mapping[str, str]) -> dict[str, str]:
    _check_types("output", declared)
    givers = _givers(decision)
    if not givers:
        raise InvalidInput("No node that makes an output leads to the output of the decision graph.")
    made: dict[str, list[Text]] = {}
    for text in (each for node in givers for each in texts_of(node) if each.makes):
        made.setdefault(text.field, []).append(text)
    known = {**preferred, **declared}
    kinds = {name: known[name] if name in known else _kind_of(name, texts) for name, texts in made.items()}
    for name in declared:
        if name not in kinds:
            raise InvalidInput.choice("Declared output", name, kinds)
    if not kinds:
        raise InvalidInput("The rules give no output.")
    return kinds


def _kind_of(name: str, texts: list[Text]) -> str:
    """The type that its expressions show; those that show none are taken to be of it too, and checked when they are used."""
    if name == PROBABILITY:
        return "FP32"
    first: dict[str, Text] = {}
    for text in texts:
        kind = kind_of(text.source)
        if kind is not None:
            first.setdefault(kind, text)
    if len(first) == 1:
        return next(iter(first))
    hint = f"Declare it: --output {name}=FP64, BYTES or BOOL."
    if not first:
        raise InvalidInput(f"Nothing says what type output {name!r} has in {texts[0]}.", hint=hint)
    (one, here), (other, there) = list(first.items())[:2]
    raise InvalidInput(f"Output {name!r} is {one} in {here} and {other} in {there}.", hint=hint)


def _givers(decision: Decision) -> list[Node]:
    """Nodes whose outputs reach the end: those before it, past switches, and those that one of them passes through."""
    named = {node.id: node for node in decision.nodes}
    waiting, seen = list(decision.before[decision.of(OUTPUT)[0].id]), dict[str, None]()
    while waiting:
        each = waiting.pop(0)
        if each in seen:
            continue
        seen[each] = None
        if named[each].kind == SWITCH or named[each].content.get("passThrough"):
            waiting += decision.before[each]
    return [named[each] for each in seen if named[each].kind not in {SWITCH, INPUT}]


def _made_before(decision: Decision) -> dict[str, frozenset[str]]:
    """By node: names that nodes before it make."""
    made: dict[str, frozenset[str]] = {}
    own: dict[str, frozenset[str]] = {}
    for node in decision.nodes:
        own[node.id] = frozenset(text.field for text in texts_of(node) if text.makes)
        made[node.id] = frozenset().union(*(made[each] | own[each] for each in decision.before[node.id]))
    return made


def _check_growth(decision: Decision) -> None:
    """Bound what texts can grow to: every sign of the language gives at most the sum of what it is given."""
    sizes: dict[str, int] = {}
    for node in decision.nodes:
        begun = dict(sizes)
        for text in texts_of(node):
            size = sum(_size(word, sizes) for word in words_of(text.source))
            if size > MAX_GROWTH:
                raise InvalidInput(
                    f"{text} holds its inputs more than {MAX_GROWTH} times over, copies of copies included."
                )
            if text.makes:
                last = text.field.rpartition(".")[2]
                sizes[last] = max(sizes.get(last, 0), begun.get(last, 0) + size)
                sizes[_EVERYTHING] = sizes.get(_EVERYTHING, 1) + size


def _size(name: str, sizes: Mapping[str, int]) -> int:
    return (
        sizes.get(_EVERYTHING, 1) if name in {"$", "$root", "$nodes"} and _EVERYTHING in sizes else sizes.get(name, 1)
    )


def _of_schema(node: Node) -> tuple[dict[str, str], dict[str, Value]]:
    """Types and defaults of the node's JSON schema, where it has one. Raises InvalidInput for what is none."""
    schema = node.content.get("schema")
    if not schema:
        return {}, {}
    try:
        tree = json.loads(schema) if isinstance(schema, str) else schema
        properties = dict(tree.get("properties", {}))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InvalidInput(f"The schema of {node} is no JSON schema of an object: {error}.") from error
    kinds: dict[str, str] = {}
    defaults: dict[str, Value] = {}
    for name, said in properties.items():
        kind = said.get("type") if isinstance(said, dict) else None
        told = [each for each in (kind if isinstance(kind, list) else [kind]) if each != "null"]
        if len(told) != 1 or told[0] not in _SCHEMA_TYPES:
            raise InvalidInput.choice(f"The schema of {node}: type of {name!r}", kind, _SCHEMA_TYPES)
        kinds[name] = "FP32" if name == PROBABILITY else _SCHEMA_TYPES[str(told[0])]
        if "default" in said:
            defaults[name] = said["default"]
    return kinds, defaults


def _check_types(side: str, declared: Mapping[str, str]) -> None:
    for name, kind in declared.items():
        if kind not in DATATYPES:
            raise InvalidInput.choice(f"Datatype of {side} {name!r}", kind, DATATYPES)
