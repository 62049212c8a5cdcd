"""How long one page of a search over many runs takes: filtered and sorted, the first page and the hundredth alike.

    python benchmarks/tracking_search.py [--runs 10000] [--metrics 20] [--page 50] [--repeats 15] [--postgres URL]

Makes a store of runs in two experiments, each run with metrics, five params and three tags, in a temporary folder (or
in the empty database that `--postgres` names), and asks for pages as the MLflow API does: ids by an index, then
everything the page's runs have. Times are medians of `--repeats` calls of `TrackingService.search_runs`, which is what
a request costs beside HTTP and JSON. The published figures are those of `--runs 100000`, which takes a minute or two to
make and about 0.6 GB of disk. Exits 1 when a page of the target searches takes over 30 ms.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice

from sqlalchemy import insert

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.filters import parse_filter, parse_ordering
from bailiwick.core.ids import new_id
from bailiwick.store.database import Database
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.tracking.batches import Batch, write_batches
from bailiwick.tracking.conditions import ENTITIES
from bailiwick.tracking.model import RUN_NAME_TAG, MetricPoint
from bailiwick.tracking.search import RunSearch
from bailiwick.tracking.service import TrackingService
from bailiwick.tracking.tables import runs

TARGET_MS = 30.0
ACTOR = Actor("bench", "bench", "default", frozenset(Permission))
BEGUN = 1_700_000_000_000
SEARCHES = (
    ("newest first", "", []),
    ("half the runs, by the metric", "metrics.m0 > 0.5", ["metrics.m0 DESC"]),
    (
        "two metrics and a param, by a metric",
        "metrics.m1 > 0.3 AND metrics.m2 < 0.8 AND params.p0 = '3'",
        ["metrics.m3"],
    ),
    ("one param in a hundred, newest first", "params.p1 = '42'", []),
    ("one run in a thousand, by a metric", "metrics.m0 > 0.999 AND tags.t0 != 'x'", ["metrics.m1 DESC"]),
    ("a tag's pattern, by a param then a metric", "tags.t1 ILIKE '%7'", ["params.p1", "metrics.m0"]),
    ("one name", "attributes.run_name = 'run-77'", ["metrics.m0"]),
    ("finished, by end time", "status = 'FINISHED'", ["end_time DESC"]),
)
BESIDE = (("by name: no index has that order, all are sorted", "", ["run_name"]),)


def make(records: Records, tracking: TrackingService, count: int, metrics: int) -> tuple[str, ...]:
    """Runs in both experiments, nine in ten in the first."""
    chance = random.Random(7)
    ids = tuple(tracking.create_experiment(ACTOR, name).id for name in ("large", "small"))
    numbers = iter(range(count))
    while chunk := list(islice(numbers, 2_000)):
        rows, batches = zip(*(_run(number, ids, metrics, chance) for number in chunk), strict=True)
        with records.database.write() as connection:
            connection.execute(insert(runs), list(rows))
            write_batches(connection, batches, {row["id"]: row["experiment_id"] for row in rows})
        done = chunk[-1] + 1
        if done % 10_000 == 0 or done == count:
            print(f"  {done:,} runs made", file=sys.stderr)
    return ids


def _run(number: int, ids: tuple[str, ...], metrics: int, chance: random.Random) -> tuple[dict[str, object], Batch]:
    run_id, name = new_id(), f"run-{number % 1_000}"
    row: dict[str, object] = {
        "id": run_id,
        "workspace": "default",
        "experiment_id": ids[number % 10 == 0],
        "name": name,
        "status": "FINISHED" if number % 7 else "FAILED",
        "lifecycle": "active",
        "started": BEGUN + number // 3,
        "ended": BEGUN + number + chance.randrange(1_000),
        "user_name": "bench",
        "artifact_uri": f"mlflow-artifacts:/1/{run_id}/artifacts",
        "created_by": "bench",
    }
    tags = {RUN_NAME_TAG: name, "t0": "y", "t1": f"v{chance.randrange(1_000)}"}
    params = {f"p{place}": str(chance.randrange((10, 100, 7, 2, 1_000)[place])) for place in range(5)}
    points = [MetricPoint(f"m{place}", chance.random(), BEGUN + number) for place in range(metrics)]
    return row, Batch("default", run_id, metrics=points, params=params, tags=tags)


def measure(
    tracking: TrackingService, ids: tuple[str, ...], page: int, repeats: int
) -> Iterator[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """Name, and for the first page and the hundredth (or the last there is) milliseconds of time and of the processor."""
    for name, text, order in (*SEARCHES, *BESIDE):
        clauses = parse_filter(text, entities=ENTITIES, default="attribute")
        orderings = tuple(parse_ordering(each, entities=ENTITIES, default="attribute") for each in order)
        search = RunSearch(ids, clauses, orderings)
        token, pages = "", 1
        while pages < 100:
            onward = tracking.search_runs("default", search, limit=page, token=token).next
            if not onward:
                break
            token, pages = onward, pages + 1
        first, last = (_median(tracking, search, page, at, repeats) for at in ("", token))
        yield f"{name} (page {pages})", first, last


def _median(tracking: TrackingService, search: RunSearch, page: int, token: str, repeats: int) -> tuple[float, ...]:
    taken = []
    for _ in range(repeats):
        begun, worked = time.perf_counter(), time.process_time()
        tracking.search_runs("default", search, limit=page, token=token)
        taken.append((time.perf_counter() - begun, time.process_time() - worked))
    return tuple(statistics.median(each) * 1_000 for each in zip(*taken, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--page", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--postgres", default="", help="URL of an empty database to use instead of SQLite")
    parser.add_argument("--keep", default="", help="folder to make the store in and leave it, or to find it made")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or scratch
        database = Database(asked.postgres or f"sqlite:///{folder}/runs.db")
        migrate(database)
        records = Records(database)
        tracking = TrackingService(records)
        begun = time.perf_counter()
        kept = tuple(sorted((each.id for each in tracking.experiments("default")), key=int))
        ids = kept or make(records, tracking, asked.runs, asked.metrics)
        print(
            f"{asked.runs:,} runs with {asked.metrics} metrics in {database.dialect}, pages of {asked.page}; ", end=""
        )
        print(f"made in {time.perf_counter() - begun:.0f} s; Python {platform.python_version()}")
        print(f"{'median milliseconds a page':<60}{'first':>8}{'last':>8}{'CPU':>8}{'CPU':>8}")
        slow = 0
        for place, (name, first, last) in enumerate(measure(tracking, ids, asked.page, asked.repeats)):
            print(f"{name:<60}{first[0]:>8.1f}{last[0]:>8.1f}{first[1]:>8.1f}{last[1]:>8.1f}", flush=True)
            slow += max(first[0], last[0]) > TARGET_MS and place < len(SEARCHES)
        database.close()
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
