"""Licences of installed distributions, as their metadata states them; nothing is guessed from names or texts."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, metadata

MAX_LENGTH = 120
_CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
"""Trove classifiers that mean exactly one SPDX licence; `BSD License` is not among them, it means several."""


def installed_licences(packages: Iterable[str]) -> dict[str, str]:
    """Licence by distribution name, of those that are installed and state one: an SPDX expression, else a short name."""
    found = {}
    for name in packages:
        licence = _licence(name)
        if licence:
            found[name] = licence
    return found


def _licence(name: str) -> str:
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return ""
    if "License-Expression" in told:
        return told["License-Expression"].strip()
    classifiers = [each.rpartition(" :: ")[2] for each in told.get_all("Classifier") or () if "License ::" in each]
    known = {_CLASSIFIED[each] for each in classifiers if each in _CLASSIFIED}
    if len(known) == 1 and len(classifiers) == 1:
        return known.pop()
    written = told["License"].strip() if "License" in told else ""
    return (
        written if written and len(written) <= MAX_LENGTH and written.isprintable() else ", ".join(sorted(classifiers))
    )
