"""Forms of a version and settings to serve it with: as parts of a page, and as one file of HTML that needs nothing else."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from bailiwick.server.ui.charts import Spot, scatter_chart, stylesheet
from bailiwick.server.ui.charts.front import Tried, front_chart
from bailiwick.server.ui.shell import STATIC, TEMPLATES

if TYPE_CHECKING:
    from bailiwick.lifecycle.optimising.model import Report, Setting

MOST_METRICS = 2


def optimising_parts(report: Report) -> dict[str, Any]:
    """The pictures, and which metrics the table shows."""
    settings = front_chart(
        [
            Tried(
                setting_name(each),
                f"{each.workers}×{each.threads}, {each.batch}",
                each.p99_ms,
                each.rows_per_second,
                best=each.best,
                chosen=each == report.setting,
            )
            for each in report.settings
        ],
        title="Throughput against latency",
        x_name="99th percentile of a call, ms",
        y_name="rows a second",
        limit=report.p99_ms,
        limit_name="" if report.p99_ms is None else f"objective {report.p99_ms:g} ms",
        empty="No setting was tried.",
        note="Beside a dot: workers × threads of each, rows a call. Both axes are logarithmic.",
    )
    forms = scatter_chart(
        [
            Spot(each.name, each.speed.p50_us, each.metrics[report.metric], tone="s1" if each.problem else "s2")
            for each in report.forms
            if each.size_bytes and report.metric in each.metrics
        ],
        title=f"{report.metric} (up) against the median time of one row, µs (across)",
        x_name="p50, µs",
        y_name=report.metric,
        empty="Nothing was measured.",
        note="Dots of the first colour may be worse than the version, or a gate says no.",
    )
    return {"report": report, "settings": settings, "by_form": forms, "shown": report.metrics[:MOST_METRICS]}


def optimising_report(report: Report) -> str:
    """The whole file. Every name is escaped, and nothing of it runs."""
    styles = (STATIC / "style.css").read_text(encoding="utf-8") + stylesheet()
    digest = "sha256-" + b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    template = TEMPLATES.get_template("optimising_report.html")
    policy = f"default-src 'none'; style-src '{digest}'; base-uri 'none'; form-action 'none'"
    return template.render(styles=styles, policy=policy, **optimising_parts(report))


def setting_name(setting: Setting) -> str:
    """In words."""
    workers = "1 worker" if setting.workers == 1 else f"{setting.workers} workers"
    threads = "1 thread" if setting.threads == 1 else f"{setting.threads} threads"
    return f"{workers} of {threads}, {setting.batch} {'row' if setting.batch == 1 else 'rows'} a call"
