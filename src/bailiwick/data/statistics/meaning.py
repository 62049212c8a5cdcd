"""What values seem to mean: moments in time, or texts in natural language. A guess, which TFDV keeps as `domain_info`.

Of columns with at least 100 values, four in five of which fit, looking at the first thousand.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import is_time, storable
from bailiwick.data.statistics.compute import countable_column

if TYPE_CHECKING:
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    pa, protos = deferred("pyarrow"), deferred("tensorflow_metadata.proto.v0.statistics_pb2")

LEAST_VALUES = 100
LOOKED_AT = 1000
_SHARE = 0.8
_UNIX = {  # from 1990 to 2030
    "UNIX_DAYS": (7_305, 21_915),
    "UNIX_SECONDS": (631_152_000, 1_893_456_000),
    "UNIX_MILLISECONDS": (631_152_000_000, 1_893_456_000_000),
    "UNIX_MICROSECONDS": (631_152_000_000_000, 1_893_456_000_000_000),
    "UNIX_NANOSECONDS": (631_152_000_000_000_000, 1_893_456_000_000_000_000),
}
_DIRECTIVES = {
    "%a": "|".join(calendar.day_abbr),
    "%b": "|".join(calendar.month_abbr[1:]),
    "%B": "|".join(calendar.month_name[1:]),
    "%f": r"[0-9]{1,6}",
    "%d": r"3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9]",
    "%H": r"2[0-3]|[0-1]\d|\d",
    "%y": r"\d\d",
    "%Y": r"\d\d\d\d",
    "%m": r"1[0-2]|0[1-9]|[1-9]",
    "%M": r"[0-5]\d|\d",
    "%S": r"6[0-1]|[0-5]\d|\d",
}
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%y-%m-%d", "%y/%m/%d", "%m-%d-%Y", "%m/%d/%Y", "%m%d%Y", "%m-%d-%y",
    "%m/%d/%y", "%d-%m-%Y", "%d/%m/%Y", "%d%m%Y", "%d-%B-%Y", "%d-%m-%y", "%d/%m/%y", "%d-%B-%y",
)  # fmt: skip
_TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")


def add_meanings(dataset: Any, table: pa.Table) -> None:
    """Write the guess, where there is one, into each feature's custom statistics: schemas inferred from them have it."""
    found = Meanings()
    found.add(storable(table))
    found.tell(dataset)


class Meanings:
    """What `add_meanings` tells, of rows that come in parts: their first values are kept until there are enough."""

    def __init__(self) -> None:
        self._first: dict[str, list[Any]] = {}
        self._times: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types."""
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            first = self._first.setdefault(name, [])
            if is_time(column.type):
                self._times.add(name)
            elif len(first) < LOOKED_AT and not pa.types.is_struct(column.type):
                values = countable_column(name, column).values.drop_null()
                first += values.slice(0, LOOKED_AT - len(first)).to_pylist()

    def tell(self, dataset: Any) -> None:
        """Add what was guessed."""
        for feature in dataset.features:
            first = self._first.get(feature.path.step[0], [])
            if feature.path.step[0] in self._times:
                guess = "time_domain { integer_format: UNIX_MILLISECONDS }"
            else:
                guess = _guess(feature.type, first) if len(first) >= LEAST_VALUES else ""
            if guess:
                feature.custom_stats.add(name="domain_info", str=guess)


def time_format(texts: Iterable[str]) -> str:
    """The `strptime` format that most of the texts have, if four in five have it; otherwise ""."""
    matching: Counter[str] = Counter()
    total = 0
    for text in texts:
        total += 1
        matching.update(form for form, pattern in _patterns() if pattern.fullmatch(text))
    form, count = matching.most_common(1)[0] if matching else ("", 0)
    return form if total and count / total >= _SHARE else ""


def is_language(text: str) -> bool:
    """Whether text looks like words: three or more, of 2.5 to 8 letters on average, in its first 100 characters."""
    words = text[:100].split()
    return len(words) >= 3 and 2.5 <= sum(map(len, words)) / len(words) <= 8


def _guess(kind: int, values: list[Any]) -> str:
    if kind == protos.FeatureNameStatistics.STRING:
        form = time_format(values)
        if form:
            return f'time_domain {{ string_format: "{form}" }}'
        return "natural_language_domain {}" if sum(map(is_language, values)) >= _SHARE * len(values) else ""
    if kind == protos.FeatureNameStatistics.INT:
        for form, (start, end) in _UNIX.items():
            if sum(start <= value < end for value in values) >= _SHARE * len(values):
                return f"time_domain {{ integer_format: {form} }}"
    return ""


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((form, re.compile(_regex(form))) for form in _formats())


def _formats() -> Iterator[str]:
    yield from _DATES
    yield from _TIMES
    yield "%a %b %d %H:%M:%S %Y"
    for date in _DATES:
        for time in _TIMES:
            yield f"{date}T{time}"
            yield f"{date} {time}"


def _regex(form: str) -> str:
    parts = re.split(r"(%\w)", form)
    return "".join(f"(?:{_DIRECTIVES[part]})" if part in _DIRECTIVES else re.escape(part) for part in parts)
