"""What each served version did, in the words of Triton's statistics extension: counts, and times as measured."""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import Any


class Tally:
    """One version behind one endpoint in this process. Times are nanoseconds, sums over requests."""

    __slots__ = ("failed", "failed_ns", "infer_ns", "input_ns", "last_ns", "output_ns", "queue_ns", "rows", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.failed_ns = 0
        self.rows = 0
        self.queue_ns = 0
        self.input_ns = 0
        self.infer_ns = 0
        self.output_ns = 0
        self.last_ns = 0

    def answered(self, rows: int, began: int, bound: int, ran: int, now: int, before: int = 0, after: int = 0) -> None:
        """One request was answered, `rows` of it by this version; moments are those of `perf_counter_ns`.

        What it stood in line is `before` it was bound, and `after`.
        """
        self.succeeded += 1
        self.rows += rows
        self.queue_ns += before + after
        self.input_ns += bound - began - before
        self.infer_ns += ran - bound - after
        self.output_ns += now - ran
        self.last_ns = now

    def failed_one(self, total_ns: int) -> None:
        """One request failed in this version."""
        self.failed += 1
        self.failed_ns += total_ns

    def statistics(self, name: str, version: str) -> dict[str, Any]:
        """An element of `model_stats`."""
        counted, total = self.succeeded, self.queue_ns + self.input_ns + self.infer_ns + self.output_ns
        return {
            "name": name,
            "version": version,
            "last_inference": (time_ns() - perf_counter_ns() + self.last_ns) // 1_000_000 if self.last_ns else 0,
            "inference_count": self.rows,
            "execution_count": self.succeeded,
            "inference_stats": {
                "success": {"count": counted, "ns": total},
                "fail": {"count": self.failed, "ns": self.failed_ns},
                "queue": {"count": counted, "ns": self.queue_ns},
                "compute_input": {"count": counted, "ns": self.input_ns},
                "compute_infer": {"count": counted, "ns": self.infer_ns},
                "compute_output": {"count": counted, "ns": self.output_ns},
                "cache_hit": {"count": 0, "ns": 0},
                "cache_miss": {"count": 0, "ns": 0},
            },
            "batch_stats": [],
        }
