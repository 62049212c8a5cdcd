"""A program that meets Spark by Spark Connect; the server is one of this process, the client speaks gRPC to it.

`python connect_story.py FILE.parquet` prints what it found, as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pyarrow.parquet as pq

from bailiwick.adapters.engines import open_engine
from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.specification import parse_features
from bailiwick.testing.engines import differences


def main(path: str) -> None:
    """Statistics, a table that is missing, features fitted and made."""
    from pyspark.sql import SparkSession

    from bailiwick.adapters.spark.features import fit_on_spark, transform_on_spark
    from bailiwick.adapters.spark.frames import write_frame

    warnings.simplefilter("ignore")
    session = SparkSession.builder.remote("local[2]").getOrCreate()
    address = session.client._builder.host
    table = pq.read_table(path)
    told: dict[str, object] = {"session": type(session).__module__}
    engine = open_engine(f"sc://{address}", path, Path.cwd())
    told["differences"] = differences(engine_statistics(engine), table)
    engine.close()
    try:
        open_engine("spark", "gone", Path.cwd())
    except InvalidInput as error:
        told["missing"] = str(error)
    specs = parse_features({"float": {"scale": "standard"}, "text": {"one_hot": {"min_count": 1}}})
    frame = session.read.parquet(path)
    fitted = fit_on_spark(frame, specs)
    told["same features"] = fitted == fit_features(specs, table)
    made = transform_on_spark(frame, compile_features(fitted).SerializeToString(), keep=["whole"])
    told["made"] = [made.toArrow().num_rows, made.columns]
    told["written"] = write_frame(made, f"parquet:{Path(path).with_suffix('.made')}")
    session.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
