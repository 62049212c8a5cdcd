"""What is installed in the interpreter that runs this. It is also run by itself, as `python -c`, in the interpreters of
others: it needs nothing but Python 3.8, and prints JSON.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def installed() -> dict[str, Any]:
    """The interpreter, and its distributions by normal name; of two with one name, the one that is imported."""
    found: dict[str, dict[str, Any]] = {}
    for each in distributions():
        name = each.metadata["Name"] if each.metadata is not None else None
        if name:
            normal = re.sub(r"[-_.]+", "-", name).lower()
            if normal not in found:
                found[normal] = {"name": normal, "version": each.version, "origin": _origin(each)}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": sys.platform + " " + platform.machine(),
        "distributions": [found[name] for name in sorted(found)],
    }


def _origin(distribution: Distribution) -> Any:
    """What `direct_url.json` says of a distribution that came from no index; None for the others."""
    try:
        said = distribution.read_text("direct_url.json")
        return json.loads(said) if said else None
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(installed()))
