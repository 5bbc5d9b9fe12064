"""A whole copy of a live index: SQLite's backup sees every committed row, a plain copy of the file does not."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from grid.store import schema
from grid.store.connection import open_writer, raw_cursor
from grid.store.migrate import write_new_index
from grid.store.places import index_to_read
from grid.store.problems import explained
from grid.store.reading import read_grid
from jobs.durable import disk_problem, sync_folder
from jobs.storage import Layout


def copy_index(root: Path, out: Path) -> Path:
    """Write the index of a results folder to a file of its own; a run may be going on.

    Args:
        root: results folder.
        out: the new database; replaced as a whole.

    Returns:
        the file, a single one that needs nothing beside it.

    Raises:
        UserError: not a results folder.
        EnvironmentProblem: the index is damaged, or the disk refused.
    """
    engine = schema.open_read_only(root)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        engine.dispose()
        raise disk_problem(out.parent, error) from error
    try:
        with explained(index_to_read(Layout(root.absolute()))):
            if engine.dialect.name == "sqlite":
                with raw_cursor(engine) as cursor:
                    _backup(cursor.connection, temporary)
            else:
                _copy_rows(engine, temporary)
        temporary.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        raise disk_problem(out, error) from error
    finally:
        temporary.unlink(missing_ok=True)
        engine.dispose()
    return out


def _copy_rows(source: Engine, target: Path) -> None:
    """The index of a server as a file; what its schema version is has been checked."""
    with source.connect() as connection:
        write_new_index(target, grid=read_grid(connection))
        copy = open_writer(target)
        try:
            with copy.begin() as into:
                into.execute(sa.delete(schema.meta))
                for table in schema.metadata.sorted_tables:
                    rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                    if rows:
                        into.execute(sa.insert(table), rows)
        finally:
            copy.dispose()


def _backup(source: sqlite3.Connection, target: Path) -> None:
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
