"""What every chart shares: escaped elements, the frame with title, description and legend, and the table of the same data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

SERIES_COLOURS = 6
NOTHING = Markup("")


def element(name: str, *children: object, **attributes: object) -> Markup:
    """One SVG or HTML element with everything escaped.

    `class_` becomes `class`, underscores in other names become hyphens; attributes that are None are left out.
    """
    written = []
    for key, value in attributes.items():
        if value is None:
            continue
        attribute = "class" if key == "class_" else key if key == "viewBox" else key.replace("_", "-")
        written.append(Markup(' {}="{}"').format(attribute, value))
    inner = Markup("").join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup("").join(written), inner)


def per_cent(value: float) -> str:
    """A coordinate relative to the plot, short enough to keep pages small."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def colour(index: int) -> str:
    """The class of the n-th series; colours repeat after six, dashes and labels tell them apart."""
    return f"s{index % SERIES_COLOURS + 1}"


def figure(
    drawing: Markup, *, title: str, kind: str, legend: Markup = NOTHING, table: Markup = NOTHING, note: str = ""
) -> Markup:
    """A `<figure>`: caption, legend, drawing, and the data in a table that opens on request."""
    caption = element("figcaption", element("span", title, class_="chart-title"), legend, class_="chart-head")
    foot = element("p", note, class_="chart-note") if note else NOTHING
    details = element("details", element("summary", "Data"), table, class_="chart-data") if table else NOTHING
    return element("figure", caption, drawing, foot, details, class_=f"chart chart-{kind}")


def empty_figure(title: str, reason: str, kind: str) -> Markup:
    """The frame of a chart that has nothing to draw yet, saying why."""
    return figure(element("p", reason, class_="chart-empty"), title=title, kind=kind)


def legend_of(names: Sequence[tuple[str, str]]) -> Markup:
    """Swatches with names; a single series needs none, its title names it."""
    if len(names) < 2:
        return NOTHING
    items = [element("li", element("span", class_=f"swatch {css}", aria_hidden="true"), name) for css, name in names]
    return element("ul", *items, class_="legend")


def table_of(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """The same data as an HTML table, in a box that scrolls by itself and can be reached from the keyboard."""
    heading = element("tr", *(element("th", text, scope="col") for text in head))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    table = element(
        "table",
        element("caption", caption, class_="visually-hidden"),
        element("thead", heading),
        element("tbody", *body),
    )
    return element("div", table, class_="chart-table", tabindex=0, role="region", aria_label=f"Data: {caption}")


def words(title: str, description: str) -> Markup:
    """`<title>` and `<desc>`: what a screen reader says of the drawing."""
    return element("title", title) + element("desc", description)


@cache
def stylesheet() -> str:
    """The CSS that charts need, for pages that are not served by the control plane: it goes in the page once.

    Charts need nothing but the standard library and markupsafe, so that reports outside the server draw with them too.
    """
    return (Path(__file__).parent.parent / "static" / "charts.css").read_text(encoding="utf-8")
