"""Monitors: performance and drift over windows, with every alarm where it was raised."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.core.actor import Permission
from bailiwick.monitoring.model import Alarm, MonitorSummary, Window, WindowStatus
from bailiwick.server.ui import links
from bailiwick.server.ui.charts import Bar, Marker, Series
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.views.endpoints import metric_of, overviews
from bailiwick.server.ui.words import day, plural, span, told

CHARTED = 120
HEAT_COLUMNS = 40
HEAT_ROWS = 24
LISTED = 30
KINDS = {
    "feature_drift": "Feature drift",
    "prediction_drift": "Prediction drift",
    "performance": "Performance",
    "data_check": "Check of data",
    "data_schema": "Schema of data",
    "data_volume": "Volume of data",
    "data_freshness": "Freshness of data",
    "data_distribution": "Distribution of data",
    "serving_down": "Serving is down",
    "availability": "Availability",
    "latency": "Latency",
}
_TONES = {"feature_drift": "warn", "prediction_drift": "warn", "performance": "bad"}


def listing(visit: Visit) -> Context:
    """Every monitored endpoint, and all open alarms."""
    return {
        "overviews": overviews(visit),
        "alarms": visit.platform.monitors.alarms(visit.workspace, status="OPEN"),
        "kinds": KINDS,
        "may_acknowledge": visit.may(Permission.MONITORS_WRITE),
    }


def endpoint(visit: Visit) -> Context:
    """One endpoint's monitor."""
    platform, workspace, name = visit.platform, visit.workspace, visit.path["endpoint"]
    platform.endpoints.endpoint(workspace, name)
    summary = platform.monitors.summary(workspace, name)
    windows = summary.windows
    charted = windows[-CHARTED:]
    alarms = platform.monitors.alarms(workspace, endpoint=name)
    by_window = {window.id: window for window in windows}
    return {
        "name": name,
        "windows": list(reversed(windows))[:LISTED],
        "total": summary.judged,
        "last": windows[-1] if windows else None,
        "open_alarms": [alarm for alarm in alarms if alarm.status == "OPEN"],
        "past_alarms": [alarm for alarm in alarms if alarm.status != "OPEN"],
        "window_of": by_window,
        "kinds": KINDS,
        "promise": _promise(summary),
        "predictions": _prediction_bars(charted),
        "performance": _performance(charted),
        "output_drift": _output_drift(charted),
        "markers": _markers(name, alarms, by_window, charted),
        "heat": _heat(charted[-HEAT_COLUMNS:]),
        "may_acknowledge": visit.may(Permission.MONITORS_WRITE),
        "metric_of": metric_of,
    }


def _promise(summary: MonitorSummary) -> list[tuple[str, float, int]]:
    """Per kind: the false alarms allowed over the windows judged, and the alarms raised."""
    return [
        (KINDS.get(str(kind), str(kind)), allowed, summary.raised.get(kind, 0))
        for kind, allowed in summary.promised.items()
    ]


def _prediction_bars(windows: Sequence[Window]) -> list[Bar]:
    return [
        Bar(
            day(window.start).rsplit(" ", 1)[0],
            float(window.predictions),
            detail=f"{span(window.start, window.end)}, {plural(window.outcomes, 'outcome')} known",
            tone="bad"
            if window.status is WindowStatus.ALARM
            else "muted"
            if window.status is WindowStatus.THIN
            else "s1",
        )
        for window in windows
    ]


def _performance(windows: Sequence[Window]) -> list[tuple[str, list[Series], str]]:
    """One chart a metric that was measured at all."""
    shown = []
    for key, title in (("auc", "AUC"), ("log_loss", "Log loss"), ("misclassification", "Share misclassified")):
        points = [(float(window.start), metric_of(window, key)) for window in windows]
        if any(value is not None for _, value in points):
            shown.append((title, [Series(title, points)], "higher is better" if key == "auc" else "lower is better"))
    return shown


def _output_drift(windows: Sequence[Window]) -> list[Series]:
    found = [(window, window.prediction_drift) for window in windows]
    if not any(drift for _, drift in found):
        return []
    return [
        Series("Distance", [(float(window.start), drift.distance if drift else None) for window, drift in found]),
        Series(
            "At least, after sampling error", [(float(w.start), d.bound if d else None) for w, d in found], dashed=True
        ),
    ]


def _markers(name: str, alarms: Sequence[Alarm], windows: dict[str, Window], charted: Sequence[Window]) -> list[Marker]:
    """One mark a window, whatever the number of alarms in it; it leads to the newest of them."""
    first = charted[0].start if charted else 0
    by_start: dict[int, list[Alarm]] = {}
    for alarm in alarms:
        window = windows.get(alarm.window)
        if window is not None and window.start >= first:
            by_start.setdefault(window.start, []).append(alarm)
    return [_marker(name, start, raised) for start, raised in by_start.items()]


def _marker(name: str, start: int, raised: Sequence[Alarm]) -> Marker:
    said = " ".join(f"{KINDS.get(alarm.kind, alarm.kind)}: {told(alarm.message)}" for alarm in raised)
    tone = "bad" if any(_TONES.get(alarm.kind, "bad") == "bad" for alarm in raised) else "warn"
    return Marker(float(start), f"{day(start)}. {said}", tone, links.alarm(name, raised[0].id))


def _heat(windows: Sequence[Window]) -> dict[str, object]:
    """Distance of each feature in each window; features that ever drifted come first."""
    measured = [window for window in windows if window.drift]
    names: dict[str, float] = {}
    for window in measured:
        for drift in window.drift:
            weight = drift.distance + (10.0 if drift.drifted else 0.0)
            names[drift.feature] = max(names.get(drift.feature, 0.0), weight)
    rows = sorted(names, key=lambda feature: (-names[feature], feature))[:HEAT_ROWS]
    cells = [{drift.feature: drift for drift in window.drift} for window in measured]
    return {
        "rows": rows,
        "columns": [day(window.start).rsplit(" ", 1)[0] for window in measured],
        "values": [[cell[row].distance if row in cell else None for cell in cells] for row in rows],
        "marked": [[row in cell and cell[row].drifted for cell in cells] for row in rows],
        "left_out": len(names) - len(rows),
    }
