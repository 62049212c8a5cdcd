"""The page on which a model can be tried: three small files of this package, and nothing from anywhere else."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bailiwick.serving.http.form import Header, Reply

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "docs": ("page.html", b"text/html; charset=utf-8"),
    "docs/page.css": ("page.css", b"text/css; charset=utf-8"),
    "docs/page.js": ("page.js", b"text/javascript; charset=utf-8"),
}

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'"
)
SAFE: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def page(path: str) -> Reply | None:
    """The file at a path, without slashes around it; None for any other."""
    found = _FILES.get(path)
    return None if found is None else Reply(_read(found[0]), (b"content-type", found[1]), SAFE)


@cache
def _read(name: str) -> bytes:
    return (_STATIC / name).read_bytes()
