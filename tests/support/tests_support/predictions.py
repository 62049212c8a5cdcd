"""Predictions in the log, as the data plane would have put them there."""

from __future__ import annotations

import pyarrow as pa

from bailiwick.lifecycle.platform import Platform


def log_predictions(platform: Platform, endpoint: str, *, count: int, failed: int, start: int) -> None:
    """Answers of the endpoint's first variant, one a millisecond from `start`; the first `failed` of them are errors."""
    serving = platform.endpoints.endpoint("default", endpoint)
    variant = serving.variants[0]
    times = list(range(start, start + count))
    rows = pa.table(
        {
            "prediction_id": [f"{time}:0" for time in times],
            "request_id": [str(time) for time in times],
            "row": pa.array([0] * count, pa.int32()),
            "endpoint": [endpoint] * count,
            "epoch": pa.array([serving.epoch] * count, pa.int32()),
            "variant": [variant.name] * count,
            "model": [variant.model] * count,
            "version": pa.array([variant.version] * count, pa.int32()),
            "unit": [str(time) for time in times],
            "time": pa.array(times, pa.int64()),
            "received": pa.array(times, pa.int64()),
            "latency_us": pa.array([100] * count, pa.int32()),
            "status": pa.array([500] * failed + [200] * (count - failed), pa.int16()),
            "error": pa.array([None] * count, pa.string()),
        }
    )
    platform.logs.of("default").append_predictions(endpoint, rows)
