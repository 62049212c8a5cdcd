"""Commands on a cluster, in one process so that one JVM serves them all: `python cluster_story.py FOLDER URL BARE LACKING`.

`BARE` and `LACKING` are Pythons for the executors: one with what the documentation says, one without. Prints how each command
ended, as JSON by its name.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from pathlib import Path

from bailiwick.cli.main import main as bailiwick

SETTINGS = ("?spark.driver.host=127.0.0.1&spark.driver.memory=600m&spark.executor.memory=512m&spark.ui.enabled=false"
            "&spark.driver.maxResultSize=1m&spark.sql.shuffle.partitions=2")  # fmt: skip


def run(*words: str) -> dict[str, object]:
    """How a command ended."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["bailiwick", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            bailiwick()
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def too_much(url: str, source: str) -> str:
    """What Spark says to rows that are collected, of which more come than the driver takes."""
    from bailiwick.adapters.spark.frames import read_frame
    from bailiwick.adapters.spark.session import open_session, told_of
    from bailiwick.core.errors import InvalidInput

    session, _ = open_session(url)
    try:
        with told_of("all rows"):
            return f"{len(read_frame(session, source).collect())} rows came"
    except InvalidInput as error:
        return str(error)
    finally:
        session.stop()


def main(folder: Path, url: str, bare: str, lacking: str) -> None:
    """Every verb once; then with executors that lack something."""
    warnings.simplefilter("ignore")
    os.chdir(folder)
    on = ["--engine", url + SETTINGS]
    os.environ["PYSPARK_PYTHON"] = bare
    told: dict[str, object] = {
        "stats": run("data", "stats", "hard.parquet", "--out", "hard.pb", *on),
        "infer": run("data", "schema", "infer", "many.parquet", "--out", "many.pbtxt", *on),
        "validate": run("data", "validate", "many.parquet", "--schema", "many.pbtxt", "--check", "delay < 100", *on),
        "compare": run("data", "compare", "many.parquet", "moved.parquet", "--json", *on),
        "fit": run("features", "fit", "many.parquet", "--out", "there.onnx", "--json", *on),
        "transform": run("features", "transform", "many.parquet", "--graph", "there.onnx", "--to", f"parquet:{folder}/made",
                         "--keep", "trip", "--json", *on),
        "again": run("features", "transform", "many.parquet", "--graph", "there.onnx", "--to", f"parquet:{folder}/made", *on),
        "collected": too_much(url + SETTINGS, "many.parquet"),
    }  # fmt: skip
    os.environ["PYSPARK_PYTHON"] = lacking
    told["lacking"] = run("features", "fit", "many.parquet", "--out", "never.onnx", *on)
    os.environ["PYSPARK_PYTHON"] = "/no/such/python"
    told["no python"] = run("features", "fit", "many.parquet", "--out", "never.onnx", *on)
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
