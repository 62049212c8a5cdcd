"""A page as a careful reader sees it: its links, headings, and what should not be in it."""

from __future__ import annotations

from html.parser import HTMLParser

OURS = {"Origin": "http://127.0.0.1:8600"}
"""What a browser sends along with a form from one of our own pages."""

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Links, ids, headings and anything a careful author would not write."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self._open.append(tag)
        if given.get("href"):
            self.links.append(str(given["href"]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(tag)
        self.faults += [f"{tag} has {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" not in given:
            self.faults.append("a script in the page")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")
