"""The story itself: fetch, load in a process that can do no harm, convert, compare, keep, attach.

This process reads the model's files as bytes, `MLmodel` and the example as text, and ONNX graphs; it never loads a model
and never unpickles. A pass that is killed leaves nothing but a scratch folder, and is simply made again.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError, CheckFailed
from bailiwick.lifecycle.packaging import gate, pass_through
from bailiwick.lifecycle.packaging.children import Converted, Model, converted, running, told
from bailiwick.lifecycle.packaging.documents import document_package, example_document
from bailiwick.lifecycle.packaging.fetching import fetch, take
from bailiwick.lifecycle.packaging.graphs import Graphs, tried
from bailiwick.lifecycle.packaging.keeping import Package, confinement_told, libraries_told, packed, stored
from bailiwick.lifecycle.packaging.params import described_params, with_params
from bailiwick.lifecycle.packaging.probing import Undescribed, answers
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.housing import housing_of, interpreters_of
from bailiwick.pyfunc.inferring import inferred
from bailiwick.pyfunc.interpreter import Interpreter, read_needs
from bailiwick.pyfunc.mlmodel import CONVERTIBLE, DTYPES, LoggedModel, read_example, read_mlmodel
from bailiwick.pyfunc.process import Housing
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.rows import require_live
from bailiwick.training.agreement import TOLERANCE, compare
from bailiwick.training.wrapping import Draft, Input

ONNX, PYTHON = "onnx", "python"
_UNSAID = (
    "it was logged without a signature, and neither an input example nor the model itself says what its inputs are"
)

Watch = Callable[[str], None]
"""Hears what is being done, in words."""


def package_version(
    platform: Platform,
    actor: Actor,
    model: str,
    number: int,
    *,
    build_environment: bool = False,
    refuse_nulls: bool = False,
    given: Path | None = None,
    watch: Watch | None = None,
) -> ModelVersion:
    """Give a version that was registered from MLflow its package; one that has a package is returned as it is.

    The package is ONNX when the converted graph passes the parity gate. Otherwise it is the model itself, to be run by
    Python, and `parity` says why. With `refuse_nulls` a graph may pass that differs only where a value is null, and the
    package then takes no null. `given` is a folder with the files of a version that are not kept here; `parity` then
    has their digest. A model of which nothing says what its inputs are gets a package that takes documents.
    Raises Conflict for a version whose files are not kept here, InvalidInput for one that is no MLflow model,
    NoInterpreter, CannotConfine, ModelRaised and ModelGone from loading it.
    """
    actor.require(Permission.MODELS_WRITE)
    version = require_live(platform.registry.version(actor.workspace, model, number))
    if version.package:
        return version
    watch = watch or _unwatched
    with _scratch() as folder:
        watch("Fetching the model's files")
        files = folder / "files"
        by_hand = {} if given is None else {"given": take(version, given, files)}
        if given is None:
            fetch(platform, version, files)
        model_of = read_mlmodel(files)
        if not model_of.inputs and not model_of.beyond:
            model_of = inferred(files, model_of)
        if "onnx" in model_of.flavours:
            made = _passed_through(platform, files, model_of, watch)
        else:
            interpreter = _interpreter(platform, files, model_of, build_environment=build_environment, watch=watch)
            if not model_of.inputs and not model_of.beyond and set(CONVERTIBLE) & set(model_of.flavours):
                watch("Asking the model what it was taught")
                model_of = told(interpreter, files, housing_of(platform.settings), model_of)
            made = _loaded(_Work(platform, files, folder, model_of, interpreter, refuse_nulls, watch))
    return platform.registry.attach_package(
        actor,
        model,
        number,
        package=made.digest,
        signature=made.signature,
        parity={**made.parity, **by_hand},
        environment={**version.environment, **made.environment},
    )


def _passed_through(platform: Platform, files: Path, model: LoggedModel, watch: Watch) -> Package:
    watch("Checking the ONNX model")
    with tried(housing_of(platform.settings), platform.settings.models_seconds) as graphs:
        passed = pass_through.package(files, model, graphs)
    parity = {"runtime": ONNX, **gate.told(passed.report), "reason": passed.reason}
    package = with_params(passed.package, model)
    return Package(platform.blobs.put(package), _signature_of(package), parity, {})


def _interpreter(
    platform: Platform, files: Path, model: LoggedModel, *, build_environment: bool, watch: Watch
) -> Interpreter:
    needs = read_needs(files)
    if not build_environment:
        return interpreters_of(platform.settings).choose(model.flavours, needs.digest)
    watch("Making the model's environment")
    return interpreters_of(platform.settings).build(needs)


@dataclass(frozen=True, slots=True)
class _Work:
    """One model on its way to a package."""

    platform: Platform
    files: Path
    folder: Path
    model: LoggedModel
    interpreter: Interpreter
    refuse_nulls: bool
    watch: Watch

    @property
    def housing(self) -> Housing:
        """Where models are run."""
        return housing_of(self.platform.settings)

    def package(self) -> Package:
        with tried(self.housing, self.platform.settings.models_seconds) as graphs:
            return self._package(graphs)

    def of_documents(self, reason: str) -> Package:
        """For one that says nothing, or nothing true, of what it takes."""
        return document_package(
            self.platform, self.files, self.folder, self.model, self.interpreter, reason=reason, watch=self.watch
        )

    def _package(self, graphs: Graphs) -> Package:
        self.watch("Loading the model in a confined process")
        with running(self.interpreter, self.files, self.housing) as process:
            loaded = Model(process, self.model)
            confined = confinement_told(process.in_force)
            self.watch("Converting it to ONNX")
            handed = self.folder / "handed"
            handed.mkdir(mode=0o755)
            own = Path(sys.executable).absolute()
            offered = converted(self.model, process, self.interpreter, own, handed, self.housing)
            drafts, reason = _drafts(offered, self.model, graphs)
            self.watch("Asking the model for rows to compare on")
            example = read_example(self.files, self.model)
            known = gate.reference(self.model, loaded, example, drafts[0] if drafts else None)
        self.watch(f"Comparing {known.count:,} rows")
        judged = [gate.judge(each, self.model, known, graphs, refuse_nulls=self.refuse_nulls) for each in drafts]
        about = {"example_rows": known.probes.real, "loaded_by": str(loaded.about.get("loader", ""))[:100]}
        environment = {"model_libraries": libraries_told(loaded.about), "confined": confined}
        passed = next((each for each in judged if each.package is not None), None)
        if passed is not None and passed.package is not None:
            parity = {"runtime": ONNX, **gate.told(passed.report), **about, "reason": passed.reason}
            package = with_params(passed.package, self.model)
            return Package(self.platform.blobs.put(package), _signature_of(package), parity, environment)
        reason = reason or judged[0].reason
        attempt = gate.told(next((each.report for each in judged if each.report is not None), None))
        return self._as_python(known, {"reason": reason, "onnx": attempt, **about}, environment)

    def _as_python(self, known: gate.Reference, about: dict[str, Any], environment: dict[str, Any]) -> Package:
        """The model as it is, checked by loading the package anew: the same rows must get the same answers."""
        signature: dict[str, Any] = {
            "inputs": [_described(each) for each in known.inputs(self.model.inputs)],
            "outputs": [
                {"name": name, "datatype": _oip(values.dtype.name), "shape": [-1, *values.shape[1:]]}
                for name, values in known.expected
            ],
        }
        if self.model.params:
            signature["params"] = described_params(self.model)
        self.watch("Writing the package, and loading the model from it")
        again = packed(self.files, self.folder, self.model, signature)
        with running(self.interpreter, again, self.housing) as process:
            found, refused = answers(Model(process, self.model).answers, known.rows)
        if refused.any():
            raise CheckFailed("The model, loaded anew from its package, refuses rows that it answered before.")
        report = compare(known.rows, known.expected, found, probes=known.made, tolerance=TOLERANCE)
        parity = {"runtime": PYTHON, **gate.told(report), **about}
        return Package(stored(self.platform, self.folder), signature, parity, environment)


def _loaded(work: _Work) -> Package:
    """The package of a model that has to be loaded: by its columns or tensors where it has such, else by documents."""
    if not work.model.inputs:
        return work.of_documents(work.model.beyond or _UNSAID)
    try:
        return work.package()
    except Undescribed as error:
        if error.answered:
            return work.of_documents(error.message[:500])
        if not example_document(work.files, work.model):
            raise
        try:
            return work.of_documents(error.message[:500])
        except CheckFailed:
            raise error from None


def _drafts(offered: Converted, model: LoggedModel, graphs: Graphs) -> tuple[list[Draft], str]:
    """What of the converter's graphs can be fed; and why there is none."""
    drafts, reason = [], offered.reason
    inputs = [Input(each.name, each.datatype, each.shape) for each in model.inputs]
    for form, data in offered.graphs:
        try:
            drafts.append(Draft(data, inputs, matrix=form == "matrix", opened=graphs.open))
        except (BailiwickError, ValueError) as error:
            reason = reason or f"the converted graph cannot be used: {str(error).splitlines()[0][:300]}"
    return drafts, "" if drafts else reason or "the converter gave no graph"


def _unwatched(words: str) -> None:
    """Nobody hears it."""


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that a confined process can be shown parts of; nobody else can list it."""
    folder = Path(tempfile.mkdtemp(prefix="bailiwick-package-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _signature_of(package: bytes) -> dict[str, Any]:
    from bailiwick.lifecycle.scoring import load
    from bailiwick.training.metadata import read_metadata

    return read_metadata(load(package)).signature


def _described(each: Input) -> dict[str, Any]:
    told: dict[str, Any] = {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
    return told if each.nullable else {**told, "nullable": False}


def _oip(dtype: str) -> str:
    return next((datatype for datatype, name in DTYPES.items() if name == dtype), "BYTES")
