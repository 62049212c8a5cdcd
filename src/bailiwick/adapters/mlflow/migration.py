"""Story: a whole MLflow server moves here, over REST, with ids, times, histories, files and numbers as they are there.

It may be stopped anywhere and begun again. What arrived is marked (`tracking.imports`) with a digest of what was said of
it, so that what has not changed since is passed over for the price of one page. In the end both sides are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bailiwick.adapters.mlflow import answers
from bailiwick.adapters.mlflow.answers import RemoteExperiment, RemoteModel, RemoteRun
from bailiwick.adapters.mlflow.census import Counts, Report
from bailiwick.adapters.mlflow.files import count_files, move_files
from bailiwick.adapters.mlflow.registered import RegistryMigration
from bailiwick.adapters.mlflow.remote import RemoteMlflow
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, LimitExceeded, NotFound
from bailiwick.lifecycle.platform import Platform
from bailiwick.tracking.imports.model import Kind, Mark
from bailiwick.tracking.model import DEFAULT_EXPERIMENT, ENDED, Experiment, MetricPoint

POINTS_AT_ONCE = 10_000
NAMED = 12

Item = TypeVar("Item")

Watcher = Callable[[str, int, int, str], None]
"""Told what is being moved, how many of it are done, of how many (0: unknown), and a word about it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is moved: all, or experiments and models by their names there. `prefix` goes before each name here.

    `again` looks into what has not changed as well. Models are moved with everything, or when they are named.
    """

    experiments: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    prefix: str = ""
    artifacts: bool = True
    skip_existing: bool = False
    again: bool = False

    @property
    def all_models(self) -> bool:
        """Whether no choice was made among the models."""
        return not self.experiments and not self.models


class Migration:
    """One look at a server: `move` brings it here and compares, `verify` only compares, `survey` only counts."""

    def __init__(
        self,
        platform: Platform,
        actor: Actor,
        remote: RemoteMlflow,
        choice: Choice | None = None,
        watch: Watcher = lambda *_: None,
    ) -> None:
        self._platform, self._actor, self._remote = platform, actor, remote
        self._choice, self._watch = choice or Choice(), watch
        self._imports, self._workspace = platform.imports, actor.workspace
        self.report = Report(remote.url, actor.workspace)
        self._registry = RegistryMigration(platform, actor, remote, self.report, self._choice.prefix)

    def move(self) -> Report:
        """Bring everything here, then compare. Raises Conflict, before anything is written, for names that are taken."""
        self._actor.require(Permission.TRACKING_WRITE)
        self._actor.require(Permission.MODELS_WRITE)
        self._remote.check()
        experiments, models = self._plan()
        self._walk(experiments, models, write=True)
        self._count_here(experiments, models)
        return self.report

    def verify(self) -> Report:
        """Count there, reading everything again, and here."""
        return self.survey(strict=False)

    def survey(self, *, strict: bool = True) -> Report:
        """Count there and here; with `strict` names that are taken raise Conflict, as they would when moving."""
        self._remote.check()
        experiments, models = self._plan(strict=strict)
        self._walk(experiments, models, write=False)
        self._count_here(experiments, models)
        return self.report

    # -- what is to be moved -------------------------------------------------------------------------------------

    def _plan(self, *, strict: bool = True) -> tuple[list[RemoteExperiment], list[str]]:
        """Experiments and model names that were chosen, less those to skip. Raises Conflict for names that are taken."""
        self._watch("looking", 0, 0, self._remote.url)
        found = [self._named(answers.experiment(each)) for each in self._remote.experiments()]
        names = self._remote.model_names() if self._choice.all_models or self._choice.models else []
        experiments = _chosen("Experiment", found, self._choice.experiments, lambda each: each.name)
        if self._choice.models and not self._choice.experiments:
            experiments = []
        models = _chosen("Registered model", names, self._choice.models, str)
        taken_experiments = self._taken_experiments(experiments)
        taken_models = self._registry.taken(models)
        if strict and not self._choice.skip_existing and (taken_experiments or taken_models):
            raise _names_taken(taken_experiments, taken_models)
        for kind, taken in (("experiment", taken_experiments), ("model", taken_models)):
            for name in taken:
                self.report.note(
                    f"{kind} {name}", "another one of that name is here, so it was left out", kept_there=True
                )
        return (
            [each for each in experiments if each.name not in taken_experiments],
            [each for each in models if each not in taken_models],
        )

    def _named(self, found: RemoteExperiment) -> RemoteExperiment:
        own = found.name == DEFAULT_EXPERIMENT and not self._choice.prefix
        name = found.name if own else f"{self._choice.prefix}{found.name}"
        location = "" if self._remote.proxied(found.location) is not None else found.location
        return replace(found, record=replace(found.record, name=name, location=location))

    def _taken_experiments(self, experiments: Sequence[RemoteExperiment]) -> list[str]:
        known = self._imports.marks(self._workspace, self._remote.url, Kind.EXPERIMENT)
        taken = []
        for each in experiments:
            if each.id in known or each.record.name == DEFAULT_EXPERIMENT:
                continue
            try:
                self._platform.tracking.experiment_named(self._workspace, each.record.name)
            except NotFound:
                continue
            taken.append(each.name)
        return taken

    # -- the walk ------------------------------------------------------------------------------------------------

    def _walk(self, experiments: Sequence[RemoteExperiment], models: Sequence[str], *, write: bool) -> None:
        here: list[tuple[RemoteExperiment, Experiment | None]] = []
        for place, each in enumerate(experiments, start=1):
            self._watch("experiments", place - 1, len(experiments), each.name)
            made = self._experiment(each) if write else None
            if write and made is None:
                continue
            self.report.there.experiments += 1
            here.append((each, made))
            for page in self._remote.run_pages(each.id):
                self._page(each, made, [answers.run(record) for record in page])
                self._watch("runs", self.report.there.runs, 0, each.name)
            self._watch("experiments", place, len(experiments), each.name)
        for each, made in here:  # runs of any experiment may have measured them
            for record in self._remote.logged_models(each.id):
                self._logged_model(made, answers.logged_model(record))
                self._watch("logged models", self.report.there.logged_models, 0, each.name)
        for place, name in enumerate(models, start=1):
            self._registry.model(name, write=write)
            self._watch("registered models", place, len(models), name)

    def _experiment(self, found: RemoteExperiment) -> Experiment | None:
        try:
            return self._imports.import_experiment(self._actor, self._remote.url, found.record)
        except (InvalidInput, LimitExceeded, AlreadyExists) as refusal:
            self.report.there.experiments += 1
            self.report.note(f"experiment {found.name}", refusal.message)
            return None

    def _page(self, found: RemoteExperiment, here: Experiment | None, runs: Sequence[RemoteRun]) -> None:
        there = self.report.there
        ids = [run.record.id for run in runs]
        marks = self._imports.marks(self._workspace, self._remote.url, Kind.RUN, ids)
        fresh: list[RemoteRun] = []
        for run in runs:
            there.runs += 1
            there.params += len(run.record.params)
            there.tags += len(run.record.tags)
            there.dataset_inputs += len(run.record.datasets)
            mark = marks.get(run.record.id)
            if here and mark and self._complete(run, mark):
                self.report.unchanged_runs += 1
                self._count_files(mark.files, mark.size_bytes)
                there.metric_points += mark.points
            else:
                fresh.append(run)
        arrived = self._runs(found, here, fresh) if here else fresh
        points = self._points(arrived, write=here is not None)
        done = []
        for run in arrived:
            location = self._location(run, here)
            files, size, whole = self._files(f"run {run.record.id}", run.location, location)
            digest = run.digest if whole and run.record.status in ENDED else ""
            counts = {"points": points[run.record.id], "files": files, "size_bytes": size}
            done.append(Mark(run.record.id, run.record.id, digest, **counts, location=location))
        if here:
            self.report.moved_runs += len(done)
            self._imports.mark(self._actor, self._remote.url, Kind.RUN, done)

    def _complete(self, run: RemoteRun, mark: Mark) -> bool:
        """Whether nothing was said of a run that was not said when it was moved; a running one may grow in silence."""
        files = not self._choice.artifacts or bool(mark.location) or self._remote.proxied(run.location) is None
        return files and mark.digest == run.digest and run.record.status in ENDED and not self._choice.again

    def _runs(self, found: RemoteExperiment, here: Experiment, fresh: Sequence[RemoteRun]) -> Sequence[RemoteRun]:
        """Those of the runs that could be made; of a page with a bad one each is made by itself."""
        arrived = [self._placed(run) for run in fresh]
        try:
            records = [run.record for run in arrived]
            self._imports.import_runs(self._actor, self._remote.url, here.id, records)
        except (InvalidInput, LimitExceeded, Conflict) as refusal:
            if len(arrived) > 1:
                return [run for each in fresh for run in self._runs(found, here, [each])]
            self.report.note(f"run {fresh[0].record.id} of {found.name}", refusal.message)
            return []
        return arrived

    def _placed(self, run: RemoteRun) -> RemoteRun:
        """The run; its files keep their place where the server does not pass them on."""
        if self._remote.proxied(run.location) is not None:
            return run
        return replace(run, record=replace(run.record, artifact_uri=run.location))

    def _location(self, run: RemoteRun, here: Experiment | None) -> str:
        """Where the run's files go here, "" where they stay there or are not asked for."""
        if here is None or not self._choice.artifacts or self._remote.proxied(run.location) is None:
            return ""
        return self._platform.tracking.run_info(self._workspace, run.record.id).artifact_uri

    # -- metrics -------------------------------------------------------------------------------------------------

    def _points(self, runs: Sequence[RemoteRun], *, write: bool) -> dict[str, int]:
        """Move the histories of these runs, so many points at a time; returns how many points each has there."""
        counted = dict.fromkeys((run.record.id for run in runs), 0)
        waiting: dict[str, list[MetricPoint]] = {}
        size = 0
        for run in runs:
            for key in run.metrics:
                for point in self._history(run, key):
                    counted[run.record.id] += 1
                    if not write:
                        continue
                    waiting.setdefault(run.record.id, []).append(point)
                    size += 1
                    if size == POINTS_AT_ONCE:
                        self._write_points(waiting)
                        waiting, size = {}, 0
        self._write_points(waiting)
        self.report.there.metric_points += sum(counted.values())
        return counted

    def _history(self, run: RemoteRun, key: str) -> Iterator[MetricPoint]:
        """A history without points that are said twice in a row, as stores of old servers have them."""
        before: MetricPoint | None = None
        for record in self._remote.metric_history(run.record.id, key):
            point = answers.point(record, key)
            if before is None or repr(point) != repr(before):  # NaN is not equal to itself, and reads the same
                yield point
            before = point

    def _write_points(self, waiting: dict[str, list[MetricPoint]]) -> None:
        if not waiting:
            return
        try:
            self._imports.import_points(self._actor, self._remote.url, waiting)
        except (InvalidInput, LimitExceeded) as refusal:
            keys = {point.key for points in waiting.values() for point in points}
            if len(waiting) > 1 or len(keys) > 1:
                for run_id, points in waiting.items():
                    for key in dict.fromkeys(point.key for point in points):
                        self._write_points({run_id: [point for point in points if point.key == key]})
                return
            self.report.note(f"metric {min(keys)[:80]} of run {min(waiting)}", refusal.message)

    # -- files ---------------------------------------------------------------------------------------------------

    def _files(self, what: str, remote_location: str, location: str) -> tuple[int, int, bool]:
        """Files of one place and their bytes, and whether all are here."""
        if not self._choice.artifacts or not remote_location:
            return 0, 0, True
        root = self._remote.proxied(remote_location)
        if root is None:
            self.report.note(f"artifacts of {what}", f"they stay at {remote_location}", kept_there=True)
            return 0, 0, True
        moved = move_files(
            self._remote, self._platform.artifacts, self._actor, root=root, location=location, write=bool(location)
        )
        self._count_files(moved.files, moved.size_bytes)
        self.report.new_files += moved.sent
        for path, why in moved.refused:
            self.report.note(f"artifact {path!a} of {what}" if path else f"artifacts of {what}", why)
        if moved.sent:
            self._watch("artifacts", self.report.new_files, 0, what)
        return moved.files, moved.size_bytes, not moved.refused

    def _count_files(self, files: int, size_bytes: int) -> None:
        if self._choice.artifacts:
            self.report.there.artifact_files += files
            self.report.there.artifact_bytes += size_bytes

    # -- logged models -------------------------------------------------------------------------------------------

    def _logged_model(self, here: Experiment | None, model: RemoteModel) -> None:
        self.report.there.logged_models += 1
        name, source = f"logged model {model.record.id}", self._remote.url
        if here is None:
            self._files(name, model.location, "")
            return
        mark = self._imports.marks(self._workspace, source, Kind.LOGGED_MODEL, [model.record.id]).get(model.record.id)
        proxied = self._remote.proxied(model.location) is not None
        moved = mark is not None and (not self._choice.artifacts or bool(mark.location) or not proxied)
        if moved and mark and mark.digest == model.digest and not self._choice.again:
            self._count_files(mark.files, mark.size_bytes)
            return
        record = model.record if proxied else replace(model.record, artifact_uri=model.location)
        try:
            lost = self._imports.import_logged_model(self._actor, source, here.id, record)
        except (InvalidInput, LimitExceeded, Conflict) as refusal:
            self.report.note(name, refusal.message)
            return
        if lost:
            self.report.note(name, f"{lost} measurements by runs that were not moved were left out", kept_there=True)
        location = ""
        if proxied and self._choice.artifacts:
            known = self._platform.logged_models.model(self._workspace, record.id, deleted=True)
            location = known.artifact_location
        files, size, whole = self._files(name, model.location, location)
        done = Mark(record.id, record.id, model.digest if whole else "", 0, files, size, location)
        self._imports.mark(self._actor, source, Kind.LOGGED_MODEL, [done])

    # -- here ----------------------------------------------------------------------------------------------------

    def _count_here(self, experiments: Sequence[RemoteExperiment], models: Sequence[str]) -> None:
        """Count anew what is here of what was chosen."""
        self._watch("comparing", 0, 0, self._workspace)
        source = self._remote.url
        marks = self._imports.marks(self._workspace, source, Kind.EXPERIMENT)
        local = [marks[each.id].local for each in experiments if each.id in marks]
        tally = self._imports.tally(self._workspace, source, local)
        here = Counts(
            experiments=tally.experiments,
            runs=tally.runs,
            params=tally.params,
            tags=tally.tags,
            metric_points=tally.points,
            dataset_inputs=tally.datasets,
            logged_models=tally.logged_models,
        )
        self.report.here = here
        if self._choice.artifacts:
            for location in self._imports.locations(self._workspace, source, local):
                files, size = count_files(self._platform.artifacts, self._workspace, location)
                here.artifact_files += files
                here.artifact_bytes += size
        self._registry.count_here(models)


def _chosen(kind: str, found: Sequence[Item], wanted: Sequence[str], name_of: Callable[[Item], str]) -> list[Item]:
    """Those that were named, all where none was. Raises NotFound for a name that is not there."""
    if not wanted:
        return list(found)
    there = {name_of(each): each for each in found}
    for name in wanted:
        if name not in there:
            raise NotFound.of(f"{kind} of the MLflow server", name, there)
    return [there[name] for name in dict.fromkeys(wanted)]


def _names_taken(experiments: Sequence[str], models: Sequence[str]) -> Conflict:
    told = [
        f"{word} {', '.join(map(repr, names[:NAMED]))}{' …' if len(names) > NAMED else ''}"
        for word, names in (("experiments", experiments), ("models", models))
        if names
    ]
    return Conflict(
        f"Names that are there are taken here by others: {'; '.join(told)}. Nothing was moved.",
        hint="Put something before all names with --prefix, move into a --workspace of its own, or leave these out with "
        "--skip-existing.",
    )
