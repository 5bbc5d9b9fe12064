"""What can be wrong with an index, in words for the person who has to act."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from grid.store.users import users_of
from jobs.errors import DiskFull, EnvironmentProblem, FineGridError, UserError, is_disk_full, one_line
from jobs.redaction import redact
from jobs.storage import Layout

_DISK_FULL_STATE, _LOCKED_STATE, _DENIED_STATE = "53100", "55P03", "42501"
"""PostgreSQL's codes (SQLSTATE)."""
_NEARLY_FULL_BYTES = 1 << 20
_UNWRITTEN = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE})
"""SQLite's words for a file that could not grow for another reason than ENOSPC: a quota, a limit of file size."""


class StoreLocked(EnvironmentProblem):
    """Another program held the index longer than this one waits."""


class DiskBroken(EnvironmentProblem):
    """The disk reported an I/O error: what it holds since is not certain."""


def not_a_store(layout: Layout) -> UserError:
    """A folder or URL without an index was given where results are expected."""
    root = layout.root
    if layout.mirror is not None:
        return UserError(f"{layout.name} holds no store (yet); give the URL that `--results` named")
    what = "no such folder" if not root.exists() else "there is no grid.db in it"
    return UserError(f"{root} is not a results folder: {what}; give the folder that `--results` named")


def other_grid(root: Path | str, found: str, wanted: str) -> UserError:
    """A store belongs to the grid that made it."""
    return UserError(
        f"{root} holds results of the grid {found!r}, not of {wanted!r}; "
        f"give another folder with --results, or set name: {found} to extend that grid"
    )


def wrong_schema(path: Path, found: str | None, known: Sequence[str]) -> UserError:
    """The index was written by a newer or an older FineGrid."""
    if found in known:
        advice = "an older FineGrid wrote it; the next `finegrid run` into this folder brings it up to date"
    else:
        advice = "a newer FineGrid wrote it; update FineGrid"
    return UserError(f"{path} has schema {found or 'unknown'}, this FineGrid uses {known[-1]}: {advice}")


def damaged_index(path: Path, detail: str) -> EnvironmentProblem:
    """The index cannot be read; the result folders can."""
    return EnvironmentProblem(
        f"{path} is damaged ({detail}); nothing was written. "
        f"`finegrid doctor {path.parent} --rebuild` makes a new index from the result folders and keeps this file"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the database into errors that say what to do.

    Args:
        path: the index.
    Raises:
        EnvironmentProblem: disk full, read-only, locked by another program, or damaged.
    """
    try:
        yield
    except sa.exc.DatabaseError as error:
        problem = _explain(path, error)
        if problem is None:
            raise
        raise problem from error
    except sqlite3.DatabaseError as error:
        raise explain_sqlite(path, str(error), _code(error)) or _cannot_write(path, str(error)) from error


@contextmanager
def explained_server() -> Iterator[None]:
    """As `explained`, where there is no file."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise explain_server(error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "psycopg":
            raise
        raise _server_problem(error) from error


def explain_server(error: sa.exc.DBAPIError) -> FineGridError:
    """What an error of PostgreSQL means for the person who owns the database."""
    return _server_problem(error.orig or error)


def _server_problem(error: BaseException) -> FineGridError:
    # Its words name host, user and database, never the password; SQL and its values are left out.
    detail = one_line(redact(str(error)))
    code = str(getattr(error, "sqlstate", None) or "")
    if code == _DISK_FULL_STATE:
        return DiskFull(f"the index in PostgreSQL: {detail}; free space there, then run the same command again")
    if code == _LOCKED_STATE:
        return StoreLocked(f"the index in PostgreSQL was locked by another program for too long: {detail}")
    if code.startswith("28") or code == _DENIED_STATE:
        return EnvironmentProblem(f"the index in PostgreSQL refused: {detail}; look at user, password and rights")
    return EnvironmentProblem(f"the index in PostgreSQL: {detail}; the same command goes on once it can be reached")


def _is_of_server(error: sa.exc.DatabaseError) -> bool:
    return type(error.orig).__module__.partition(".")[0] == "psycopg"


def _explain(path: Path, error: sa.exc.DatabaseError) -> FineGridError | None:
    if _is_of_server(error):
        return explain_server(error) if not isinstance(error, sa.exc.IntegrityError) else None
    return explain_sqlite(path, str(error.orig), _code(error.orig)) or (
        _cannot_write(path, str(error.orig)) if isinstance(error, sa.exc.OperationalError) else None
    )


def explain_sqlite(path: Path, detail: str, code: int = 0) -> FineGridError | None:
    """What an error of SQLite means for the person who owns the disk.

    Args:
        path: the index.
        detail: SQLite's words.
        code: its extended result code; 0 when unknown.

    Returns:
        the error to raise; None when the words say nothing known.
    """
    lower = detail.lower()
    if "malformed" in lower or "not a database" in lower or "no such table" in lower or "no such column" in lower:
        return damaged_index(path, detail)
    if "locked" in lower:
        who = users_of(path)
        by = f" ({', '.join(who)})" if who else ""
        return StoreLocked(
            f"{path} was locked by another program{by} for too long; close it and run the same command again"
        )
    if is_disk_full(detail) or (code in _UNWRITTEN and _cannot_grow(path)):
        return DiskFull(f"cannot write {path}: {detail}; free space, then run the same command again")
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return DiskBroken(
            f"cannot write {path}: {detail}; the disk or its connection is broken: mend it, look at the store with "
            f"`finegrid doctor`, then run the same command again"
        )
    return None


def check_log_file(index: Path) -> None:
    """Refuse an index whose write-ahead log was taken away: committed rows would be missing without a word.

    SQLite makes log and shared memory together and removes the log first, the other in the same breath. Shared
    memory alone is what a killed process leaves when somebody removes the log.

    Raises:
        EnvironmentProblem: the log is gone.
    """
    log, memory = (index.with_name(index.name + suffix) for suffix in ("-wal", "-shm"))
    if index.is_file() and memory.is_file() and memory.stat().st_size and not log.exists():
        raise damaged_index(index, f"its log {log.name} is gone, and with it rows that were committed")


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def _cannot_write(path: Path, detail: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"cannot write {path}: {detail}; free space or repair the disk, then run the same command again"
    )


def _cannot_grow(path: Path) -> bool:
    limit_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    try:
        return limit_bytes != resource.RLIM_INFINITY or shutil.disk_usage(path.parent).free < _NEARLY_FULL_BYTES
    except OSError:
        return False
