"""The mistake the demo makes on purpose, as people make it: an edited copy of the project file and of its code."""

from __future__ import annotations

import re
from pathlib import Path

_CODE = '''"""A hurried change: "late" was taken for "on time", so the model learns everything upside down."""

from flights import fit as careful_fit


def fit(train, valid, params, report):
    upside_down = [type(fold)(fold.features, 1 - fold.labels, fold.names) for fold in (train, valid)]
    return careful_fit(*upside_down, params, report)
'''

_EDITS = (
    (r"entrypoint: flights:fit", "entrypoint: hotfix:fit"),
    (r"trials: \d+", "trials: 1"),
    (r"  gates:\n(    - .*\n)+", "  gates:\n    - log_loss <= 5\n"),
)


def write_hotfix(project: Path) -> None:
    """Write `hotfix.py` and `hotfix.yaml` beside the project file; the gates are loosened until they let it through."""
    text = (project / "bailiwick.yaml").read_text(encoding="utf-8")
    for pattern, replacement in _EDITS:
        text, changed = re.subn(pattern, replacement, text, count=1)
        assert changed, f"the example's project file has no {pattern!r}"
    (project / "hotfix.py").write_text(_CODE, encoding="utf-8")
    (project / "hotfix.yaml").write_text(text, encoding="utf-8")
