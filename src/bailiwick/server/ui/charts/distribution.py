"""How the values of a column are distributed, in one dataset or in two on top of one another. Small: pages have hundreds."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, per_cent

_HEIGHT = 60
_FLAT = 1
"""How high what is not nothing is at least, in units of the height."""


def histogram(shares: Sequence[Sequence[float] | None], *, title: str) -> Markup:
    """Bars of the last dataset, over the filled silhouette of the one before it, if there is one; both of one height scale."""
    tallest = max((share for each in shares if each for share in each), default=0.0)
    if tallest <= 0:
        return Markup("")
    size = next(len(each) for each in shares if each)
    return element(
        "svg",
        *(_silhouette(each, tallest, _tone(place, len(shares))) for place, each in enumerate(shares) if each),
        class_="shape",
        role="img",
        aria_label=title,
        viewBox=f"0 0 {size} {_HEIGHT}",
        preserveAspectRatio="none",
    )


def paired_bar(shares: Sequence[float | None], *, tallest: float) -> Markup:
    """One value's share in each dataset, as bars below one another; the numbers stand beside it."""
    drawn = [
        element(
            "rect",
            class_=_tone(place, len(shares)),
            y=place * 7,
            height=6 if len(shares) > 1 else 13,
            width=per_cent(max(share / tallest * 100, 0.5) if share and tallest else 0.0),
        )
        for place, share in enumerate(shares)
        if share is not None
    ]
    return element("svg", *drawn, class_="pair", height=13, aria_hidden="true")


def _tone(place: int, count: int) -> str:
    return "now" if place == count - 1 else "then"


def _silhouette(shares: Sequence[float], tallest: float, tone: str) -> Markup:
    """One closed path: a step a bar."""
    steps = "".join(f"V{_HEIGHT - _tall(share, tallest)}h1" for share in shares)
    return element("path", class_=tone, d=f"M0 {_HEIGHT}{steps}V{_HEIGHT}z")


def _tall(share: float, tallest: float) -> int:
    return max(round(share / tallest * (_HEIGHT - 2)), _FLAT) if share > 0 else 0
