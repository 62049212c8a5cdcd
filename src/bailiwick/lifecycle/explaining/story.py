"""Story: a past prediction, looked up with all that belongs to it, and explained by the version that made it, however long ago."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.endpoints.past import PastPage, PastPrediction, RefusedRequest, Sought, output_name
from bailiwick.governance.model import ApprovalRequest
from bailiwick.lifecycle.explaining.answering import Answered, answer
from bailiwick.lifecycle.explaining.apart import SECONDS, answered_apart, one_of_few
from bailiwick.lifecycle.explaining.distance import TOLD, Distance, Nearest
from bailiwick.lifecycle.explaining.documents import ByColumns, Case, case_of
from bailiwick.lifecycle.explaining.kept import FOLDER, KeptExplanations
from bailiwick.lifecycle.explaining.model import KINDS, Asked, Explanation, Neighbour, Neighbours, plain
from bailiwick.lifecycle.explaining.rows import Background, background_of, nearest_of, row_of, sample_of
from bailiwick.lifecycle.explaining.subject import Column, Rows, RuntimeSubject, columns_of
from bailiwick.lifecycle.lineage.walk import Direction, LineageGraph, trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import signature_of, written
from bailiwick.registry.model import ModelVersion
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtimes.opening import ONNX, kind_of, opener
from bailiwick.serving.tensors import Signature, parse_signature

_PYTHON_ROWS = 2_048
_LIMITS = {
    "background": (1, 2_000),
    "permutations": (4, 2_000),
    "neighbours": (1, 100),
    "most_changes": (1, 4),
    "count": (1, 20),
    "budget": (100, 200_000),
}


@dataclass(frozen=True, slots=True)
class Recalled:
    """A past prediction with the version that made it, where that came from, and who approved it.

    `version` is None for one that is not in the registry, and `purged` says that its content was destroyed.
    """

    prediction: PastPrediction
    version: ModelVersion | None
    lineage: LineageGraph | None
    approvals: list[ApprovalRequest]
    purged: bool = False


def list_predictions(
    platform: Platform, actor: Actor, sought: Sought, *, endpoint: str = "", limit: int = 50, after: str = ""
) -> PastPage:
    """A page of an endpoint's predictions, or of all. Raises NotAllowed, NotFound, InvalidInput."""
    actor.require(Permission.PREDICTIONS_READ)
    keys = _endpoints(platform, actor.workspace, endpoint)
    page = platform.past(actor.workspace).page(keys, sought, limit=limit, after=after)
    told: dict[str, object] = {"predictions": len(page.items), "of_one_unit": bool(sought.unit)}
    for name in sorted({each.endpoint for each in page.items}):
        _journal(actor, platform, name, "prediction.listed", told)
    return page


def list_refusals(
    platform: Platform, actor: Actor, *, endpoint: str = "", limit: int = 50, before: int | None = None
) -> list[RefusedRequest]:
    """Refused requests that are on record, newest first. Raises NotAllowed, NotFound for an unknown endpoint."""
    actor.require(Permission.PREDICTIONS_READ)
    past = platform.past(actor.workspace)
    names = _endpoints(platform, actor.workspace, endpoint)
    found = [each for name in names for each in past.refusals(name, limit=limit, before=before)]
    return sorted(found, key=lambda each: (each.received, each.request_id), reverse=True)[:limit]


def recall(platform: Platform, actor: Actor, prediction_id: str, *, endpoint: str = "") -> Recalled:
    """One prediction with all that belongs to it. Where its endpoint has personal columns, the journal tells who looked.

    Raises NotAllowed, NotFound.
    """
    found = _found(platform, actor, prediction_id, endpoint)
    _journal(actor, platform, found.endpoint, "prediction.read", {"prediction": found.id})
    version = _version(platform, actor.workspace, found)
    if version is None:
        return Recalled(found, None, None, [])
    lineage = trace(platform, actor.workspace, f"version/{version.model}/{version.number}", Direction.BACKWARD)
    requests = platform.governance.requests(actor.workspace, model=version.model)
    mine = [each for each in requests if each.number == version.number]
    return Recalled(found, version, lineage, mine, purged=version.purged is not None)


def explain(
    platform: Platform, actor: Actor, prediction_id: str, asked: Asked | None = None, *, endpoint: str = ""
) -> Explanation:
    """Why the prediction came out as it did, by the version that made it; the same again is read from what was kept.

    Raises NotAllowed, NotFound (also for a version whose content was destroyed), InvalidInput for inputs that were not
    kept, for what a constant answered and for settings out of range, LimitExceeded, Unavailable.
    """
    asked = checked(asked or Asked())
    found = _found(platform, actor, prediction_id, endpoint)
    _journal(actor, platform, found.endpoint, "prediction.explained", {"prediction": found.id})
    if not found.model:
        raise InvalidInput(
            f"Prediction {found.id} cannot be explained: no version answered it, but a constant of the policy of "
            f"{found.endpoint!r}."
        )
    version = _version(platform, actor.workspace, found)
    if version is None or not version.package or version.purged is not None:
        raise NotFound(
            f"Prediction {found.id} cannot be explained: there is nothing left of {found.model} version {found.version}."
        )
    kept = KeptExplanations(platform.settings.home.resolve() / FOLDER)
    key = canonical_json([actor.workspace, found.endpoint, found.id, found.received, version.package])
    before = kept.get(key, asked)
    if before is not None:
        return before
    with one_of_few():
        made = _Work(platform, actor.workspace, found, version, asked).explanation()
    kept.put(key, made)
    return made


def checked(asked: Asked) -> Asked:
    """Raises InvalidInput naming the setting, what it is and what it may be."""
    for kind in asked.kinds:
        if kind not in KINDS:
            raise InvalidInput.choice("Kind of explanation", kind, KINDS)
    for name, (least, most) in _LIMITS.items():
        if not least <= getattr(asked, name) <= most:
            raise InvalidInput(f"{name} is {getattr(asked, name)}; it may be {least} to {most:,}.")
    return asked


class _Work:
    """One explanation that is not kept yet."""

    def __init__(
        self, platform: Platform, workspace: str, found: PastPrediction, version: ModelVersion, asked: Asked
    ) -> None:
        self._platform = platform
        self._workspace = workspace
        self._found = found
        self._version = version
        self._asked = asked
        self._case: Case | None = None

    def explanation(self) -> Explanation:
        began = time.monotonic()
        signature = parse_signature(canonical_json(signature_of(self._platform, self._version.package)).decode())
        if signature.documents:
            self._case = case_of(self._found, signature)
            self._found, signature = self._case.found, self._case.signature
        columns = columns_of(signature)
        row = row_of(self._found, columns)
        _require_params(self._found, signature)
        background = background_of(self._platform, self._workspace, self._version, columns, self._case)
        sample = sample_of(self._platform, self._workspace, background, columns, self._found, seed=self._asked.seed)
        near = self._near(background, columns, row, sample, began + SECONDS / 2)
        answered = self._answered(columns, row, sample, near)
        recorded = self._found.outputs.get(output_name(answered.output_name))
        return Explanation(
            prediction=self._found.id,
            model=self._version.model,
            version=self._version.number,
            package=self._version.package,
            asked=self._asked,
            output_name=answered.output_name,
            output=answered.output,
            recorded=float(recorded) if isinstance(recorded, int | float) else None,
            background=background.source,
            made=self._platform.records.clock(),
            seconds=round(time.monotonic() - began, 3),
            shap=answered.shap,
            neighbours=self._neighbours(near, background, answered),
            counterfactuals=answered.counterfactuals,
        )

    def _near(
        self, background: Background, columns: tuple[Column, ...], row: Rows, sample: Rows, deadline: float
    ) -> Nearest | None:
        if "neighbours" not in self._asked.kinds or not background.snapshot:
            return None
        return nearest_of(
            self._platform,
            self._workspace,
            background,
            columns,
            self._found,
            row=row,
            distance=Distance(columns, sample),
            wanted=self._asked.neighbours,
            deadline=deadline,
        )

    def _answered(self, columns: tuple[Column, ...], row: Rows, sample: Rows, near: Nearest | None) -> Answered:
        rows = None if near is None else _as_rows(near, columns)
        with tempfile.TemporaryDirectory(prefix="bailiwick-package-") as name:
            package = written(self._platform, self._version.package, Path(name))
            if kind_of(package) == ONNX:
                return answered_apart(package, row, sample, rows, self._asked)
            with closing(opener(PythonModels.of(self._platform.settings))(package)) as runtime:
                # A Python model runs confined, in a process of its own, and rules have no loops; what is done here is
                # arithmetic on answers.
                params = {name: value for name, value in self._found.params.items() if value is not None}
                face = runtime if self._case is None else ByColumns(runtime, self._case)
                subject = RuntimeSubject(face, self._asked.output, self._asked.index, _PYTHON_ROWS, params)
                return answer(subject, row, sample, rows, self._asked, seconds=SECONDS)

    def _neighbours(self, near: Nearest | None, background: Background, answered: Answered) -> Neighbours | None:
        if "neighbours" not in self._asked.kinds:
            return None
        if near is None:
            note = "The version was registered without a training snapshot that has its inputs."
            return Neighbours("", 0, [], TOLD, note)
        items = [
            Neighbour(
                distance,
                {name: plain(value) for name, value in told.items() if name != background.label},
                plain(told[background.label]) if background.label else None,
                output,
            )
            for (distance, told), output in zip(near.found(), answered.neighbours, strict=True)
        ]
        return Neighbours(background.snapshot, near.searched, items, TOLD)


def _require_params(found: PastPrediction, signature: Signature) -> None:
    """What is not on record was not given, unless the policy hid it. Raises InvalidInput."""
    hidden = [spec.name for spec in signature.params if spec.name in found.withheld]
    if hidden:
        raise InvalidInput(
            f"Prediction {found.id} cannot be explained: its endpoint's policy did not keep the params {', '.join(hidden)}.",
            hint="bailiwick endpoints recording says what is kept.",
        )


def _as_rows(near: Nearest, columns: tuple[Column, ...]) -> Rows | None:
    found = near.found()
    if not found:
        return None
    return {
        column.name: np.array([told[column.name] for _, told in found], dtype=object if column.text else np.float64)
        for column in columns
    }


def _found(platform: Platform, actor: Actor, prediction_id: str, endpoint: str) -> PastPrediction:
    actor.require(Permission.PREDICTIONS_READ)
    names = list(_endpoints(platform, actor.workspace, endpoint))
    return platform.past(actor.workspace).find(names, prediction_id)


def _endpoints(platform: Platform, workspace: str, endpoint: str) -> dict[str, str]:
    """Name and unit's column of the endpoint that is asked for, or of all."""
    if endpoint:
        return {endpoint: platform.endpoints.endpoint(workspace, endpoint).key}
    return {each.name: each.key for each in platform.endpoints.endpoints(workspace)}


def _version(platform: Platform, workspace: str, found: PastPrediction) -> ModelVersion | None:
    try:
        return platform.registry.version(workspace, found.model, found.version, deleted=True)
    except NotFound:
        return None


def _journal(actor: Actor, platform: Platform, endpoint: str, action: str, detail: dict[str, object]) -> None:
    """Who looked at predictions that are made of personal data; ids only, never what they hold."""
    if platform.endpoints.endpoint(actor.workspace, endpoint).recording.personal:
        with platform.records.change(actor, Permission.PREDICTIONS_READ) as change:
            change.record(action, f"endpoint/{endpoint}", **detail)
