"""Feature preparation: our one graph beside scikit-learn's pipeline, in batch and for one row.

    python benchmarks/features.py [--rows 500000]

Two sets of features over the same made-up table. `numbers and categories`: six numbers scaled, clipped or bucketised, three texts as
codes. `wide`: the same with one-hot, a cross, date parts, a hash and an expression. Ours starts from an Arrow table and
ends with a float32 matrix, conversions included; scikit-learn starts from a data frame. One thread each, but for `all cores`.

Each figure is the best of several runs, by the clock and by the processor time that the process used: on a machine that others use too,
the clock tells how long it took there, and processor time what it costs. `one row` is a call of the session as serving makes it,
from arrays to the matrix; `one row from Arrow` is all of `FeatureGraph.run`. A target is met where the clock says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from bailiwick.features.columns import tensor
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features
from bailiwick.serving.packing import blocks_of, pack_inputs
from bailiwick.serving.tensors import TensorSpec

NUMBERS = [f"n{index}" for index in range(6)]
TEXTS = ["c0", "c1", "c2"]
LEAN: Mapping[str, object] = {
    **{name: {"scale": "standard"} for name in NUMBERS[:4]},
    "n4": {"clip": {"quantiles": [0.01, 0.99]}},
    "n5": {"bucketize": 10},
    **{name: {"category": {"min_count": 50}} for name in TEXTS},
}
WIDE: Mapping[str, object] = {
    **{name: {"scale": "standard"} for name in NUMBERS[:4]},
    "n5": {"bucketize": 10},
    **{name: {"one_hot": {"min_count": 50}} for name in TEXTS},
    "pair": {"cross": ["c0", "c1"]},
    "when": {"date": {"column": "t", "parts": ["hour_cyclic", "weekday", "month"]}},
    "hashed": {"hash": {"column": "c2", "buckets": 64}},
    "ratio": {"expression": "n0 / (abs(n1) + 1) if n2 > 0 else -1"},
}
TARGET_ROWS, TARGET_US = 1_000_000, 50


def table_of(rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    made = {name: random.normal(size=rows) for name in NUMBERS}
    made["n0"][::20] = np.nan
    for index, name in enumerate(TEXTS):
        values = np.array([f"value {number}" for number in range(5 * (index + 1))], object)
        made[name] = values[random.integers(len(values), size=rows)]
    made["t"] = random.integers(1_300_000_000_000, 1_700_000_000_000, rows)
    return pa.table(made)


def peer(*, wide: bool) -> ColumnTransformer:
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        if wide
        else OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    )
    bins = KBinsDiscretizer(10, encode="ordinal", quantile_method="averaged_inverted_cdf")
    return ColumnTransformer([("n", scaled, NUMBERS[:5]), ("b", bins, ["n5"]), ("c", texts, TEXTS)])


class Took(NamedTuple):
    """Seconds of one run."""

    clock: float
    processor: float


def best(run: Callable[[], object], times: int) -> Took:
    """The smallest of several runs, or the median of many."""
    clock, processor = [], []
    for _ in range(times):
        begun, used = time.perf_counter(), time.process_time()
        run()
        clock.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    choose = min if times < 20 else statistics.median
    return Took(choose(clock), choose(processor))


def measure(name: str, declared: Mapping[str, object], table: pa.Table, *, wide: bool) -> None:
    specs = parse_features(declared)
    fitted = best(lambda: compile_features(fit_features(specs, table)), 1)
    model = compile_features(fit_features(specs, table))
    nodes = len(model.graph.node)
    graph = FeatureGraph(model)
    batch = best(lambda: graph.run(table), 5)
    both = FeatureGraph(model, threads=os.cpu_count() or 1)
    parallel = best(lambda: both.run(table), 5)
    one = table.slice(0, 1)
    from_arrow = best(lambda: graph.run(one), 500)
    alone = one_row(model, graph, one)
    frame = table.to_pandas()
    theirs = peer(wide=wide).fit(frame)
    their_batch = best(lambda: theirs.transform(frame), 2)
    their_one = best(lambda: theirs.transform(frame[:1]), 30)
    rows = table.num_rows
    print(f"\n{name}: {len(specs)} features, {len(graph.names)} columns, {nodes} nodes")
    print(f"  {'':20} {'clock':>22} {'processor':>22}   scikit-learn")
    _print("fit and compile", fitted, rows)
    _print("batch", batch, rows, their_batch)
    _print("batch, all cores", parallel, rows)
    print(
        f"  {'one row':20} {alone.clock * 1e6:19.1f} us {'':22}   {their_one.clock * 1e6:.1f} us, {their_one.clock / alone.clock:.1f}x"
    )
    print(f"  {'one row from Arrow':20} {from_arrow.clock * 1e6:19.1f} us")
    rate = rows / min(batch.clock, parallel.clock)
    print(
        f"  {TARGET_ROWS:,} rows/s: {_met(rate >= TARGET_ROWS)}; {TARGET_US} us: {_met(alone.clock * 1e6 <= TARGET_US)}"
    )


def _print(what: str, took: Took, rows: int, theirs: Took | None = None) -> None:
    peer = f"   {rows / theirs.clock:,.0f} rows/s, {theirs.clock / took.clock:.1f}x" if theirs else ""
    print(f"  {what:20} {rows / took.clock:15,.0f} rows/s {rows / took.processor:15,.0f} rows/s{peer}")


def _met(truth: bool) -> str:  # noqa: FBT001
    return "met" if truth else "MISSED"


def one_row(model: object, graph: FeatureGraph, row: pa.Table) -> Took:
    """As serving runs it: columns of one datatype are one array, which the graph takes apart."""
    specs = [TensorSpec(name, datatype, (-1, 1)) for name, datatype in graph.inputs.items()]
    blocks = blocks_of(specs)
    pack_inputs(model, blocks)  # type: ignore[arg-type]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],  # type: ignore[attr-defined]
    )
    run = session._sess.run  # noqa: SLF001 - as serving calls it
    feed = {
        block.name: np.concatenate([tensor(row.column(spec.name), spec.datatype) for spec in block.specs], axis=1)
        for block in blocks
    }
    names = [graph.output]
    return best(lambda: run(names, feed, None), 2000)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=500_000)
    table = table_of(options.parse_args().rows)
    versions = f"onnxruntime {onnxruntime.__version__}, scikit-learn {sklearn.__version__}, pandas {pd.__version__}"
    print(
        f"{table.num_rows:,} rows; {platform.processor() or platform.machine()}, Python {platform.python_version()}, {versions}"
    )
    measure("numbers and categories", LEAN, table, wide=False)
    measure("wide", WIDE, table, wide=True)


if __name__ == "__main__":
    main()
