"""Packages of models of which nothing says what they take: a request is one document, its answer another.

The signature has one text for each. What can be compared is the model's own example: loaded anew from its package, the model
must answer it as before. Where there is no example, nothing was compared, and the version's `parity` says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bailiwick.core.errors import CheckFailed
from bailiwick.lifecycle.packaging.children import Model, running
from bailiwick.lifecycle.packaging.keeping import Package, confinement_told, libraries_told, packed, stored
from bailiwick.lifecycle.packaging.params import described_params
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.housing import housing_of
from bailiwick.pyfunc.interpreter import Interpreter
from bailiwick.pyfunc.mlmodel import LoggedModel, example_request, example_text
from bailiwick.pyfunc.process import ModelRaised

REQUEST, RESPONSE = "request", "response"
MAX_EXAMPLE_BYTES = 64 << 10
"""Of the example that a package brings along, to warm up with and to tell a broken version from a wrong request."""

_TOLERANCE = 1e-6
_FORMS = {"dataframe": "dataframe_split", "ndarray": "inputs", "sparse_matrix_csc": "", "sparse_matrix_csr": ""}


def document_package(
    platform: Platform,
    files: Path,
    folder: Path,
    model: LoggedModel,
    interpreter: Interpreter,
    *,
    reason: str,
    watch: Callable[[str], None],
) -> Package:
    """Keep the model as one that takes documents. Raises CheckFailed where it does not answer its own example; ModelGone."""
    housing = housing_of(platform.settings)
    example = example_document(files, model)
    watch("Loading the model in a confined process")
    with running(interpreter, files, housing) as process:
        loaded = Model(process, model, documents=True)
        confined = confinement_told(process.in_force)
        before = _answer(loaded, example, "The model does not answer its own input example") if example else ""
    signature: dict[str, Any] = {
        "inputs": [{"name": REQUEST, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": RESPONSE, "datatype": "BYTES", "shape": [-1]}],
        "documents": True,
    }
    if model.params:
        signature["params"] = described_params(model)
    watch("Writing the package, and loading the model from it")
    again = packed(files, folder, model, signature, example=example if len(example) <= MAX_EXAMPLE_BYTES else "")
    with running(interpreter, again, housing) as process:
        loaded = Model(process, model, documents=True)
        after = _answer(loaded, example, "The model, loaded anew from its package, raises") if example else ""
    about = {"documents": True, "loaded_by": str(loaded.about.get("loader", ""))[:100], "reason": reason}
    parity = {"runtime": "python", **_compared(before, after), **about}
    return Package(
        stored(platform, folder),
        signature,
        parity,
        {"model_libraries": libraries_told(loaded.about), "confined": confined},
    )


def example_document(files: Path, model: LoggedModel) -> str:
    """The logged input example as a request; empty where there is none, or none that can be read without loading anything."""
    try:
        asked = json.loads(example_request(files, model) or "null")
        if isinstance(asked, dict):
            asked.pop("params", None)
            return json.dumps(asked)
        found = json.loads(example_text(files, model) or "null")
    except (ValueError, RecursionError):
        return ""
    if isinstance(found, dict) and found.keys() == {"inputs", "params"}:
        found = found["inputs"]
    form = _FORMS.get(model.example_type, "inputs")
    if found is None or not form:
        return ""
    if form == "inputs" and isinstance(found, dict) and found.keys() == {"inputs"}:
        found = found["inputs"]
    return json.dumps({form: found})


def _answer(loaded: Model, document: str, words: str) -> str:
    try:
        found = loaded.answers({REQUEST: np.array([document], dtype=object)})
    except ModelRaised as error:
        raise CheckFailed(f"{words}: {error.message}", hint=error.hint) from error
    return str(found[0][1][0])


def _compared(before: str, after: str) -> dict[str, Any]:
    if not before:
        return {"examples": 0}
    same = alike(json.loads(before), json.loads(after))
    return {
        "examples": 1,
        "passed": same,
        **({} if same else {"differs": "it answers its own example differently each time"}),
    }


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same, but for the last digits of floats."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return type(one) is type(other) and bool(one == other)
