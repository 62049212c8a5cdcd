"""The platform's code that executors run, sent to them: they need no Bailiwick, and never run another version of it."""

from __future__ import annotations

import functools
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import bailiwick
from bailiwick.core.canonical import sha256_hex

_PARTS = ("__init__.py", "_version.py", "core/*.py", "features/*.py", "adapters/__init__.py",
          "adapters/spark/__init__.py", "adapters/spark/executors.py", "lifecycle/__init__.py",
          "lifecycle/batch/__init__.py", "lifecycle/batch/graph.py", "pyfunc/__init__.py", "pyfunc/params.py",
          "serving/__init__.py", "serving/failures.py", "serving/tensors.py")  # fmt: skip
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def ship(session: Any) -> None:
    """Send the code to the executors of a session, those that come later too. Sent again, it is not sent twice."""
    archive = str(_archive())
    if type(session).__module__.startswith("pyspark.sql.connect"):
        session.addArtifacts(archive, pyfile=True)
    elif Path(archive).name not in session.sparkContext._python_includes:  # noqa: SLF001, there is no other way to ask
        before = list(sys.path)
        session.sparkContext.addPyFile(archive)
        # Spark puts it before the whole platform on this process's path too, where children would import from it.
        sys.path[:] = [entry for entry in sys.path if entry in before]


@functools.cache
def _archive() -> Path:
    """Kept until this process ends: executors that start later fetch it from here."""
    folder = tempfile.TemporaryDirectory(prefix="bailiwick-spark-")
    _KEPT.append(folder)
    path = Path(folder.name) / "code.zip"
    home = Path(bailiwick.__file__).parent
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in _PARTS:
            for file in sorted(home.glob(part)):
                entry = zipfile.ZipInfo(f"bailiwick/{file.relative_to(home).as_posix()}", _LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())
    return path.rename(path.with_name(f"bailiwick_{sha256_hex(path.read_bytes())[:16]}.zip"))


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
