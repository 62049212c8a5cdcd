"""The closing report: what happened when, and what keeping a model right was worth, month by month."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from bailiwick.demo.platform_client import PlatformClient
from bailiwick.demo.year import Happening, Year, moment
from bailiwick.evaluation.metrics import metric
from bailiwick.lifecycle.scoring import score
from bailiwick.server.ui.charts import Marker, Series, line_chart, stylesheet

MODEL = "flights"
_TONES = {"alarm": "bad", "rollout": "muted", "run": "muted", "approval": "good"}


@dataclass(frozen=True, slots=True)
class Month:
    """One month's flights: the first version's answers against those that were served."""

    start: int
    flights: int
    late: float
    auc_never: float
    auc_kept: float
    loss_never: float
    loss_kept: float


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything the report shows."""

    months: tuple[Month, ...]
    overall: Month
    happenings: tuple[Happening, ...]
    versions: tuple[dict[str, Any], ...]
    rollouts: tuple[dict[str, Any], ...]
    alarms: tuple[dict[str, Any], ...]
    predictions: int
    outcomes: int
    journal: str
    seconds: float

    @classmethod
    def gather(cls, year: Year, platform: PlatformClient, *, journal: str, seconds: float) -> Findings:
        """Ask the API for what it knows, and score the year with the first version's package for comparison."""
        versions = platform.get(f"/api/v1/models/{MODEL}/versions")["items"]
        first = min(versions, key=lambda version: version["number"])
        time, kept, label = year.replay.served.arrays()
        played = year.replay.asked()
        never = score(platform.blob(first["package"]), played)
        state = platform.state()
        months = _months(time, label, never, kept)
        return cls(
            months=months,
            overall=_month(int(time.min()), label, never, kept),
            happenings=tuple(year.happenings),
            versions=tuple(sorted(versions, key=lambda version: version["number"])),
            rollouts=tuple(state.rollouts),
            alarms=tuple(state.alarms),
            predictions=year.replay.predictions,
            outcomes=year.replay.outcomes,
            journal=journal.strip(),
            seconds=seconds,
        )

    def months_table(self) -> tuple[str, list[str], list[list[str]]]:
        """Title, columns and rows for the terminal."""
        columns = ["month", "flights", "late", "AUC never", "AUC kept", "log loss never", "log loss kept"]
        rows = [_row(datetime.fromtimestamp(m.start / 1000, tz=UTC).strftime("%B"), m) for m in self.months]
        return "Never retrained against kept right", columns, [*rows, _row("all", self.overall)]


def write_report(findings: Findings, path: Path) -> None:
    """One HTML page that needs nothing else."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bailiwick.demo", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["day"] = lambda ms: datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%d %b %Y")
    environment.filters["month"] = lambda ms: datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%B")
    page = environment.get_template("report.html").render(
        findings=findings,
        charts=_charts(findings),
        styles=stylesheet(),
    )
    path.write_text(page, encoding="utf-8")


def _charts(findings: Findings) -> list[object]:
    markers = [
        Marker(happening.time, f"{happening.kind}: {happening.text}", tone=_TONES.get(happening.kind, "muted"))
        for happening in findings.happenings
        if happening.kind in {"alarm", "rollout"} and "traffic" not in happening.text
    ]
    return [
        _chart(findings, "AUC by month", "auc", "higher is better", markers),
        _chart(findings, "Log loss by month", "loss", "lower is better", markers),
    ]


def _chart(findings: Findings, title: str, what: str, note: str, markers: Sequence[Marker]) -> object:
    def points(which: str) -> list[tuple[float, float | None]]:
        return [(month.start, getattr(month, f"{what}_{which}")) for month in findings.months]

    return line_chart(
        [Series("kept right", points("kept")), Series("never retrained", points("never"), dashed=True)],
        title=title,
        note=f"{note}; marks are alarms and decisions",
        markers=markers,
        form=lambda value: f"{value:.3f}",
    )


def _months(
    time: npt.NDArray[np.int64],
    label: npt.NDArray[np.float64],
    never: npt.NDArray[np.float64],
    kept: npt.NDArray[np.float64],
) -> tuple[Month, ...]:
    edges = [moment(2013, month) for month in range(1, 13)] + [moment(2014, 1)]
    found = []
    for start, end in itertools.pairwise(edges):
        rows = (time >= start) & (time < end)
        if rows.any():
            found.append(_month(start, label[rows], never[rows], kept[rows]))
    return tuple(found)


def _month(
    start: int, label: npt.NDArray[np.float64], never: npt.NDArray[np.float64], kept: npt.NDArray[np.float64]
) -> Month:
    truth = label.astype(np.int64)
    auc, loss = metric("roc_auc").compute, metric("log_loss").compute
    return Month(
        start=start,
        flights=len(truth),
        late=float(truth.mean()),
        auc_never=auc(truth, never),
        auc_kept=auc(truth, kept),
        loss_never=loss(truth, never),
        loss_kept=loss(truth, kept),
    )


def _row(name: str, month: Month) -> list[str]:
    measured = (month.auc_never, month.auc_kept, month.loss_never, month.loss_kept)
    return [name, f"{month.flights:,}", f"{month.late:.0%}", *(f"{value:.3f}" for value in measured)]
