"""The log beside a SQLite database, made as long as it ever gets before the first client waits for it.

Written over, a log makes a commit durable in half the time: a file that grows also has its new length and place to be
written, behind whatever else the file system has to do. SQLite begins with an empty log and writes over it from 16 MB on.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sqlalchemy import text

from bailiwick.core.errors import Unavailable
from bailiwick.store.database import Database
from bailiwick.store.patience import without_waiting
from bailiwick.store.sqlite import LOG_PAGES

PAGE_BYTES = 4_096
CACHED_PAGES = 600
"""What SQLite keeps of a transaction before it writes to the log, and a little more."""

log = logging.getLogger("bailiwick.store")


def lengthen_log(database: Database) -> None:
    """Do it, unless it was done, the records are not in SQLite, or somebody else is writing: then it grows as it is needed.

    A transaction that is larger than SQLite's cache goes to the log before it ends. This one is rolled back, so nothing
    of it is ever read; it is forgotten in a crash like any that did not end.
    """
    path = Path(f"{database.engine.url.database}-wal")
    if database.dialect != "sqlite" or (path.exists() and path.stat().st_size >= LOG_PAGES * PAGE_BYTES):
        return
    try:
        with without_waiting(), database.write() as connection:
            connection.execute(text("CREATE TABLE log_is_lengthened (bytes BLOB)"))
            size = (LOG_PAGES + CACHED_PAGES) * PAGE_BYTES
            connection.execute(text("INSERT INTO log_is_lengthened VALUES (zeroblob(:size))"), {"size": size})
            transaction = connection.get_transaction()
            assert transaction is not None
            transaction.rollback()
        with path.open(
            "rb"
        ) as written:  # SQLite holds no locks on this one of its files, which closing it would release
            os.fsync(written)
    except (Unavailable, OSError) as error:
        log.info("the database's log was not lengthened: %s", error)
