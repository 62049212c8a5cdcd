"""SHAP values as a picture in a terminal: from the base value to the output, a bar a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bailiwick.cli import layout
from bailiwick.cli.sparklines import shows

if TYPE_CHECKING:
    from bailiwick.lifecycle.explaining.model import Contribution, Shap

MOST = 15
_BARS = 28
_LABEL = 30


def waterfall(shap: Shap, *, most: int = MOST) -> list[str]:
    """Lines: where it starts, what each column adds, largest first, what all others add together, where it ends."""
    shown, rest = shap.contributions[:most], shap.contributions[most:]
    parts = [(_named(each), each.value, each.error) for each in shown]
    if rest:
        parts.append((f"{len(rest)} other columns", sum(each.value for each in rest), 0.0))
    places = [shap.base]
    for _, value, _ in parts:
        places.append(places[-1] + value)
    least, span = min(places), (max(places) - min(places)) or 1.0
    block, dot = ("█", "│") if shows("█│") else ("#", "|")
    size = min(_LABEL, max(len(name) for name, *_ in [*parts, ("output", 0, 0)]))
    unit = "log-odds" if shap.space == "log_odds" else "output"
    lines = [f"  {'base':<{size}}  {_bar(shap.base, shap.base, least, span, dot)}  {shap.base:+.4g} ({unit})"]
    for (name, value, error), start in zip(parts, places, strict=False):
        told = f" ± {error:.2g}" if error else ""
        bar = _bar(start, start + value, least, span, block)
        lines.append(f"  {name[:size]:<{size}}  {bar}  {value:+.4g}{told}")
    lines.append(f"  {'output':<{size}}  {_bar(shap.reached, shap.reached, least, span, dot)}  {shap.reached:+.4g}")
    lines += [
        f"  {' and '.join(columns)} make a feature together; its value is parted between them (Owen)."
        for columns in shap.crossed
    ]
    return lines + ([f"  {shap.note}"] if shap.note else [])


def _named(each: Contribution) -> str:
    pairs = zip(each.columns, each.given, strict=True)
    return layout.plain(", ".join(f"{name} = {layout.cell(value) or 'missing'}" for name, value in pairs))


def _bar(start: float, end: float, least: float, span: float, sign: str) -> str:
    low, high = sorted(round((place - least) / span * (_BARS - 1)) for place in (start, end))
    return (" " * low + sign * (high - low + 1)).ljust(_BARS)
