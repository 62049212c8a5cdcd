"""Endpoints: who serves which share of the traffic now, how it got there, and how it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bailiwick.endpoints.model import Endpoint, Variant
from bailiwick.monitoring.model import Alarm, Window
from bailiwick.monitoring.objectives.model import Burn, Objectives, Standing, WorkerState
from bailiwick.monitoring.objectives.service import SILENT_MS
from bailiwick.rollout.model import Rollout
from bailiwick.server.ui import links
from bailiwick.server.ui.charts import Part, Series
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.views import serving_rules

RECENT = 30


@dataclass(frozen=True, slots=True)
class Overview:
    """What a card shows of one endpoint; `windows` are the most recent, oldest first."""

    endpoint: Endpoint
    windows: Sequence[Window]
    alarms: Sequence[Alarm]
    rollout: Rollout | None

    @property
    def live(self) -> Variant:
        """The variant with most traffic."""
        return max(self.endpoint.variants, key=lambda variant: variant.weight)

    @property
    def parts(self) -> list[Part]:
        """Shares for the split bar, the largest first, so that the version in charge always has the first colour."""
        return parts(self.endpoint.variants)

    @property
    def predictions(self) -> list[float]:
        """Predictions per window."""
        return [float(window.predictions) for window in self.windows]

    @property
    def quality(self) -> list[float | None]:
        """AUC per window; None where no outcomes have matured."""
        return [metric_of(window, "auc") for window in self.windows]


def parts(variants: Sequence[Variant]) -> list[Part]:
    """Shares of traffic for a split bar, largest first."""
    ordered = sorted(variants, key=lambda variant: -variant.weight)
    return [
        Part(f"{variant.model} v{variant.version}", variant.weight, href=links.version(variant.model, variant.version))
        for variant in ordered
    ]


def metric_of(window: Window, name: str) -> float | None:
    """One performance number of a window, or None where it could not be computed."""
    value = (window.performance or {}).get(name)
    return float(value) if isinstance(value, int | float) else None


def overview_of(visit: Visit, endpoint: Endpoint) -> Overview:
    """Everything a card needs."""
    platform, workspace = visit.platform, visit.workspace
    return Overview(
        endpoint,
        platform.monitors.windows(workspace, endpoint.name, limit=RECENT),
        platform.monitors.alarms(workspace, endpoint=endpoint.name, status="OPEN"),
        platform.rollouts.active(workspace, endpoint.name),
    )


def overviews(visit: Visit) -> list[Overview]:
    """One card an endpoint, by name."""
    return [overview_of(visit, endpoint) for endpoint in visit.platform.endpoints.endpoints(visit.workspace)]


def listing(visit: Visit) -> Context:
    """All endpoints."""
    return {"overviews": overviews(visit)}


def endpoint(visit: Visit) -> Context:
    """One endpoint: split, history, recent numbers, and how to call it."""
    found = visit.platform.endpoints.endpoint(visit.workspace, visit.path["endpoint"])
    shown = overview_of(visit, found)
    history = visit.platform.endpoints.history(visit.workspace, found.name)
    known = visit.platform.serving_watch.workers(visit.workspace)
    return {
        "rules": serving_rules.rules_of(found, known, visit.platform.records.clock()),
        "recorded": serving_rules.recorded(found.recording),
        "failures": serving_rules.failures_of(visit, found),
        "shown": shown,
        "endpoint": found,
        "predictions": [Series("Predictions", [(float(w.start), float(w.predictions)) for w in shown.windows])],
        "quality": [Series("AUC", [(float(w.start), metric_of(w, "auc")) for w in shown.windows])],
        "history": [(change, parts(change.variants)) for change in reversed(history)],
        "address": visit.platform.settings.inference_address,
        "rollouts": visit.platform.rollouts.rollouts(visit.workspace, found.name)[:5],
        "promises": [_promise(each) for each in visit.platform.serving_watch.standings(visit.workspace, found.name)],
        "promised": visit.platform.serving_watch.objectives(visit.workspace).get(found.name, Objectives()),
        "workers": _workers(known, visit.platform.records.clock(), found.name),
    }


SHOWN_WINDOWS = {5: "5 minutes", 60: "1 hour", 360: "6 hours", 4320: "3 days"}
"""By minutes: what happens now, and the long window of each pair that alarms."""


GONE_MS = 3_600_000
"""A process that was last heard of longer ago is none that anybody waits for."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One objective in words and numbers, with the burn rates that are shown."""

    standing: Standing
    burns: Sequence[tuple[str, Burn]]


@dataclass(frozen=True, slots=True)
class Serving:
    """One inference process: `state` is serving, silent, leaving, stopped or failing."""

    worker: str
    seen: int
    state: str
    why: str

    @property
    def place(self) -> str:
        """Host and number; what follows tells one start from another."""
        return self.worker.rpartition("/")[0] or self.worker


def _promise(standing: Standing) -> Promise:
    burns = {burn.window_minutes: burn for burn in standing.burns}
    return Promise(standing, [(words, burns[minutes]) for minutes, words in SHOWN_WINDOWS.items()])


def _workers(known: Sequence[WorkerState], now: int, endpoint: str) -> list[Serving]:
    found = []
    for each in known:
        why = each.report.failures.get(endpoint, "")
        if (endpoint not in each.report.endpoints and not why) or now - each.seen > GONE_MS:
            continue
        if each.report.leaving:
            # one that said that it leaves, and then nothing more, has left: control may have gone before its last word
            state = "stopped" if each.report.stopped or now - each.seen > SILENT_MS else "leaving"
        elif now - each.seen > SILENT_MS:
            state = "silent"
        else:
            state = "failing" if why else "serving"
        found.append(Serving(each.worker, each.seen, state, why))
    return found
