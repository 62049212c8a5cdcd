"""The hard table on whichever Spark is in the path, in a process of its own: `python version_story.py FILE.parquet`.

Prints the version and what was told otherwise than of the rows, as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bailiwick.adapters.engines import open_engine
from bailiwick.adapters.spark.features import fit_on_spark, transform_on_spark
from bailiwick.adapters.spark.frames import read_frame, write_frame
from bailiwick.adapters.spark.session import open_session
from bailiwick.data.engines.profiling import build_engine_profile, profiled
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.data.profile import build_profile
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features
from bailiwick.testing.engines import differences

SETTINGS = "?spark.driver.memory=1g&spark.sql.shuffle.partitions=2&spark.sql.session.timeZone=America/Anchorage"


def main(path: str) -> None:
    """Statistics, profiles, features fitted and made."""
    warnings.simplefilter("ignore")
    table = pq.read_table(path)
    session, _ = open_session("local[2]" + SETTINGS)
    told: dict[str, object] = {"version": session.version}
    engine = open_engine("spark", path, Path.cwd())
    told["differences"] = differences(engine_statistics(engine), table)
    names = [column.name for column in engine.columns() if profiled(column)]
    told["profile"] = build_engine_profile(engine, names) == build_profile(table, names)
    engine.close()
    specs = parse_features(
        {"skewed": {"scale": "standard"}, "text": {"one_hot": {"min_count": 1}}, "tied": {"bucketize": 5}}
    )
    frame = read_frame(session, path)
    fitted = fit_on_spark(frame, specs)
    told["features"] = fitted == fit_features(specs, table)
    graph = compile_features(fitted).SerializeToString()
    target = f"parquet:{Path(path).with_suffix('.made')}"
    told["written"] = write_frame(transform_on_spark(frame, graph), target)
    made = pq.read_table(Path(path).with_suffix(".made"))
    expected = FeatureGraph(graph).run(table)
    values = made["features"].combine_chunks().flatten().to_numpy().reshape(expected.shape)
    told["made"] = bool(np.array_equal(values[np.lexsort(values.T)], expected[np.lexsort(expected.T)]))
    session.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
