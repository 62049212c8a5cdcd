"""Histograms in one line of text: blocks where the terminal can show them, ASCII where it cannot."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TextIO

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"


def sparkline(shares: Sequence[float], *, tallest: float = 0.0, ascii_only: bool | None = None) -> str:
    """One character a share, the tallest of them (or of `tallest`, to hold lines against one another) full; none is a space.

    Whether blocks can be shown is asked of standard output, where `ascii_only` does not say it.
    """
    ramp = ASCII if (not shows(BLOCKS) if ascii_only is None else ascii_only) else BLOCKS
    most = max(tallest, *shares, 0.0) if shares else 0.0
    if most <= 0 or not math.isfinite(most):
        return ""
    steps = len(ramp)
    return "".join(" " if share <= 0 else ramp[min(steps - 1, int(share / most * steps))] for share in shares)


def shows(text: str, stream: TextIO | None = None) -> bool:
    """Whether the stream, or standard output, can say this text in its encoding."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
