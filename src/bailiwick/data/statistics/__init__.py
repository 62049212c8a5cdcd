"""Statistics of data in TFDV's format: computed, read, written, merged and looked at."""

from bailiwick.data.statistics.compute import compute_statistics

__all__ = ["compute_statistics"]
