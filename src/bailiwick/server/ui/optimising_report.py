"""Forms of a version and settings to serve it with, as one file of HTML that needs nothing else."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from bailiwick.lifecycle.optimising.story import Optimised
from bailiwick.server.ui.charts import stylesheet
from bailiwick.server.ui.charts.scatter import Spot, scatter_chart
from bailiwick.server.ui.shell import STATIC, TEMPLATES


def optimising_report(found: Optimised, p99_ms: float | None = None) -> str:
    """The whole file. Every name is escaped, and nothing of it runs."""
    styles = (STATIC / "style.css").read_text(encoding="utf-8") + stylesheet()
    digest = "sha256-" + b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    settings = scatter_chart(
        [
            Spot(
                f"{each.callers} callers, {each.batch} rows",
                each.p99_ms,
                each.rows_per_second,
                tone="s2" if each.best else "s1",
            )
            for each in found.settings
        ],
        title="Rows a second against p99",
        x_name="p99, ms",
        y_name="rows a second",
        log_x=True,
        empty="No setting was tried.",
        note="Those of the second colour are beaten by no other in both.",
    )
    forms = scatter_chart(
        [
            Spot(each.name, each.speed.p50_us, each.metrics["log_loss"], tone="s2" if not each.problem else "s1")
            for each in found.forms
            if each.size_bytes and "log_loss" in each.metrics
        ],
        title="Log loss against the time of one row",
        x_name="p50, us",
        y_name="log loss",
        empty="Nothing was measured.",
        note="Those of the first colour are worse than the version, or a gate says no.",
    )
    template = TEMPLATES.get_template("optimising_report.html")
    policy = f"default-src 'none'; style-src '{digest}'; base-uri 'none'; form-action 'none'"
    return template.render(found=found, p99_ms=p99_ms, settings=settings, forms=forms, styles=styles, policy=policy)
