"""The story itself: make the forms, measure each beside the version on held-out rows, and register one that is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError, CheckFailed, Conflict, InvalidInput
from bailiwick.evaluation.gates import check_gates, loss_difference, parse_gate
from bailiwick.evaluation.metrics import METRICS
from bailiwick.evaluation.model import Evaluation
from bailiwick.evaluation.slices import evaluate
from bailiwick.features.columns import tensor
from bailiwick.features.labels import labels_of
from bailiwick.features.model import OUTPUT
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.optimising.candidates import Candidate, Columns, candidates
from bailiwick.lifecycle.optimising.measuring import SECONDS, Setting, Speed, choose, runtime_of, speed_of, sweep
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import score
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.rows import require_live

ORIGINAL = "as it is"
SETTING_TAG = "serving.setting"
MAX_ROWS = 200_000
LEAST_ROWS = 100
_SHOWN_ROWS = 4_096

Watch = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked: `margin` is how much worse than the version a form may be by `metric`, `p99_ms` the objective."""

    metric: str = "log_loss"
    margin: float = 0.005
    distil: bool = False
    p99_ms: float | None = None
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class Measured:
    """One form, and what was measured of it; `problem` says why it is none to choose, empty where it is one."""

    name: str
    problem: str = ""
    size_bytes: int = 0
    speed: Speed = field(default_factory=Speed)
    metrics: Mapping[str, float] = field(default_factory=dict)
    max_error: float = 0.0
    gates: tuple[str, ...] = ()
    package: bytes | None = None


@dataclass(frozen=True, slots=True)
class Optimised:
    """Every form, the version itself first, and the sweep of settings of `swept`; `setting` meets the objective."""

    version: ModelVersion
    rows: int
    forms: tuple[Measured, ...]
    swept: str
    settings: tuple[Setting, ...]
    setting: Setting | None

    def form(self, name: str) -> Measured:
        """One that can be registered. Raises InvalidInput, CheckFailed."""
        known = {each.name: each for each in self.forms[1:]}
        if name not in known:
            raise InvalidInput.choice("Form", name, known)
        found = known[name]
        if found.package is None or found.problem:
            raise CheckFailed(f"The form {name!r} cannot be registered: {found.problem}.")
        return found


def optimise(
    platform: Platform,
    actor: Actor,
    model: str,
    number: int,
    labelled: Labelled,
    wanted: Wanted | None = None,
    *,
    watch: Watch = lambda _: None,
) -> Optimised:
    """Measure the forms of a version. A quarter of the rows is for calibrating and teaching, the others are judged on.

    Nothing is registered. Raises Conflict for a version that is not ONNX, InvalidInput for too few rows.
    """
    asked = wanted or Wanted()
    if METRICS.get(asked.metric) is None or METRICS[asked.metric].losses is None:
        raise InvalidInput.choice(
            "Metric to compare by", asked.metric, [n for n, each in METRICS.items() if each.losses]
        )
    version = require_live(platform.registry.version(actor.workspace, model, number))
    if version.runtime != "onnx":
        raise Conflict(
            f"{model} version {number} is run by {version.runtime or 'nothing yet'}; what can be optimised is ONNX.",
            hint="Package it as ONNX, or optimise the steps of a composition.",
        )
    package = platform.blobs.get(version.package)
    inputs = _inputs(package)
    watch("Reading the rows")
    held = _rows(labelled, inputs)
    known, judged = held.slice(0, len(held) // 4), held.slice(len(held) // 4)
    bench = _Bench(package, judged, labelled, inputs, asked)
    columns = _columns(known, inputs)
    forms = [bench.measure(Candidate(ORIGINAL, package))]
    for each in candidates(package, columns, score(package, known).astype(np.float32), distil=asked.distil):
        watch(f"Measuring: {each.name}")
        forms.append(bench.measure(each))
    usable = [each for each in forms if each.package is not None and not each.problem]
    best = min(usable, key=lambda each: each.speed.p50_us, default=forms[0])
    watch(f"Trying settings of: {best.name}")
    settings = sweep(best.package or package, bench.columns, seconds=asked.seconds)
    chosen = choose(settings, asked.p99_ms) if asked.p99_ms is not None else None
    return Optimised(version, len(judged), tuple(forms), best.name, tuple(settings), chosen)


def register_form(platform: Platform, actor: Actor, found: Optimised, name: str) -> ModelVersion:
    """The chosen form as the next version of the model, with what was measured. Raises CheckFailed for one that is worse."""
    form = found.form(name)
    assert form.package is not None
    origin = found.version
    digest = platform.blobs.put(form.package)
    for each in platform.registry.versions(actor.workspace, origin.model):
        if each.package == digest:
            return each
    parity = {
        "runtime": "onnx",
        "passed": True,
        "rows": found.rows,
        "max_error": form.max_error,
        "reason": f"{name} of {origin.model} version {origin.number}: {'; '.join(form.gates)}",
        "parts": [{"step": name, "model": origin.model, "version": origin.number, "package": origin.package}],
    }
    return platform.registry.register(
        actor,
        origin.model,
        package=digest,
        run_id="",
        snapshot=origin.snapshot,
        signature=origin.signature,
        metrics=form.metrics,
        slices={},
        parity=parity,
        environment=origin.environment,
        code_version=origin.code_version,
        parameters={**origin.parameters, "optimised": name},
        reference_profile=origin.reference_profile,
        description=f"{name} of version {origin.number}",
    )


def write_setting(platform: Platform, actor: Actor, version: ModelVersion, setting: Setting) -> None:
    """Keep the setting that meets the objective with the version, as a tag. The same again changes nothing."""
    actor.require(Permission.MODELS_WRITE)
    told = {"workers": setting.callers, "batch": setting.batch, "p99_ms": round(setting.p99_ms, 3)}
    platform.registry.tag_version(
        actor,
        version.model,
        version.number,
        SETTING_TAG,
        json.dumps({**told, "rows_per_second": round(setting.rows_per_second)}),
    )


def _inputs(package: bytes) -> dict[str, str]:
    """Datatype by input. Raises InvalidInput for a package that cannot be judged row by row."""
    signature = runtime_of(package).signature
    if OUTPUT not in {spec.name for spec in signature.outputs}:
        raise InvalidInput(
            f"To be judged, a version needs an output {OUTPUT!r}: the probability of the positive class."
        )
    wide = [spec for spec in signature.inputs if spec.width != 1]
    if wide:
        raise InvalidInput(
            f"Input {wide[0].name!r} is {list(wide[0].shape)}; rows of columns can be judged, matrices not."
        )
    return {spec.name: spec.datatype for spec in signature.inputs}


@dataclass(slots=True)
class _Bench:
    """The rows that forms are judged on; the first that is measured is what the others are held against."""

    package: bytes
    rows: pa.Table
    labelled: Labelled
    inputs: Mapping[str, str]
    wanted: Wanted
    columns: Columns = field(init=False)
    labels: NDArray[np.int64] = field(init=False)
    original: Evaluation | None = None

    def __post_init__(self) -> None:
        self.columns = _columns(self.rows.slice(0, _SHOWN_ROWS), self.inputs)
        self.labels = labels_of(self.rows, column=self.labelled.label, positive=self.labelled.positive)

    def measure(self, candidate: Candidate) -> Measured:
        if candidate.package is None:
            return Measured(candidate.name, candidate.reason)
        try:
            runtime = runtime_of(candidate.package)
            evaluation = evaluate(self.labels, score(candidate.package, self.rows))
        except (BailiwickError, ValueError, RuntimeError) as error:
            return Measured(candidate.name, f"it does not run: {str(error).splitlines()[0][:200]}")
        original = self.original = self.original or evaluation
        problems, gates = self._judged(evaluation, original)
        return Measured(
            candidate.name,
            "; ".join(problems) if evaluation is not original else "",
            len(candidate.package),
            speed_of(runtime, self.columns, seconds=self.wanted.seconds),
            evaluation.metrics,
            float(np.abs(evaluation.scores - original.scores).max()),
            gates,
            candidate.package,
        )

    def _judged(self, evaluation: Evaluation, original: Evaluation) -> tuple[list[str], tuple[str, ...]]:
        """What is wrong with it, and what every gate said: that it is no worse, and those that were given."""
        mean, bound = loss_difference(self.wanted.metric, evaluation, original)
        said = f"{self.wanted.metric} {mean:+.4g}, at most {bound:+.4g} with 95 % confidence; {self.wanted.margin:g} is allowed"
        problems = [] if bound <= self.wanted.margin else [f"it is worse: {said}"]
        results = check_gates([parse_gate(text) for text in self.labelled.gates], evaluation, original)
        problems += [each.message for each in results if not each.passed]
        return problems, (said, *(each.message for each in results if each.passed))


def _rows(labelled: Labelled, inputs: Mapping[str, str]) -> pa.Table:
    """At most so many rows, held; in an order that is not that of the source."""
    needed = [labelled.label, *inputs]
    for name in needed:
        if name not in labelled.rows.columns:
            raise InvalidInput.choice("Column of the labelled rows", name, labelled.rows.columns)
    batches, count = [], 0
    for batch in labelled.rows.read(list(dict.fromkeys(needed))):
        batches.append(batch)
        count += batch.num_rows
        if count >= MAX_ROWS:
            break
    table = pa.Table.from_batches(batches) if batches else None
    if table is None or table.num_rows < LEAST_ROWS:
        raise InvalidInput(f"Optimising needs at least {LEAST_ROWS} labelled rows; there are {count}.")
    order = np.random.default_rng(7).permutation(min(table.num_rows, MAX_ROWS))
    return table.take(order)


def _columns(rows: pa.Table, inputs: Mapping[str, str]) -> Columns:
    return {name: tensor(rows.column(name), datatype) for name, datatype in inputs.items()}


def told(forms: Sequence[Measured]) -> list[dict[str, Any]]:
    """As plain JSON, without the packages."""
    return [
        {
            "form": each.name,
            "problem": each.problem,
            "bytes": each.size_bytes,
            "p50_us": round(each.speed.p50_us, 1),
            "p99_us": round(each.speed.p99_us, 1),
            "rows_per_second": {str(batch): round(rate) for batch, rate in each.speed.rows_per_second.items()},
            "metrics": dict(each.metrics),
            "max_error": each.max_error,
            "gates": list(each.gates),
        }
        for each in forms
    ]
