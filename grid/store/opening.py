"""How a store comes to be open for writing: found or made, of the right grid, of the newest schema, whole."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from grid.store import schema
from grid.store.connection import open_writer, quick_check, reading, use_wal_where_safe
from grid.store.copies import Copies
from grid.store.lock import NoFileLocks
from grid.store.migrate import bring_up_to_date, create_index, fill_new_index
from grid.store.ownership import Owner, Ownership
from grid.store.places import Places, index_to_read, make_places
from grid.store.postgres import PostgresOwnership, find_server, new_server, record_server
from grid.store.problems import (
    check_log_file,
    damaged_index,
    explained,
    explained_server,
    other_grid,
    wrong_schema,
)
from jobs.durable import disk_problem
from jobs.errors import UserError
from jobs.storage import DamagedResult, Layout, complete_results, read_result

_LONGEST_ROOT = 400
"""Bytes of a results folder's absolute path: SQLite opens files of at most 512, temporary ones among them."""
logger = logging.getLogger(__name__)


def make_root(layout: Layout) -> None:
    """Make the results folder when it is missing.

    Raises:
        UserError: a file is in its place, or its name is longer than SQLite takes.
        EnvironmentProblem: the disk refused.
    """
    if len(os.fsencode(layout.root)) > _LONGEST_ROOT:
        raise UserError(
            f"{layout.root}: at most {_LONGEST_ROOT} bytes are possible; give a shorter path with --results"
        )
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{layout.root} is a file; a results folder is expected") from error
    except OSError as error:
        raise disk_problem(layout.root, error) from error


def place_index(layout: Layout, variable: str, *, grid: str) -> None:
    """Put the index of a new store into PostgreSQL; does nothing when it is there already.

    Args:
        layout: the results folder; must exist.
        variable: name of the variable that holds the database's URL.
        grid: the name this store belongs to.

    Raises:
        UserError: the store has its index elsewhere, or its results are of another grid.
        EnvironmentProblem: the database cannot be reached, or refused.
    """
    found = find_server(layout)
    if found is not None and found.variable == variable:
        return
    if found is not None or index_to_read(layout).exists():
        where = f"in the database that {found.variable} names" if found else "in grid.db"
        raise UserError(f"{layout.name} has its index {where}; leave --index out, or give another --results")
    _check_results(layout, grid)
    server = new_server(variable)
    engine = server.writer()
    try:
        with explained_server():
            with engine.begin() as connection:
                connection.execute(sa.schema.CreateSchema(server.schema))
            fill_new_index(engine, grid=grid)
            if record_server(layout, server) != server:
                with engine.begin() as connection:
                    connection.execute(sa.schema.DropSchema(server.schema, cascade=True))
    finally:
        engine.dispose()


def own(layout: Layout) -> tuple[Places, Owner]:
    """Find the places of a store and take it.

    Raises:
        StoreBusy: another process has it.
        EnvironmentProblem: the disk refused, or the database cannot be reached.
    """
    server = find_server(layout)
    if server is not None:
        owner = PostgresOwnership(server, layout.name)
        owner.acquire()
        return Places(index=layout.index_place, lock=layout.lock, ballast=layout.ballast, is_shared=False), owner
    places = make_places(layout)
    ownership = Ownership(layout, places)
    try:
        ownership.acquire()
    except NoFileLocks as error:
        if places.is_shared:
            raise
        logger.warning("%s; a lease in %s takes their place", error, layout.lease)
        places = make_places(layout, has_locks=False)
        ownership = Ownership(layout, places)
        ownership.acquire()
    return places, ownership


def open_engine(layout: Layout, places: Places, copies: Copies, owner: Owner, *, grid: str) -> Engine:
    """Open the index of a store that is ours; make or migrate it when that is needed.

    Raises:
        UserError: it belongs to another grid, or a newer FineGrid wrote it.
        EnvironmentProblem: it is damaged, or the disk refused.
    """
    if isinstance(owner, PostgresOwnership):
        engine = owner.engine
    else:
        copies.restore()
        if not places.index.exists():
            _check_results(layout, grid)
            create_index(places.index, grid=grid)
        check_log_file(places.index)
        engine = open_writer(places.index)
    try:
        with explained(places.index):
            _check_owner(engine, layout, places.index, grid)
            backup = bring_up_to_date(engine, places.index)
    except BaseException:
        engine.dispose()
        raise
    if backup is not None:
        logger.info(
            "%s was brought up to schema %s; the old one is kept as %s", places.index, schema.REVISIONS[-1], backup
        )
    return engine


def prepare(engine: Engine, index: Path) -> None:
    """Check the file's structure, then choose how readers and the writer share it.

    Raises:
        EnvironmentProblem: the index is damaged; nothing was written.
    """
    if engine.dialect.name != "sqlite":
        return  # a server looks after its files itself
    with explained(index):
        found = quick_check(engine)
    if found != "ok":
        raise damaged_index(index, found)
    with explained(index):
        use_wal_where_safe(engine, index)


def last_epoch(connection: Connection) -> int:
    """The largest epoch that any row of the index names."""
    tables = (schema.runs, schema.attempts, schema.cells)
    found = [connection.execute(sa.select(sa.func.max(table.c.epoch))).scalar() or 0 for table in tables]
    return int(max(found))


def _check_results(layout: Layout, grid: str) -> None:
    """Refuse to make an index of one grid over results of another."""
    for folder in complete_results(layout):
        try:
            found = read_result(folder).cell.grid
        except DamagedResult:
            continue
        if found != grid:
            raise other_grid(layout.name, found, grid)
        logger.warning("%s has results but no index: making a new one from them", layout.name)
        return


def _check_owner(engine: Engine, layout: Layout, index: Path, grid: str) -> None:
    revision = schema.read_revision(reading(engine))
    if revision not in schema.REVISIONS:
        raise wrong_schema(index, revision, schema.REVISIONS)
    meta = schema.meta
    with reading(engine).begin() as connection:
        found = connection.execute(sa.select(meta.c.value).where(meta.c.key == "grid")).scalar()
    if found is None:
        raise damaged_index(index, "it does not say which grid it belongs to")
    if found != grid:
        raise other_grid(layout.name, found, grid)
