"""Rows of what is promised, who serves, and how requests fared in each minute. Neither of the last two is journalled."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table, Text

from bailiwick.endpoints.reporting import CLASSES
from bailiwick.store.database import metadata

objectives = Table(
    "serving_objectives",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("endpoint", String(250), primary_key=True),
    Column("objectives", Text, nullable=False),
)

workers = Table(
    "serving_workers",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("worker", String(250), primary_key=True),
    Column("seen", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
)

LATENCY_COLUMNS = tuple(f"latency_{place}" for place in range(CLASSES))
"""Answers by class of latency, as in `endpoints/reporting.py`."""

minutes = Table(
    "serving_minutes",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("endpoint", String(250), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("failed", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in LATENCY_COLUMNS),
)
