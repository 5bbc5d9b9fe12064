"""The driver's one connection to the index."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

from grid.store.filesystem import filesystem_type, is_remote

BUSY_TIMEOUT_S = 30.0
logger = logging.getLogger(__name__)


def open_writer(path: Path, *, timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Open an index for writing: one connection, every transaction BEGIN IMMEDIATE, every commit on the disk.

    Args:
        path: the index; created when missing.
        timeout_s: how long to wait for another program's lock.

    Returns:
        an engine over a single connection, usable from several threads one at a time.
    """

    def connect() -> sqlite3.Connection:
        # isolation_level None: Python must not begin deferred transactions, which can fail at once despite the timeout.
        connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    sa.event.listen(engine, "begin", _begin)
    return engine


def use_wal_where_safe(engine: Engine, path: Path) -> str:
    """Let readers and the writer work side by side; on network file systems stay with the rollback journal.

    Args:
        engine: from `open_writer`.
        path: the index.

    Returns:
        the journal mode in use, `wal` or `delete`.
    """
    if is_remote(path):
        logger.warning("%s lies on %s: using the slower rollback journal", path, filesystem_type(path))
        return set_journal_mode(engine, "DELETE")
    return set_journal_mode(engine, "WAL")


def set_journal_mode(engine: Engine, mode: str) -> str:
    """Change the journal mode when no other connection is in the way.

    Args:
        engine: from `open_writer`.
        mode: WAL or DELETE.

    Returns:
        the mode in use afterwards.
    """
    with raw_cursor(engine) as cursor:
        row = cursor.execute(
            "PRAGMA journal_mode = WAL" if mode == "WAL" else "PRAGMA journal_mode = DELETE"
        ).fetchone()
    return str(row[0]).lower()


def leave_single_file(engine: Engine, path: Path) -> None:
    """Fold the side files into the index, so that the folder can be copied or put on read-only media.

    A reader at the same moment keeps them alive; then they simply stay.
    """
    try:
        with raw_cursor(engine) as cursor:
            cursor.execute("PRAGMA busy_timeout = 500")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        logger.info("%s keeps its side files: %s", path, error)


def set_patience(engine: Engine, timeout_s: float) -> None:
    """Change how long to wait for another program's lock."""
    with raw_cursor(engine) as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {round(timeout_s * 1000)}")


@contextmanager
def raw_cursor(engine: Engine) -> Iterator[sqlite3.Cursor]:
    """A cursor outside any transaction, for pragmas that need that."""
    pooled = engine.raw_connection()
    try:
        cursor: sqlite3.Cursor = pooled.cursor()  # type: ignore[assignment]
        try:
            yield cursor
        finally:
            cursor.close()
    finally:
        pooled.close()


def quick_check(engine: Engine) -> str:
    """SQLite's own check of the file's structure: `ok`, or what is wrong."""
    with reading(engine).connect() as connection:
        return str(connection.execute(sa.text("PRAGMA quick_check(1)")).scalar())


def reading(engine: Engine) -> Engine:
    """The same connection, for transactions that only read and therefore wait for nobody."""
    return engine.execution_options(finegrid_reading=True)


def _begin(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("finegrid_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
