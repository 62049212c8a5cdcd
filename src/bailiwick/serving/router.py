"""From a route table to an immutable routing snapshot: what each URL is answered by, compiled once for each change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

import orjson
from msgspec import structs

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.model import BASIS_POINTS, NO_POLICY, BreakerRule, Endpoint, Policy, Variant
from bailiwick.serving.binder import Binder
from bailiwick.serving.constant import constant_runtime
from bailiwick.serving.frames import FALLBACK, SHADOW, Definition
from bailiwick.serving.heads import Heads
from bailiwick.serving.packing import Block
from bailiwick.serving.params import DeclaredParams, Specs
from bailiwick.serving.protocol import output_opening
from bailiwick.serving.rowwise import answers_row_by_row, inline_rows, worth_gathering
from bailiwick.serving.runtime import BESIDE_LANES, Runtime
from bailiwick.serving.runtimes.residency import ResidentRuntime
from bailiwick.serving.tensors import Signature, TensorSpec
from bailiwick.serving.withholding import Withholding, withholding_of

UNASSIGNED_EPOCH = 0
"""Epoch of predictions whose client chose the version itself: they are no evidence about a split."""

MOST_ROWS = 256
"""Rows of one run of several requests, where the version's serving setting does not say: more gain nothing
(`docs/decisions/0016`), and the first waits for the last."""

MOST_INLINE_BYTES = 64 << 10
"""A larger body takes about a millisecond to read, whatever the model."""

MOST_IN_TURN = 1024
"""Requests of one endpoint that may wait for their turn in a worker, where its policy does not say."""

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
    """An endpoint ready to answer: `source` as routed by control, `endpoint` without arms of weight zero. `definition` tells the spool how its predictions are to be read, `withholding` what of a request is not written to it."""

    source: Endpoint
    endpoint: Endpoint
    arms: tuple[Arm, ...]
    only: Arm | None
    binder: Binder
    heads: Heads
    outputs: tuple[TensorSpec, ...]
    output_openings: tuple[bytes, ...]
    mixed_opening: bytes
    definition: Definition
    withholding: Withholding | None = None
    most_rows: int = 0
    """Rows that one run of several requests may have; 0 where requests are never run together."""
    worth_gathering: int = 2
    """How many requests of one turn are cheaper to answer together than one by one."""
    lanes: int = 1
    """Runs that its slowest model makes at a time."""
    inline_rows: int = 0
    """Rows that may be run in the event loop, where no model behind it is slow in itself."""
    inline_bytes: int = -1
    """Bytes that a request with so many rows has at least: a larger one goes where nothing else waits."""
    handling: Handling | None = None
    """What else than the split decides about a request; None where nothing does."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Shadows, fallbacks and variants without traffic that are not there, and why."""

    def runs_inline(self, rows: int) -> bool:
        """Whether so many rows hold the event loop no longer than they may."""
        return rows <= self.inline_rows and not self.apart

    @property
    def documents(self) -> bool:
        """Whether a request is a document: nothing says what columns its models take."""
        return self.arms[0].runtime.signature.documents

    @property
    def apart(self) -> bool:
        """Whether a model behind it may take long."""
        return any([arm.runtime.apart for arm in self.arms])  # noqa: C419 - each is asked, and so stays for a moment


@dataclass(frozen=True, slots=True)
class Shadowing:
    """A version that gets copies of the requests of a share of the units, in basis points."""

    compiled: CompiledEndpoint
    share: int
    salt: str


@dataclass(frozen=True, slots=True)
class Handling:
    """An endpoint's policy, ready to be asked. `choices` are the variants that callers may ask for, by name."""

    policy: Policy
    header: bytes
    choices: Mapping[str, CompiledEndpoint]
    shadows: tuple[Shadowing, ...]
    fallbacks: tuple[CompiledEndpoint, ...]
    breaker: BreakerRule | None


@dataclass(frozen=True, slots=True)
class Routes:
    """One revision of everything a worker answers; never changed, only replaced."""

    revision: int
    endpoints: Mapping[str, CompiledEndpoint]
    pinned: Mapping[tuple[str, str], CompiledEndpoint]
    infer_paths: Mapping[str, CompiledEndpoint]
    other_paths: Mapping[str, CompiledEndpoint]
    """Where inference is asked for in other protocols."""
    apart: Mapping[str, CompiledEndpoint]
    """Those of `infer_paths` and `other_paths` behind which a model may take long."""
    handled: bool = False
    """Whether any endpoint has a policy."""
    least_queue: int = MOST_IN_TURN
    """The smallest number of requests that any endpoint lets wait."""


NO_ROUTES = Routes(revision=0, endpoints={}, pinned={}, infer_paths={}, other_paths={}, apart={})


def compile_endpoint(
    endpoint: Endpoint, runtimes: Mapping[str, Runtime], *, problems: Mapping[str, str] | None = None
) -> CompiledEndpoint:
    """Raises InvalidInput when the variants cannot stand behind one name: other outputs, or one input of two types.

    What only the policy names may be missing in `runtimes`, for reasons that are in `problems`, or may not fit: then it is
    left out, and the endpoint says so in its own `problems`.
    """
    live = tuple(variant for variant in endpoint.variants if variant.weight > 0)
    routed = Endpoint(
        name=endpoint.name,
        salt=endpoint.salt,
        epoch=endpoint.epoch,
        variants=live,
        key=endpoint.key,
        time=endpoint.time,
        recording=endpoint.recording,
    )
    inputs, outputs = _joint_signature(endpoint.name, [runtimes[variant.loading].signature for variant in live])
    inputs, beside = _with_more(inputs, _may_stand_beside(endpoint, runtimes, outputs))
    params = _params([runtimes[variant.loading].signature for variant in live], beside)
    binder = Binder(inputs, key=endpoint.key, time=endpoint.time, params=params)
    arms = tuple(_arm(endpoint.name, variant, runtimes[variant.loading], binder) for variant in live)
    compiled = _compiled(endpoint, routed, arms, binder, outputs)
    if endpoint.policy == NO_POLICY:
        return compiled
    found = dict(problems or {})
    handling = _handling(compiled, runtimes, found)
    others = (*handling.choices.values(), *handling.fallbacks)
    least = min((other.inline_bytes for other in others), default=compiled.inline_bytes)
    return replace(compiled, handling=handling, problems=found, inline_bytes=min(compiled.inline_bytes, least))


def _compiled(
    source: Endpoint,
    routed: Endpoint,
    arms: tuple[Arm, ...],
    binder: Binder,
    outputs: tuple[TensorSpec, ...],
    role: str = "",
) -> CompiledEndpoint:
    most_inline = min(inline_rows(arm.runtime) for arm in arms)
    return CompiledEndpoint(
        source=source,
        endpoint=routed,
        arms=arms,
        only=arms[0] if len(arms) == 1 else None,
        binder=binder,
        heads=Heads(binder),
        outputs=outputs,
        output_openings=tuple(output_opening(spec) for spec in outputs),
        mixed_opening=b'{"model_name":%b,"id":"' % orjson.dumps(source.name),
        definition=Definition(next(_references), routed, binder.specs, outputs, role, _params_of(arms)),
        most_rows=_most_rows(arms),
        worth_gathering=min(worth_gathering(arm.runtime) for arm in arms),
        lanes=min(getattr(arm.runtime, "lanes", BESIDE_LANES) for arm in arms),
        inline_rows=most_inline,
        inline_bytes=_inline_bytes(most_inline, arms),
        withholding=withholding_of(routed, binder.specs, frozenset(binder.params.specs if binder.params else ())),
    )


def _params_of(arms: Sequence[Arm]) -> tuple[Specs, ...]:
    params = tuple(arm.runtime.signature.params for arm in arms)
    return params if any(params) else ()


def _inline_bytes(rows: int, arms: Sequence[Arm]) -> int:
    """In JSON a value takes two bytes at least; some hundred more are names and shapes."""
    if not rows:
        return -1
    inputs = [arm.runtime.signature.inputs for arm in arms]
    values = min(sum(spec.width for spec in specs) for specs in inputs)
    return min(MOST_INLINE_BYTES, 400 + 120 * max(map(len, inputs)) + 2 * rows * max(values, 1))


def _most_rows(arms: Sequence[Arm]) -> int:
    """The least that any of the versions is set to."""
    if not all(answers_row_by_row(arm.runtime) for arm in arms):
        return 0
    return min(arm.variant.setting.most_rows or MOST_ROWS for arm in arms)


def named_by_policy(endpoint: Endpoint) -> dict[str, Variant]:
    """Variants that get no traffic by the split and are needed nevertheless, by what they are for."""
    policy = endpoint.policy
    found = {f"shadow {shadow.variant.name}": shadow.variant for shadow in policy.shadows}
    for fallback in policy.fallbacks:
        if fallback.variant is not None:
            found[f"fallback {fallback.variant.name}"] = fallback.variant
    if policy.override_header or policy.override_parameter:
        found |= {f"variant {each.name}": each for each in endpoint.variants if not each.weight}
    return found


def _handling(compiled: CompiledEndpoint, runtimes: Mapping[str, Runtime], problems: dict[str, str]) -> Handling:
    policy = compiled.source.policy
    live = {arm.variant.package for arm in compiled.arms}
    shadows, fallbacks = [], []
    for shadow in policy.shadows:
        runtime = runtimes.get(shadow.variant.loading)
        if runtime is not None and shadow.variant.package not in live:
            beside = _beside(compiled, shadow.variant, runtime, SHADOW, f"shadow {shadow.variant.name}", problems)
            shadows += [Shadowing(each, shadow.share, f"{compiled.endpoint.salt}shadow") for each in beside]
    for fallback in policy.fallbacks:
        variant = fallback.variant
        found: Runtime | None = None
        if fallback.answer:
            variant = Variant("constant", "", 0, "constant", 0)
            found = constant_runtime(
                fallback.answer, compiled.binder, compiled.outputs, problems, documents=compiled.documents
            )
        elif variant is not None:
            found = runtimes.get(variant.loading)
        if variant is not None and found is not None:
            fallbacks += _beside(compiled, variant, found, FALLBACK, f"fallback {variant.name}", problems)
    asked = policy.override_header or policy.override_parameter
    choices = {arm.variant.name: _pin(compiled, arm.variant, arm.runtime) for arm in compiled.arms} if asked else {}
    for variant in (each for each in compiled.source.variants if asked and not each.weight):
        if variant.loading in runtimes:
            choices[variant.name] = _pin(compiled, variant, runtimes[variant.loading])
    rule = policy.breaker or (BreakerRule() if fallbacks else None)
    return Handling(
        policy=policy,
        header=policy.override_header.encode(),
        choices=choices,
        shadows=tuple(shadows),
        fallbacks=tuple(fallbacks),
        breaker=rule if rule is not None and rule.percent else None,
    )


def _beside(
    compiled: CompiledEndpoint, variant: Variant, runtime: Runtime, role: str, what: str, problems: dict[str, str]
) -> list[CompiledEndpoint]:
    """A version that is run on what was bound for the endpoint: one, or none where it does not fit."""
    held = {spec.name: spec for spec in compiled.binder.specs}
    if runtime.signature.inputs and runtime.signature.documents != compiled.documents:
        problems[what] = "It takes documents, or columns, where the variants beside it do not."
    for spec in runtime.signature.inputs:
        other = held.get(spec.name)
        if other is not None and not _same_kind(other, spec):
            problems[what] = f"It takes input {spec.name} as {spec.datatype}, not as {other.datatype}."
    if role == FALLBACK and runtime.signature.outputs != compiled.outputs:
        problems[what] = "It has other outputs than the variants it would answer for."
    if what in problems:
        return []
    arm = _arm(compiled.endpoint.name, variant, runtime, compiled.binder)
    if role == FALLBACK:
        told = b'","parameters":{"variant":%b,"fallback":true},"outputs":[' % orjson.dumps(variant.name)
        arm = replace(arm, parameters=told)
    routed = _alone(compiled.endpoint, variant)
    return [_compiled(compiled.source, routed, (arm,), compiled.binder, runtime.signature.outputs, role)]


def _alone(endpoint: Endpoint, variant: Variant) -> Endpoint:
    """The endpoint with one variant that nobody was assigned to."""
    whole = structs.replace(variant, weight=BASIS_POINTS)
    return Endpoint(endpoint.name, endpoint.salt, UNASSIGNED_EPOCH, (whole,), endpoint.key, endpoint.time)


def compile_routes(revision: int, compiled: Mapping[str, CompiledEndpoint]) -> Routes:
    """A snapshot of endpoints that are ready, with each live version also under its own URL."""
    pinned = {
        (name, str(arm.variant.version)): _pin(found, arm.variant, arm.runtime)
        for name, found in compiled.items()
        for arm in found.arms
    }
    paths = {f"/v2/models/{name}/infer": found for name, found in compiled.items()}
    paths.update({f"/v2/models/{name}/versions/{version}/infer": found for (name, version), found in pinned.items()})
    others = {f"/predict/{name}": found for name, found in compiled.items()}
    others.update({f"/endpoints/{name}/invocations": found for name, found in compiled.items()})
    if len(compiled) == 1:
        others["/invocations"] = next(iter(compiled.values()))
    every = paths | others
    bounded = any(isinstance(arm.runtime, ResidentRuntime) for found in every.values() for arm in found.arms)
    apart = ApartNow(every) if bounded else {path: found for path, found in every.items() if goes_apart(found)}
    return Routes(
        revision=revision,
        endpoints=dict(compiled),
        pinned=pinned,
        infer_paths=paths,
        other_paths=others,
        apart=apart,
        handled=any(found.handling is not None for found in compiled.values()),
        least_queue=min((most_waiting(found) for found in compiled.values()), default=MOST_IN_TURN),
    )


class ApartNow(Mapping[str, CompiledEndpoint]):
    """Paths behind which a model would take long at this moment; another moment it may be another set. Ask once, by `get`."""

    def __init__(self, paths: Mapping[str, CompiledEndpoint]) -> None:
        self._paths = paths

    def __getitem__(self, path: str) -> CompiledEndpoint:
        found = self._paths[path]
        if goes_apart(found):
            return found
        raise KeyError(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def goes_apart(compiled: CompiledEndpoint) -> bool:
    """Whether a request of it may lead to a model that takes long."""
    return compiled.apart or _may_go_apart(compiled)


def most_waiting(compiled: CompiledEndpoint) -> int:
    """Requests that may wait for it in a worker, of those that are answered in the event loop."""
    return (compiled.handling.policy.queue if compiled.handling is not None else 0) or MOST_IN_TURN


def _may_go_apart(compiled: CompiledEndpoint) -> bool:
    """Whether a caller, or a failure, may lead to a model that takes long."""
    handling = compiled.handling
    return handling is not None and any(each.apart for each in (*handling.choices.values(), *handling.fallbacks))


def _pin(compiled: CompiledEndpoint, variant: Variant, runtime: Runtime) -> CompiledEndpoint:
    """One version under its own name: who is let in is as for the endpoint, nothing else is."""
    policy = structs.replace(
        compiled.source.policy, override_header="", override_parameter="", shadows=(), fallbacks=(), slow_ms=0
    )
    endpoint = structs.replace(_alone(compiled.endpoint, variant), policy=policy)
    return compile_endpoint(endpoint, {variant.loading: runtime})


def _may_stand_beside(
    endpoint: Endpoint, runtimes: Mapping[str, Runtime], outputs: tuple[TensorSpec, ...]
) -> list[Signature]:
    """Of what only the policy names, and is there: a fallback has the outputs that it would have to give."""
    return [
        runtimes[variant.loading].signature
        for what, variant in named_by_policy(endpoint).items()
        if variant.loading in runtimes
        and (not what.startswith("fallback") or runtimes[variant.loading].signature.outputs == outputs)
    ]


def _with_more(
    inputs: tuple[TensorSpec, ...], signatures: Sequence[Signature]
) -> tuple[tuple[TensorSpec, ...], list[Signature]]:
    """And the inputs that only versions without traffic take: they may be sent, and nobody who answers looks at them.

    Those that take an input as another type are left out, with all that they take; the others are returned.
    """
    known, fitting = {spec.name: spec for spec in inputs}, []
    for signature in signatures:
        if all(_same_kind(known.get(spec.name, spec), spec) for spec in signature.inputs):
            fitting.append(signature)
            known |= {spec.name: spec for spec in signature.inputs if spec.name not in known}
    return tuple(known.values()), fitting


def _same_kind(one: TensorSpec, other: TensorSpec) -> bool:
    return (one.datatype, one.tail) == (other.datatype, other.tail)


def _params(live: Sequence[Signature], beside: Sequence[Signature]) -> DeclaredParams | None:
    """None where no version declares any, which costs nothing."""
    if not any(signature.params for signature in (*live, *beside)):
        return None
    return DeclaredParams([each.params for each in live], [each.params for each in beside])


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
    if len({signature.documents for signature in signatures}) > 1:
        raise InvalidInput(f"Versions behind {endpoint} take documents and columns, so they cannot share its traffic.")
    for signature in signatures:
        for spec in signature.inputs:
            known = inputs.setdefault(spec.name, spec)
            if not _same_kind(known, spec):
                raise InvalidInput(
                    f"Versions behind {endpoint} take input {spec.name} as {known.datatype} and as {spec.datatype}."
                )
            if known.nullable and not spec.nullable:  # what one of them refuses, none of them is sent
                inputs[spec.name] = spec
        if signature.outputs != signatures[0].outputs:
            raise InvalidInput(f"Versions behind {endpoint} have different outputs, so they cannot share its traffic.")
    return tuple(inputs.values()), signatures[0].outputs
