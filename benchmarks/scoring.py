"""Batch scoring: `bailiwick score` as a whole, beside onnxruntime alone on all cores with its arrays ready in memory.

    python benchmarks/scoring.py [--rows 400000] [--rounds 3]

The model is a classifier of 100 trees with 31 leaves over 10 numbers. The peer is a session given the
same NumPy arrays again and again, with its own threads or with a calling thread a core, whichever is faster: it reads nothing,
converts nothing and writes nothing. Ours reads Parquet, scores,
writes Parquet with the id of each row, and has each part and the whole on record. Rounds alternate; the best of each counts.
"""

from __future__ import annotations

import argparse
import os
import platform as machine
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.data.sources import open_source
from bailiwick.features.compilation import compile_features
from bailiwick.features.model import FittedFeature, FittedFeatures
from bailiwick.lifecycle.batch.story import score_source
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion
from bailiwick.training.packaging import package

NUMBERS = 10
TARGET = 0.8
ADMIN = Actor("u-admin", "admin", "default", frozenset(Permission))


def model() -> bytes:
    """100 trees of 31 leaves."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, NUMBERS)).astype(np.float32)
    labels = (features @ rng.normal(size=NUMBERS) + rng.normal(size=20_000) > 0).astype(np.int64)
    fitted = FittedFeatures(tuple(FittedFeature(f"x{place}", "number", "FP32") for place in range(NUMBERS)))
    estimator = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1).fit(features, labels)
    return package(compile_features(fitted), estimator)


def write_rows(folder: Path, rows: int) -> None:
    """Parquet files of numbers with an id."""
    rng = np.random.default_rng(1)
    for part in range(4):
        count = rows // 4
        columns = {f"x{place}": rng.normal(size=count).astype(np.float32) for place in range(NUMBERS)}
        pq.write_table(pa.table({"id": np.arange(count) + part * count, **columns}), folder / f"{part}.parquet")


@dataclass(frozen=True)
class Rate:
    """Rows a second by the clock, and for each second of processor time, which a busy machine disturbs less."""

    wall: float
    processor: float


def best(rates: Iterable[Rate]) -> Rate:
    """The best of each."""
    found = list(rates)
    return Rate(max(each.wall for each in found), max(each.processor for each in found))


def bare(data: bytes, rows: int, cores: int) -> Rate:
    """Rows a second of onnxruntime alone: its own threads on large batches, or a thread a core on small ones; the better."""
    ways = ((cores, 1), (1, cores))
    return best(_bare(data, rows, session_threads=threads, callers=callers) for threads, callers in ways)


def _bare(data: bytes, rows: int, *, session_threads: int, callers: int) -> Rate:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = session_threads
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    size = 65_536 if callers == 1 else 8_192
    rng = np.random.default_rng(2)
    feed = {f"x{place}": rng.normal(size=(size, 1)).astype(np.float32) for place in range(NUMBERS)}
    session.run(None, feed)
    times = max(callers, rows // size)
    with ThreadPoolExecutor(callers) as pool:
        began, used = time.perf_counter(), time.process_time()
        list(pool.map(lambda _: session.run(None, feed), range(times)))
        seconds = time.perf_counter() - began, time.process_time() - used
    return Rate(times * size / seconds[0], times * size / seconds[1])


def ours(platform: Platform, version: ModelVersion, folder: Path) -> Rate:
    """Rows a second from Parquet to Parquet."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    began, used = time.perf_counter(), time.process_time()
    source = open_source(str(folder / "rows" / "*.parquet"), folder)
    scored = score_source(platform, ADMIN, source, version, str(out), keep=["id"], overwrite=True)
    return Rate(scored.rows / (time.perf_counter() - began), scored.rows / (time.process_time() - used))


def main() -> None:
    """Exit status 1 below the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    data = model()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows").mkdir()
        write_rows(folder / "rows", asked.rows)
        platform = open_platform(Settings(home=folder / "home"))
        version = platform.registry.register(
            ADMIN, "model", package=platform.blobs.put(data), run_id="", snapshot="", signature={}, metrics={}, slices={},
            parity={}, environment={}, code_version="", parameters={},
        )  # fmt: skip
        found = [(bare(data, asked.rows, cores), ours(platform, version, folder)) for _ in range(asked.rounds)]
        platform.close()
    peer, mine = (best(each) for each in zip(*found, strict=True))
    print(f"{machine.machine()}, {cores} cores, onnxruntime {onnxruntime.__version__}, {asked.rows:,} rows")
    print(f"{'':<20} {'rows/s':>12} {'rows/s of processor time':>26}")
    for name, rate in (("onnxruntime alone", peer), ("bailiwick score", mine)):
        print(f"{name:<20} {rate.wall:>12,.0f} {rate.processor:>26,.0f}")
    share = mine.wall / peer.wall, mine.processor / peer.processor
    print(f"{'reached':<20} {share[0]:>12.0%} {share[1]:>26.0%}   (target {TARGET:.0%})")
    sys.exit(max(share) < TARGET)


if __name__ == "__main__":
    main()
