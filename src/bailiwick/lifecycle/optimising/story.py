"""The story itself: make the forms, measure each beside the version on held-out rows, and register one that is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError, CheckFailed, Conflict, InvalidInput
from bailiwick.core.serving_setting import ServingSetting
from bailiwick.evaluation.gates import Gate, check_gates, parse_gate
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.optimising.alone import measuring_alone
from bailiwick.lifecycle.optimising.candidates import FORMS, Candidate, candidates
from bailiwick.lifecycle.optimising.classes import class_names
from bailiwick.lifecycle.optimising.judging import ERROR, held_together, refuted
from bailiwick.lifecycle.optimising.measuring import (
    SECONDS,
    confirm,
    promising,
    runtime_of,
    served_rows,
    speed_of,
    sweep,
)
from bailiwick.lifecycle.optimising.model import Kept, Measured, Setting, Speed
from bailiwick.lifecycle.optimising.quality import Judge, Quality, judge_of
from bailiwick.lifecycle.optimising.rows import answers, columns_of, read_rows
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.rows import require_live

ORIGINAL = "as it is"
LONGEST_SECONDS = 60.0

Watch = Callable[[str, float], None]
"""Told what is begun, and how far along all of it is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked: `margin` is how much worse than the version a form may be by `metric`, `p99_ms` the objective.

    Without them the metric and the margin are those of the kind of answers. `output` is what is judged of several, `form`
    what is to be registered, so that it is what settings are tried of.
    """

    metric: str = ""
    margin: float | None = None
    distil: bool = False
    p99_ms: float | None = None
    seconds: float = SECONDS
    output: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True)
class Optimised:
    """Every form, the version itself first, and the sweep of settings of `swept`; `setting` keeps the objective, as `kept`
    shows.
    """

    version: ModelVersion
    rows: int
    metric: str
    margin: float
    forms: tuple[Measured, ...]
    swept: str
    settings: tuple[Setting, ...]
    setting: Setting | None
    kept: tuple[Kept, ...] = ()

    def form(self, name: str) -> Measured:
        """One that can be registered. Raises InvalidInput, CheckFailed."""
        known = {each.name: each for each in self.forms[1:]}
        if name not in known:
            raise InvalidInput.choice("Form", name, known)
        found = known[name]
        if found.package is None or found.problem:
            raise CheckFailed(f"The form {name!r} cannot be registered: {found.problem}.")
        return found


def check_wanted(actor: Actor, wanted: Wanted) -> None:
    """Before anything takes long: raises InvalidInput for what cannot be asked, NotAllowed for what may not be."""
    actor.require(Permission.READ)
    if wanted.margin is not None and not wanted.margin > 0:
        raise InvalidInput(f"The margin must be above 0, not {wanted.margin:g}.")
    if not 0 < wanted.seconds <= LONGEST_SECONDS:
        raise InvalidInput(f"A measurement takes up to {LONGEST_SECONDS:g} seconds, not {wanted.seconds:g}.")
    if wanted.p99_ms is not None:
        if not 0 < wanted.p99_ms < 1e7:
            raise InvalidInput(f"An objective is a time above 0, not {wanted.p99_ms:g} ms.")
        actor.require(Permission.ENDPOINTS_DEPLOY)
    if wanted.form:
        actor.require(Permission.MODELS_WRITE)
        if wanted.form not in FORMS:
            raise InvalidInput.choice("Form", wanted.form, FORMS)


def optimise(
    platform: Platform,
    actor: Actor,
    model: str,
    number: int,
    labelled: Labelled,
    wanted: Wanted | None = None,
    *,
    watch: Watch = lambda _, __: None,
) -> Optimised:
    """Measure the forms of a version. A quarter of the rows is for calibrating and teaching, the others are judged on.

    Nothing is registered. One at a time measures on a machine. Raises Conflict for a version that is not ONNX,
    InvalidInput for rows that are too few or do not suit it.
    """
    asked = wanted or Wanted()
    check_wanted(actor, asked)
    gates = [parse_gate(text) for text in labelled.gates]
    version = require_live(platform.registry.version(actor.workspace, model, number))
    if version.runtime != "onnx":
        raise Conflict(
            f"{model} version {number} is run by {version.runtime or 'nothing yet'}; what can be optimised is ONNX.",
            hint="Package it as ONNX, or optimise the steps of a composition.",
        )
    package = platform.blobs.get(version.package)
    with measuring_alone(platform.settings.home.resolve(), lambda: watch("Waiting for another measurement", 0.0)):
        return _Bench(version, package, labelled, gates, asked, watch).run()


def register_form(platform: Platform, actor: Actor, found: Optimised, name: str) -> ModelVersion:
    """The chosen form as the next version of the model, with what was measured. Raises CheckFailed for one that is worse.

    A form that is a version already is that version.
    """
    form = found.form(name)
    assert form.package is not None
    origin = found.version
    digest = platform.blobs.put(form.package)
    parity = {
        "runtime": "onnx",
        "passed": True,
        "rows": found.rows,
        "max_error": form.max_error,
        "reason": f"{name} of {origin.model} version {origin.number}: {'; '.join(form.gates)}",
        "parts": [{"step": name, "model": "", "version": origin.number, "package": origin.package}],
    }
    with measuring_alone(platform.settings.home.resolve(), lambda: None):
        for each in platform.registry.versions(actor.workspace, origin.model):
            if each.package == digest:
                return each
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


def write_setting(platform: Platform, actor: Actor, version: ModelVersion, setting: Setting) -> ModelVersion:
    """Have the version run by the setting that keeps the objective, wherever it is served. The same again changes nothing."""
    why = f"p99 {setting.p99_ms:.3g} ms, {setting.rows_per_second:,.0f} rows/s when it was measured"
    wanted = ServingSetting(setting.threads, served_rows(setting), setting.workers, why)
    return platform.registry.set_serving(actor, version.model, version.number, wanted, reason="optimised")


class _Bench:
    """The rows that forms are judged on; the version itself is measured first, and the others are held against it."""

    def __init__(
        self,
        version: ModelVersion,
        package: bytes,
        labelled: Labelled,
        gates: Sequence[Gate],
        wanted: Wanted,
        watch: Watch,
    ) -> None:
        watch("Reading the rows", 0.0)
        self.version, self.package, self.wanted, self.watch = version, package, wanted, watch
        self.gates = gates
        self.runtime = runtime_of(package)
        signature = self.runtime.signature
        held = read_rows(labelled, signature.inputs)
        known, judged = held.slice(0, len(held) // 4), held.slice(len(held) // 4)
        self.known = columns_of(known, signature.inputs)
        self.columns = columns_of(judged, signature.inputs)
        self.rows = len(judged)
        answered = answers(self.runtime, self.columns)
        self.judge: Judge = judge_of(
            signature,
            judged,
            labelled.label,
            labelled.positive,
            wanted.output,
            classes=lambda name: class_names(onnx.load_from_string(package), answered, name),
        )
        if gates and self.judge.kind != "probability":
            raise InvalidInput("Gates are about the probability of a positive, which this version does not tell.")
        self.original = self.judge.quality(answered)
        if (wanted.metric or self.judge.metric) not in self.original.losses:
            raise InvalidInput.choice("Metric to compare by", wanted.metric, self.original.losses)
        self.metric = wanted.metric or self.judge.metric
        self.margin = self.judge.margin(self.original, self.metric) if wanted.margin is None else wanted.margin

    def run(self) -> Optimised:
        """Everything, in order."""
        made = [Candidate(ORIGINAL, self.package)]
        for each in candidates(self.package, self.known, answers(self.runtime, self.known), distil=self.wanted.distil):
            self.watch(f"Making: {each.name}", 0.02 + 0.2 * len(made) / len(FORMS))
            made.append(each)
        forms = self._judged(made)
        for place, form in enumerate(forms):
            if form.size_bytes:
                self.watch(f"Timing: {form.name}", 0.25 + 0.4 * place / len(forms))
                forms[place] = replace(form, speed=self._speed(form))
        best = self._to_be_served(forms)
        swept = best.package or self.package
        settings = sweep(
            swept,
            self.columns,
            seconds=self.wanted.seconds,
            watch=lambda share: self.watch(f"Trying settings of: {best.name}", 0.65 + 0.25 * share),
        )
        kept: list[Kept] = []
        if self.wanted.p99_ms is not None:
            self.watch("Confirming the objective", 0.9)
            tried = promising(settings, self.wanted.p99_ms)
            kept = confirm(swept, self.columns, tried, self.wanted.p99_ms, seconds=self.wanted.seconds)
        setting = next((each.setting for each in kept if each.shown), None)
        return Optimised(
            self.version,
            self.rows,
            self.metric,
            self.margin,
            tuple(forms),
            best.name,
            tuple(settings),
            setting,
            tuple(kept),
        )

    def _to_be_served(self, forms: Sequence[Measured]) -> Measured:
        """Whose settings are tried: the form that is to be registered; with an objective the version itself, whose setting
        it becomes; else the fastest that is no worse.
        """
        usable = [each for each in forms[1:] if not each.problem]
        if self.wanted.form or self.wanted.p99_ms is not None:
            return next((each for each in usable if each.name == self.wanted.form), forms[0])
        return min((each for each in usable if each.speed.faster), key=lambda each: each.speed.ratio, default=forms[0])

    def _speed(self, form: Measured) -> Speed:
        assert form.package is not None
        original = form.name == ORIGINAL
        runtime = self.runtime if original else runtime_of(form.package)
        beside = None if original else self.runtime
        return speed_of(runtime, self.columns, beside=beside, seconds=self.wanted.seconds)

    def _judged(self, made: Sequence[Candidate]) -> list[Measured]:
        """What each is worth; those that run are held against the version together."""
        found: list[tuple[Candidate, Quality | None, str]] = []
        for place, each in enumerate(made):
            self.watch(f"Judging: {each.name}", 0.22 + 0.03 * place / len(made))
            found.append((each, *self._quality(each)))
        ran = [place for place, (each, quality, _) in enumerate(found) if quality is not None and each.name != ORIGINAL]
        differences = {
            place: quality.losses[self.metric] - self.original.losses[self.metric]
            for place, (_, quality, _) in enumerate(found)
            if place in ran and quality is not None
        }
        adjusted = held_together([refuted(differences[place], self.margin) for place in ran])
        p_values = dict(zip(ran, adjusted, strict=True))
        forms = []
        for place, (each, quality, problem) in enumerate(found):
            if quality is None or each.package is None:
                forms.append(Measured(each.name, problem))
            elif place not in p_values:
                forms.append(
                    Measured(
                        each.name,
                        size_bytes=len(each.package),
                        metrics=quality.metrics,
                        p_value=0.0,
                        package=each.package,
                    )
                )
            else:
                mean = float(differences[place].mean())
                problems, told = self._verdict(quality, mean, p_values[place])
                forms.append(
                    Measured(
                        each.name,
                        "; ".join(problems),
                        len(each.package),
                        metrics=quality.metrics,
                        max_error=quality.furthest_from(self.original),
                        difference=mean,
                        p_value=p_values[place],
                        gates=told,
                        package=each.package,
                    )
                )
        return forms

    def _quality(self, each: Candidate) -> tuple[Quality | None, str]:
        if each.package is None:
            return None, each.reason
        if each.name == ORIGINAL:
            return self.original, ""
        try:
            return self.judge.quality(answers(runtime_of(each.package), self.columns)), ""
        except (BailiwickError, ValueError, RuntimeError) as error:
            return None, f"it does not run: {str(error).splitlines()[0][:200]}"

    def _verdict(self, quality: Quality, mean: float, p_value: float) -> tuple[list[str], tuple[str, ...]]:
        """What is wrong with it, and what every gate said: that it is no worse, and those that were given."""
        said = (
            f"the loss behind {self.metric} is {mean:+.4g}, and that it is {self.margin:.4g} or more is"
            f" {'refuted' if p_value <= ERROR else 'not refuted'} (p = {p_value:.2g} for all forms together)"
        )
        problems = [] if p_value <= ERROR else [f"it may be worse: {said}"]
        evaluation, original = quality.evaluation, self.original.evaluation
        results = check_gates(self.gates, evaluation, original) if evaluation is not None else []
        problems += [each.message for each in results if not each.passed]
        return problems, (said, *(each.message for each in results if each.passed))
