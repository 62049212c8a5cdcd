"""Spark with Delta: `python delta_story.py URL SNAPSHOT FOLDER`, where `SNAPSHOT` is PATH@VERSION of a table of the platform.

Prints what was found, as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import deltalake

from bailiwick.adapters.engines import open_engine
from bailiwick.adapters.spark.frames import read_frame, write_frame
from bailiwick.adapters.spark.session import open_session
from bailiwick.core.errors import AlreadyExists
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.testing.engines import differences


def main(url: str, snapshot: str, folder: Path) -> None:
    """Read ours, write one, add to it, replace it, read a version of it, and a table by name."""
    warnings.simplefilter("ignore")
    session, _ = open_session(url)
    path, _, version = snapshot.rpartition("@")
    rows = deltalake.DeltaTable(path, version=int(version)).to_pyarrow_table()
    told: dict[str, object] = {}
    engine = open_engine("spark", f"delta:{snapshot}", Path.cwd())
    told["differences"] = differences(engine_statistics(engine), rows)
    engine.close()
    frame = read_frame(session, f"delta:{snapshot}")
    target = f"delta:{folder}/written"
    told["written"] = write_frame(frame, target)
    try:
        write_frame(frame, target)
        told["refused"] = ""
    except AlreadyExists as error:
        told["refused"] = str(error)
    told["appended"] = write_frame(frame.limit(5), target, existing="append")
    told["replaced"] = write_frame(frame.select("whole").limit(7), target, existing="replace")
    told["versions"] = [read_frame(session, f"{target}@{version}").count() for version in range(3)]
    session.sql(f"CREATE TABLE named USING delta LOCATION '{folder}/written'")
    told["named"] = read_frame(session, "named").columns
    session.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
