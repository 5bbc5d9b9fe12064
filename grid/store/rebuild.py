"""Make a new index from the result folders, with what can still be read of the old one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from grid.store import attempts, opening, schema
from grid.store.connection import leave_single_file, open_writer, reading
from grid.store.copies import Copies
from grid.store.ingest import Published, insert_result, read_published, utc_now
from grid.store.migrate import write_new_index
from grid.store.places import Places, index_to_read
from grid.store.postgres import PostgresOwnership
from grid.store.problems import explained, explained_server, not_a_store
from grid.store.remote_copies import copies_of
from grid.store.rows import Row
from jobs.durable import disk_problem, sync_folder
from jobs.errors import UserError
from jobs.failpoints import failpoint
from jobs.spec import CellState
from jobs.storage import DamagedResult, Layout, NotUnderstood, complete_results, has_cells
from jobs.temporary import new_temporary

_SIDE_SUFFIXES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, kw_only=True)
class RebuildReport:
    """What a rebuild found and did."""

    num_results: int
    """Results in the new index."""
    num_other_cells: int
    """Cells without a result that were carried over from the old index."""
    quarantined: tuple[str, ...]
    """Damaged folders, each with the reason, now under quarantine/."""
    backup: str | None
    """The old index, beside the new one."""
    lost: tuple[str, ...]
    """Tables and rows of the old index that could not be read or make no sense, with the reason."""


@dataclass
class _Old:
    """Rows that the old index still gives."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    welcome: Collection[str] = ()
    """See `rebuild`."""

    def grid(self) -> str | None:
        """Name of the grid, when it can be read."""
        return next((row["value"] for row in self.rows.get("meta", []) if row["key"] == "grid"), None)


@dataclass(frozen=True)
class _Folders:
    """Result folders, sorted into good and damaged."""

    good: list[Published]
    damaged: list[tuple[Path, str]]


def rebuild(root: Path, *, welcome: Collection[str] = frozenset()) -> RebuildReport:
    """Replace the index of a results folder by a new one.

    Args:
        root: results folder, with or without an index.
        welcome: cells whose result counts even when the index has handed out later attempts: another machine's, of
            which no attempt is late.

    Returns:
        what was found and done.

    Raises:
        StoreBusy: a run is using the store.
        UserError: there is nothing to rebuild from, or a newer FineGrid wrote results here.
        EnvironmentProblem: the disk refused.

    Side effects:
        The old index stays as grid.db.<time>.backup; damaged result folders move to quarantine/. Cells
        whose result is damaged become pending, so that the next run computes them again.
    """
    layout = Layout(root.absolute())
    if not layout.root.is_dir() or not (index_to_read(layout).exists() or has_cells(layout)):
        raise not_a_store(layout)
    places, ownership = opening.own(layout)
    try:
        copies = copies_of(layout, places, ownership)
        if isinstance(ownership, PostgresOwnership):
            return _refill_server(layout, ownership.engine, copies, _Old(welcome=welcome))
        old = _salvage(index_to_read(layout), _Old(welcome=welcome))
        folders = _read_folders(layout, old)
        grid = _grid_name(layout, old, folders)
        report = _replace_index(layout, places, copies, grid, old, folders)
        _save_copy(places, copies)
        return report
    except OSError as error:
        raise disk_problem(places.index, error) from error
    finally:
        ownership.release()


def _refill_server(layout: Layout, engine: Engine, copies: Copies, old: _Old) -> RebuildReport:
    """The same in a database, in one transaction: nothing changes when it fails."""
    _read_old(reading(engine), old)
    folders = _read_folders(layout, old)
    grid = _grid_name(layout, old, folders)
    with explained_server(), engine.begin() as connection:
        for table in (schema.metrics, schema.results, schema.attempts, schema.cells, schema.runs, schema.pins):
            connection.execute(sa.delete(table))
        num_results = _fill(connection, copies, grid, old, folders)
    return _report(layout, old, folders, num_results, backup=None)


def _replace_index(
    layout: Layout, places: Places, copies: Copies, grid: str, old: _Old, folders: _Folders
) -> RebuildReport:
    folder = new_temporary(places.index.parent / "tmp")
    try:
        new_index = folder / places.index.name
        num_results = _write_index(new_index, copies, grid, old, folders)
        backup = _swap(places.index, new_index)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _report(layout, old, folders, num_results, backup)


def _report(layout: Layout, old: _Old, folders: _Folders, num_results: int, backup: Path | None) -> RebuildReport:
    quarantined = [set_aside(layout, path, why) for path, why in folders.damaged]
    done = {published.result.cell.cell_id for published in folders.good}
    return RebuildReport(
        num_results=num_results,
        num_other_cells=sum(row["cell_id"] not in done for row in old.rows.get("cells", [])),
        quarantined=tuple(quarantined),
        backup=backup.name if backup else None,
        lost=tuple(old.lost),
    )


def _save_copy(places: Places, copies: Copies) -> None:
    engine = open_writer(places.index)
    try:
        copies.save(engine)
    finally:
        engine.dispose()


def _salvage(index: Path, old: _Old) -> _Old:
    if not index.is_file():
        return old
    try:
        engine = schema.open_unchecked(index)
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        old.lost.append(f"all: {error.__cause__ or error}")
        return old
    try:
        _read_old(engine, old)
    finally:
        engine.dispose()
    return old


def _read_old(engine: Engine, old: _Old) -> None:
    for table in (schema.meta, schema.runs, schema.pins, schema.cells, schema.attempts, schema.results):
        old.rows[table.name] = list(_readable_rows(engine, table, old.lost))


def _readable_rows(engine: Engine, table: sa.Table, lost: list[str]) -> Iterator[Row]:
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                # One flipped byte in a text must not end the reading of its table.
                cast(sqlite3.Connection, connection.connection.driver_connection).text_factory = _decoded
            for row in connection.execute(_untyped(table)).mappings():
                yield dict(row)
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        lost.append(f"{table.name}: {getattr(error, 'orig', None) or error}")


def _untyped(table: sa.Table) -> sa.Select[*tuple[Any, ...]]:
    """All rows as they are stored: whether they make sense is asked when they are inserted."""
    return sa.select(*(sa.column(column.name) for column in table.columns)).select_from(sa.table(table.name))


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", errors="replace")


def _read_folders(layout: Layout, old: _Old) -> _Folders:
    good, damaged = [], []
    for path in complete_results(layout):
        try:
            good.append(read_published(layout, path))
        except NotUnderstood as error:
            raise UserError(f"{error}; update FineGrid: nothing was changed") from error
        except DamagedResult as error:
            damaged.append((path, str(error)))
    chosen = {row["folder"] for row in old.rows.get("results", [])}
    good.sort(key=lambda found: (found.folder not in chosen, *_newest_first(found)))
    return _Folders(good, damaged)


def _newest_first(found: Published) -> tuple[int, int, str, int]:
    """An older attempt is refused by the fence, as it was when both were new.

    One attempt may have left two folders, when its trial was started twice: the one in the old index stays there, and
    without an index it is the one that a run would take in.
    """
    result, nonce = found.result, found.folder.rpartition("-")[2]
    return -result.epoch, -result.attempt, result.cell.cell_id, -int(nonce, 16)


def _grid_name(layout: Layout, old: _Old, folders: _Folders) -> str:
    known = old.grid()
    if known is not None:
        return known
    names = sorted({published.result.cell.grid for published in folders.good})
    if len(names) != 1:
        found = f"results of several grids ({', '.join(names)})" if names else "no result folder that can be read"
        raise UserError(f"{layout.name}: the index does not say which grid it belongs to, and there is {found}")
    return names[0]


def _write_index(path: Path, copies: Copies, grid: str, old: _Old, folders: _Folders) -> int:
    write_new_index(path, grid=grid)
    engine = open_writer(path)
    try:
        with explained(path), engine.begin() as connection:
            num_results = _fill(connection, copies, grid, old, folders)
        leave_single_file(engine, path)
    finally:
        engine.dispose()
    return num_results


def _fill(connection: Connection, copies: Copies, grid: str, old: _Old, folders: _Folders) -> int:
    """Rows that the old index still gave, then every result; the number of results."""
    _carry_over(connection, old, grid)
    copies.replay(connection)
    attempts.forget(connection, old.welcome)
    is_declared = not old.rows.get("cells")
    num_results = sum(
        insert_result(connection, published, grid=grid, undeclared_is_retired=not is_declared)
        for published in folders.good
    )
    _pin_from_results(connection, folders.good)
    return num_results


def _carry_over(connection: Connection, old: _Old, grid: str) -> None:
    cells = [_without_result(row) for row in old.rows.get("cells", []) if row["grid"] == grid]
    ids = {row["cell_id"] for row in cells}
    tries = [row for row in old.rows.get("attempts", []) if row["cell_id"] in ids]
    for table, rows in (
        (schema.cells, cells),
        (schema.attempts, tries),
        (schema.runs, old.rows.get("runs", [])),
        (schema.pins, old.rows.get("pins", [])),
    ):
        _insert_sound(connection, table, rows, old.lost)
    for row in old.rows.get("meta", []):
        if row["key"] != "grid":  # the name was checked
            here = schema.meta.c.key == row["key"]
            connection.execute(sa.update(schema.meta).where(here).values(value=str(row["value"])))


def _without_result(row: Row) -> Row:
    # Done is what a complete folder makes a cell; without one it has to be computed again.
    return row | {"state": str(CellState.PENDING)} if row["state"] == CellState.DONE else row


def _pin_from_results(connection: Connection, good: Sequence[Published]) -> None:
    known = set(connection.execute(sa.select(schema.pins.c.name)).scalars())
    found: dict[str, str] = {}
    for published in good:
        cell = published.result.cell
        if cell.model and cell.model.source == "hub" and cell.model.revision:
            found.setdefault(f"model:{cell.model.location}", cell.model.revision)
        if cell.data.source == "hub" and cell.data.revision:
            found.setdefault(f"dataset:{cell.data.id}", cell.data.revision)
    now = utc_now()
    new = [{"name": name, "revision": found[name], "pinned_at": now} for name in sorted(set(found) - known)]
    if new:
        connection.execute(sa.insert(schema.pins), new)


def _insert_sound(connection: Connection, table: sa.Table, rows: list[Row], lost: list[str]) -> None:
    """Insert rows of the old index, without those that no index would take: damage made them."""
    if not rows or _fault(connection, table, rows) is None:
        return
    for row in rows:
        why = _fault(connection, table, [row])
        if why is not None:
            lost.append(f"a row of {table.name}: {why}")


def _fault(connection: Connection, table: sa.Table, rows: list[Row]) -> str | None:
    """Insert rows, all or none; the answer is why not."""
    for row in rows:
        for column in table.columns:
            kind = int if isinstance(column.type, sa.Boolean) else column.type.python_type
            if row[column.name] is not None and not isinstance(row[column.name], kind):
                return f"{column.name} is no {kind.__name__}"  # SQLite would take it
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(table), rows)
        return None
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        return str(error.orig)
    except sa.exc.StatementError as error:
        if isinstance(error, sa.exc.DBAPIError):
            raise  # the disk or the server, not the row
        return str(error.orig or error)


def _fold_side_files(index: Path) -> None:
    """Bring committed rows out of the log into the file, as far as it can be read: a kill may leave the file alone."""
    try:
        engine = open_writer(index)
        try:
            leave_single_file(engine, index)
        finally:
            engine.dispose()
    except sa.exc.DatabaseError:
        return  # damaged: a run refuses it, and the copy has everything


def _swap(index: Path, new_index: Path) -> Path | None:
    backup = None
    if index.exists():
        backup = index.with_name(f"{index.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.backup")
        for suffix in ("", *_SIDE_SUFFIXES):
            file = index.with_name(index.name + suffix)
            if file.is_file():
                shutil.copy2(file, backup.with_name(backup.name + suffix))
        _fold_side_files(index)
    # Side files go before the new index comes: SQLite would replay them into it.
    for suffix in _SIDE_SUFFIXES:
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    failpoint("rebuild.before_rename")
    new_index.replace(index)
    sync_folder(index.parent)
    return backup


def set_aside(layout: Layout, folder: Path, why: str) -> str:
    """Move a damaged result folder to quarantine/.

    Args:
        layout: the results folder.
        folder: in it.
        why: what is wrong with it.

    Returns:
        where it is now and why, for people.
    """
    target = layout.quarantine / folder.parent.name / folder.name
    while target.exists():  # its place was filled anew, by a merge, and is damaged again
        target = target.with_name(f"{target.name}-again")
    if (mirror := layout.mirror) is not None:
        mirror.withdraw(layout.relative(folder))
        if not folder.is_dir():
            return f"{layout.relative(folder)} (removed): {why}"
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    return f"{layout.relative(target)}: {why}"
