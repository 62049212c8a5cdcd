"""Licences that people write down by their SPDX identifier, so that other tools know them again."""

from __future__ import annotations

_KNOWN = (
    "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC-BY-NC-4.0",
    "CC-BY-SA-4.0", "CC0-1.0", "EPL-2.0", "EUPL-1.2", "GPL-2.0-only", "GPL-3.0-only", "GPL-3.0-or-later", "ISC",
    "LGPL-2.1-only", "LGPL-3.0-only", "MIT", "MPL-2.0", "MS-PL", "OFL-1.1", "Unlicense", "Zlib", "0BSD", "PSF-2.0",
)  # fmt: skip
_BY_LOWER = {each.lower(): each for each in _KNOWN}
_HUGGING_FACE = {
    "AGPL-3.0-only": "agpl-3.0",
    "AGPL-3.0-or-later": "agpl-3.0",
    "GPL-2.0-only": "gpl-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "GPL-3.0-or-later": "gpl-3.0",
    "LGPL-2.1-only": "lgpl-2.1",
    "LGPL-3.0-only": "lgpl-3.0",
}
_NOT_ON_HUGGING_FACE = frozenset({"0BSD", "PSF-2.0"})


def spdx(text: str) -> str:
    """The SPDX identifier that the text is, however capitalised; "" where it is none that is known here."""
    return _BY_LOWER.get(text.strip().lower(), "")


def hugging_face(text: str) -> str:
    """The word that Hugging Face has for it; `other` where it has none."""
    found = spdx(text)
    if not found or found in _NOT_ON_HUGGING_FACE:
        return "other"
    return _HUGGING_FACE.get(found, found.lower())
