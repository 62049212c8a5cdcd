"""From a route table to an immutable routing snapshot: what each URL is answered by, compiled once for each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import orjson

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.model import BASIS_POINTS, Endpoint, Variant
from bailiwick.serving.binder import Binder
from bailiwick.serving.frames import Definition
from bailiwick.serving.packing import Block
from bailiwick.serving.protocol import output_opening
from bailiwick.serving.runtime import Runtime
from bailiwick.serving.tensors import Signature, TensorSpec

UNASSIGNED_EPOCH = 0
"""Epoch of predictions whose client chose the version itself: they are no evidence about a split."""

_references = count(1)


class Columns(NamedTuple):
    """One block of an arm: for each of its inputs, the endpoint's block and the column there (None: all of it)."""

    name: str
    places: tuple[tuple[str, int | None], ...]
    row_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant ready to answer. `opening` is the start of its responses, up to the id.

    `columns` says how its blocks are taken from those of the endpoint; None when they are the same.
    """

    variant: Variant
    runtime: Runtime
    input_names: frozenset[str]
    columns: tuple[Columns, ...] | None
    opening: bytes
    parameters: bytes


@dataclass(frozen=True, slots=True)
class CompiledEndpoint:
    """An endpoint ready to answer: `source` as routed by control, `endpoint` without arms of weight zero. `definition` tells the spool how its predictions are to be read."""

    source: Endpoint
    endpoint: Endpoint
    arms: tuple[Arm, ...]
    only: Arm | None
    binder: Binder
    outputs: tuple[TensorSpec, ...]
    output_openings: tuple[bytes, ...]
    mixed_opening: bytes
    definition: Definition


@dataclass(frozen=True, slots=True)
class Routes:
    """One revision of everything a worker answers; never changed, only replaced."""

    revision: int
    endpoints: Mapping[str, CompiledEndpoint]
    pinned: Mapping[tuple[str, str], CompiledEndpoint]
    infer_paths: Mapping[str, CompiledEndpoint]
    apart: Mapping[str, CompiledEndpoint]
    """Those of `infer_paths` behind which a model may take long."""


NO_ROUTES = Routes(revision=0, endpoints={}, pinned={}, infer_paths={}, apart={})


def compile_endpoint(endpoint: Endpoint, runtimes: Mapping[str, Runtime]) -> CompiledEndpoint:
    """Raises InvalidInput when the variants cannot stand behind one name: other outputs, or one input of two types."""
    live = tuple(variant for variant in endpoint.variants if variant.weight > 0)
    routed = Endpoint(
        name=endpoint.name,
        salt=endpoint.salt,
        epoch=endpoint.epoch,
        variants=live,
        key=endpoint.key,
        time=endpoint.time,
    )
    inputs, outputs = _joint_signature(endpoint.name, [runtimes[variant.package].signature for variant in live])
    binder = Binder(inputs, key=endpoint.key, time=endpoint.time)
    arms = tuple(_arm(endpoint.name, variant, runtimes[variant.package], binder) for variant in live)
    return CompiledEndpoint(
        source=endpoint,
        endpoint=routed,
        arms=arms,
        only=arms[0] if len(arms) == 1 else None,
        binder=binder,
        outputs=outputs,
        output_openings=tuple(output_opening(spec) for spec in outputs),
        mixed_opening=b'{"model_name":%b,"id":"' % orjson.dumps(endpoint.name),
        definition=Definition(reference=next(_references), endpoint=routed, inputs=inputs, outputs=outputs),
    )


def compile_routes(revision: int, compiled: Mapping[str, CompiledEndpoint]) -> Routes:
    """A snapshot of endpoints that are ready, with each live version also under its own URL."""
    pinned = {
        (name, str(arm.variant.version)): _pin(found, arm) for name, found in compiled.items() for arm in found.arms
    }
    paths = {f"/v2/models/{name}/infer": found for name, found in compiled.items()}
    paths.update({f"/v2/models/{name}/versions/{version}/infer": found for (name, version), found in pinned.items()})
    apart = {path: found for path, found in paths.items() if any(arm.runtime.apart for arm in found.arms)}
    return Routes(revision=revision, endpoints=dict(compiled), pinned=pinned, infer_paths=paths, apart=apart)


def _pin(compiled: CompiledEndpoint, arm: Arm) -> CompiledEndpoint:
    whole = Variant(arm.variant.name, arm.variant.model, arm.variant.version, arm.variant.package, BASIS_POINTS)
    endpoint = Endpoint(
        name=compiled.endpoint.name,
        salt=compiled.endpoint.salt,
        epoch=UNASSIGNED_EPOCH,
        variants=(whole,),
        key=compiled.endpoint.key,
        time=compiled.endpoint.time,
    )
    return compile_endpoint(endpoint, {arm.variant.package: arm.runtime})


def _arm(endpoint: str, variant: Variant, runtime: Runtime, binder: Binder) -> Arm:
    return Arm(
        variant=variant,
        runtime=runtime,
        input_names=frozenset(spec.name for spec in runtime.signature.inputs),
        columns=None if _alike(runtime.blocks, binder.blocks) else _columns(runtime.blocks, binder.blocks),
        opening=b'{"model_name":%b,"model_version":"%d","id":"' % (orjson.dumps(endpoint), variant.version),
        parameters=b'","parameters":{"variant":%b},"outputs":[' % orjson.dumps(variant.name),
    )


def _alike(wanted: Sequence[Block], held: Sequence[Block]) -> bool:
    """Whether arrays made for `held` are those that `wanted` are; who takes null is a matter of binding."""
    return [(block.name, _shapes(block)) for block in wanted] == [(block.name, _shapes(block)) for block in held]


def _shapes(block: Block) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.datatype, spec.shape) for spec in block.specs]


def _columns(wanted: Sequence[Block], held: Sequence[Block]) -> tuple[Columns, ...]:
    places: dict[str, tuple[str, int | None]] = {}
    for block in held:
        for column, spec in enumerate(block.specs):
            places[spec.name] = (block.name, column if len(block.specs) > 1 else None)
    return tuple(
        Columns(block.name, tuple(places[spec.name] for spec in block.specs), block.row_shape) for block in wanted
    )


def _joint_signature(
    endpoint: str, signatures: Sequence[Signature]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    inputs: dict[str, TensorSpec] = {}
    for signature in signatures:
        for spec in signature.inputs:
            known = inputs.setdefault(spec.name, spec)
            if (known.datatype, known.tail) != (spec.datatype, spec.tail):
                raise InvalidInput(
                    f"Versions behind {endpoint} take input {spec.name} as {known.datatype} and as {spec.datatype}."
                )
            if known.nullable and not spec.nullable:  # what one of them refuses, none of them is sent
                inputs[spec.name] = spec
        if signature.outputs != signatures[0].outputs:
            raise InvalidInput(f"Versions behind {endpoint} have different outputs, so they cannot share its traffic.")
    return tuple(inputs.values()), signatures[0].outputs
