"""Story: a snapshot is inspected before anything learns from it; what is wrong is told, and stands in the way.

Inspecting again, after a crash or for another run, finds the same, raises no alarm twice, and judges ages anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bailiwick.core.actor import system_actor
from bailiwick.core.canonical import digest_of
from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import CheckFailed, NotFound
from bailiwick.data import changes
from bailiwick.data.checks.model import Check, CheckResult, Freshness, SourceAge
from bailiwick.data.inspection import Inspection, Verdict, read_inspection, verdict_of
from bailiwick.data.model import Snapshot
from bailiwick.lifecycle.checking import declared_checks, held_snapshot, other_sources
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.stakeholders import told
from bailiwick.lifecycle.standing import Looked, rows_of
from bailiwick.monitoring.data_alarms import DataFinding
from bailiwick.monitoring.model import Alarm, Kind
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import Changes

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc

    from bailiwick.data import profile, sampling
    from bailiwick.data.checks import running
    from bailiwick.data.engines import whole
    from bailiwick.data.engines.engine import RowEngine
    from bailiwick.monitoring import judgement
else:
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")
    profile, sampling = deferred("bailiwick.data.profile"), deferred("bailiwick.data.sampling")
    whole = deferred("bailiwick.data.engines.whole")
    running, judgement = deferred("bailiwick.data.checks.running"), deferred("bailiwick.monitoring.judgement")

_KINDS = {
    "schema": Kind.DATA_SCHEMA,
    "volume": Kind.DATA_VOLUME,
    "freshness": Kind.DATA_FRESHNESS,
    "distribution": Kind.DATA_DISTRIBUTION,
}
_AGES = (Freshness, SourceAge)
_LIKE_A_KEY = 100
_SAMPLE_ROWS = 200_000
"""So many rows leave a sampling error of less than a hundredth of the rows, a fifth of the usual margin."""
_YEAR_1973 = 10**11
_YEAR = 365 * MILLISECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class Taking:
    """How a snapshot was taken: when (UTC milliseconds), up to which event time and over which length of it where that was
    asked, and when the source had last been written.
    """

    time: int
    end: int | None = None
    span_ms: int | None = None
    written: int | None = None


def inspect(
    platform: Platform,
    workspace: str,
    snapshot: Snapshot,
    *,
    project: Project | None = None,
    taking: Taking | None = None,
    there: RowEngine | None = None,
) -> Inspection:
    """Hold a snapshot against the checks of its project, and against the snapshots before it; raise alarms for what is wrong.

    `project` is the applied project of the dataset's name where none is given; without one, only changes are looked for.
    `there` are the rows of a snapshot that stay on an engine, which is opened where they are not given.
    It is the platform's own deed. Raises InvalidInput for a check that the data cannot be held against.
    """
    declared = project if project is not None else _applied(platform, workspace, snapshot.dataset)
    taken = taking or Taking(snapshot.created)
    known = found_before(platform, workspace, snapshot.id)
    work = _Work(platform, workspace, snapshot, declared, taken, known_files=taking is not None)
    ages = [check for check in work.checks if isinstance(check, _AGES)] if taking is not None else []
    if known is not None and known.rule == work.rule and not ages:
        found = known
    else:
        with _rows_there(platform, declared, snapshot, there) as work.there:
            found = work.whole() if known is None or known.rule != work.rule else work.with_ages(known, ages)
    if found is not known:
        actor = system_actor(workspace, "inspection")
        digest = platform.blobs.put(found.to_json())
        platform.data.keep_inspection(actor, snapshot.id, digest, failed=[each.name for each in found.failed])
    _alarm(platform, workspace, found)
    return found


@contextmanager
def _rows_there(
    platform: Platform, project: Project | None, snapshot: Snapshot, there: RowEngine | None
) -> Iterator[Looked | None]:
    if there is not None:
        yield Looked(there, snapshot)
    elif snapshot.engine:
        with rows_of(platform, project, snapshot) as rows:
            yield Looked(rows, snapshot)
    else:
        yield None


def found_before(platform: Platform, workspace: str, snapshot_id: str) -> Inspection | None:
    """What the last inspection of a snapshot found; None where there was none."""
    digest = platform.data.inspection(workspace, snapshot_id)
    return read_inspection(platform.blobs.get(digest)) if digest else None


def require_usable(platform: Platform, workspace: str, snapshot: Snapshot, *, project: Project | None = None) -> None:
    """Raises CheckFailed while an open alarm of severity ERROR is about the snapshot; inspects it where nobody has."""
    if found_before(platform, workspace, snapshot.id) is None:
        inspect(platform, workspace, snapshot, project=project)
    standing = platform.data_alarms.standing(workspace, [snapshot.id]).get(snapshot.id, [])
    if not standing:
        return
    raise CheckFailed(
        f"Snapshot {snapshot.id} of {snapshot.dataset} is not trained on: {len(standing)} of its alarms stand.",
        findings=[_standing(platform, workspace, alarm) for alarm in standing],
        hint=(
            "Repair the source and ingest again; or, if the data is to be so, accept it: "
            f"bailiwick data accept {snapshot.id} --reason '…'"
        ),
    )


def _standing(platform: Platform, workspace: str, alarm: Alarm) -> str:
    receipts = platform.webhooks.receipts(workspace, str(alarm.evidence.get("entry", "")))
    named = list(alarm.evidence["told"])
    said = [f"{each} ({receipts[each].lower()})" if each in receipts else each for each in named]
    others = len(receipts.keys() - set(named))  # what they are called is for those who manage webhooks
    said += [f"{others} other webhook{'' if others == 1 else 's'}"] if others else []
    return f"{alarm.message} Told: {', '.join(said) or 'nobody, for data.stakeholders names none'}."


def alarm_unreadable(platform: Platform, workspace: str, project: Project, problem: str) -> None:
    """Tell that a source cannot be read as its project needs it, so that there is no snapshot; once a day for each problem."""
    time = platform.records.clock()
    name = f"source {digest_of(problem)[:8]} of day {time // MILLISECONDS_PER_DAY}"
    fix = "Nothing was kept and nothing is trained until it can be read."
    found = DataFinding(Kind.DATA_SCHEMA, name, "ERROR", f"The source cannot be read: {problem}", fix)
    actor = system_actor(workspace, "inspection")
    platform.data_alarms.raise_alarms(actor, project.name, "", [found], told=told(project))


def alarm_misfit(
    platform: Platform, workspace: str, project: Project, snapshot: str, anomalies: Sequence[tuple[str, str, str]]
) -> None:
    """Tell that a snapshot does not fit its schema: (column, kind, what in short), which holds no values.

    A WARNING, for it is the schema that keeps such data from training, until it is repaired or the schema relaxed.
    """
    findings = [
        DataFinding(Kind.DATA_SCHEMA, f"{column}: {kind}", "WARNING", f"{column or 'The dataset'}: {short}.")
        for column, kind, short in anomalies
    ]
    actor = system_actor(workspace, "inspection")
    platform.data_alarms.raise_alarms(actor, project.name, snapshot, findings, told=told(project))


def _applied(platform: Platform, workspace: str, dataset: str) -> Project | None:
    try:
        return platform.projects.project(workspace, dataset)
    except NotFound:
        return None


def _alarm(platform: Platform, workspace: str, found: Inspection) -> None:
    findings = [
        DataFinding(
            _KINDS[each.kind] if each.change else Kind.DATA_CHECK, each.name, each.severity, each.message, each.fix
        )
        for each in found.failed
    ]
    actor = system_actor(workspace, "inspection")
    platform.data_alarms.raise_alarms(actor, found.dataset, found.snapshot, findings, told=found.told)


class _Work:
    """One inspection."""

    def __init__(
        self,
        platform: Platform,
        workspace: str,
        snapshot: Snapshot,
        project: Project | None,
        taken: Taking,
        *,
        known_files: bool,
    ) -> None:
        self.platform = platform
        self.workspace = workspace
        self.snapshot = snapshot
        self.project = project
        self.taken = taken
        self.asked = project.data.changes if project is not None else Changes()
        declared = declared_checks(project) if project is not None else []
        # Of a snapshot that was kept some time ago nobody knows any more how old its files were.
        self.checks = [check for check in declared if known_files or not isinstance(check, SourceAge)]
        self.there: Looked | None = None
        told = [] if project is None else [project.data.checks.model_dump(mode="json"), project.data.time]
        self.rule = digest_of([1, self.asked.model_dump(mode="json"), told])

    def whole(self) -> Inspection:
        """Everything."""
        past = self._past()
        own, kept, skipped = self._profile()
        newest = self.snapshot.time_to
        end = self.taken.end if self.taken.end is not None else self.taken.time
        found = Inspection(
            snapshot=self.snapshot.id,
            dataset=self.snapshot.dataset,
            taken=self.taken.time,
            rule=self.rule,
            rows=self.snapshot.parts[-1].rows if self.snapshot.parts else self.snapshot.rows,
            span_ms=self.taken.span_ms,
            lag_ms=None if newest is None else max(0, end - newest),
            against=past[0][0].id if past else "",
            false_alarms=self.asked.false_alarms,
            profile=self.platform.blobs.put(profile.to_json(own).encode()),
            skipped=(),
            verdicts=(),
            told=told(self.project),
        )
        checked = tuple(_kept(result) for result in self._run(self.checks, past))
        changed, uncompared = self._changes(found, past, kept)
        names = tuple(dict.fromkeys([*skipped, *uncompared]))
        return replace(found, verdicts=(*checked, *changed), skipped=names)

    def with_ages(self, known: Inspection, ages: Sequence[Check]) -> Inspection:
        """The same with what depends on the hour judged at this one."""
        now = {result.check.name: _kept(result) for result in self._run(list(ages), [])}
        verdicts = tuple(each if each.change else now.get(each.name, each) for each in known.verdicts)
        if [each.passed for each in verdicts] == [each.passed for each in known.verdicts]:
            return known
        return replace(known, verdicts=verdicts, taken=self.taken.time)

    def _run(self, checks: list[Check], past: list[tuple[Snapshot, Inspection]]) -> list[CheckResult]:
        if not checks:
            return []
        assert self.project is not None
        data, workspace = self.platform.data, self.workspace
        if self.there is not None:
            previous = past[0][0].rows if past else None
            asked = whole.HeldThere(self.there.rows, self.taken.time, previous, self.taken.end)
            return whole.run_checks_there(asked, checks)
        held = held_snapshot(
            data,
            self.snapshot,
            now=self.taken.time,
            written=self.taken.written,
            previous_rows=past[0][0].rows if past else None,
            until=self.taken.end,
        )
        others = other_sources(self.project.folder, lambda word: (data, data.find(workspace, word)))
        return running.run_checks(held, checks, others=others, absent_fails=True)

    def _past(self) -> list[tuple[Snapshot, Inspection]]:
        """Earlier snapshots that may be used, newest first."""
        limit = 2 * max(self.asked.history, changes.LEAST_HISTORY)
        before = self.platform.data.inspected_before(self.snapshot, limit=limit)
        standing = self.platform.data_alarms.standing(self.workspace, [each.id for each, _ in before])
        return [
            (each, read_inspection(self.platform.blobs.get(digest)))
            for each, digest in before
            if each.id not in standing
        ]

    def _changes(
        self, found: Inspection, past: list[tuple[Snapshot, Inspection]], rows: pa.Table
    ) -> tuple[list[Verdict], tuple[str, ...]]:
        if not past:
            return [], ()
        severity, rule = self.asked.severity, self._rule()
        now = found.arrival(self.snapshot.columns)
        arrivals = [earlier.arrival(each.columns) for each, earlier in past]
        verdicts: list[Verdict] = []
        skipped: tuple[str, ...] = ()
        if severity.columns != "off":
            verdicts.append(verdict_of(changes.schema_change(now, arrivals[0]), severity.columns.upper()))
        if severity.volume != "off":
            verdicts.append(verdict_of(changes.volume_change(now, arrivals, rule), severity.volume.upper()))
        if severity.freshness != "off":
            verdicts.append(verdict_of(changes.freshness_change(now, arrivals, rule), severity.freshness.upper()))
        if severity.distribution != "off":
            before = profile.from_json(self.platform.blobs.get(past[0][1].profile))
            compared, skipped = judgement.comparable(before, rows)
            bins = profile.Profile(rows=before.rows, features=tuple(compared))
            counted = profile.count(bins, rows) if self.there is None else self.there.count(bins)
            moved = changes.distribution_change(bins, counted, rule, against=arrivals[0].snapshot)
            verdicts.append(verdict_of(moved, severity.distribution.upper()))
        return verdicts, skipped

    def _rule(self) -> changes.ChangeRule:
        asked = self.asked
        return changes.ChangeRule(asked.history, asked.false_alarms, asked.margin, asked.volume_margin)

    def _profile(self) -> tuple[profile.Profile, pa.Table, tuple[str, ...]]:
        """The profile of what the snapshot added, its rows (of many a sample), and the columns left out."""
        left = set(self.asked.ignore)
        if self.project is not None:
            left |= {self.project.data.time, self.project.data.key}
        wanted = [name for name, kind in self.snapshot.columns if name not in left and not kind.startswith("timestamp")]
        if not wanted:
            return profile.Profile(rows=self.snapshot.rows, features=()), pa.table({}), ()
        if self.there is not None:
            counted, left_out = self.there.profile(wanted)
            return counted, self.there.table, left_out
        reader = self.platform.data.reader(self.workspace, self.snapshot.id, wanted, added=True)
        cells = min(sampling.SAMPLE_CELLS, _SAMPLE_ROWS * len(reader.schema))
        sample = sampling.Sample(reader.schema, cells=cells)
        for batch in reader:
            sample.add(pa.Table.from_batches([batch]))
        rows = sample.table()
        keys = [name for name in wanted if _names_rows(rows.column(name)) or self._is_time(rows.column(name))]
        rows = rows.drop_columns(keys)
        return profile.build_profile(rows), rows, tuple(keys)

    def _is_time(self, values: pa.ChunkedArray) -> bool:
        """Whether whole numbers are moments within a year of the snapshot's event times; each snapshot has others."""
        start, end = self.snapshot.time_from, self.snapshot.time_to
        if start is None or end is None or not pa.types.is_integer(values.type):
            return False
        ends = pc.min_max(values).as_py()
        if ends["min"] is None or start < _YEAR_1973:
            return False
        return bool(start - _YEAR <= ends["min"] and ends["max"] <= end + _YEAR)


def _names_rows(values: pa.ChunkedArray) -> bool:
    """Whole numbers that are never the same twice count rows; each snapshot has others, and none has changed."""
    if not pa.types.is_integer(values.type) or len(values) < _LIKE_A_KEY:
        return False
    return bool(pc.count_distinct(values, mode="all").as_py() == len(values))


def _kept(result: CheckResult) -> Verdict:
    return Verdict(
        kind=result.check.kind,
        name=result.check.name,
        severity=result.check.severity,
        change=False,
        passed=result.passed,
        message=result.message,
        fix=result.fix,
        count=result.count,
        rows=result.places,
    )
