"""From a result folder to rows of the index: idempotent, and fenced by (epoch, attempt)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema
from grid.store.rows import cell_row, metric_rows, result_row
from grid.store.states import check_step
from grid.store.upsert import insert_into
from jobs.failpoints import failpoint
from jobs.spec import CellResult, CellState
from jobs.storage import DamagedResult, Layout, NotUnderstood, read_result, verify

logger = logging.getLogger(__name__)


_DONE: Final = {"state": str(CellState.DONE), "kind": None, "reason": None}


def _finish_cell() -> sa.Update:
    table = schema.cells
    numbers: dict[str, Any] = {"epoch": sa.bindparam("new_epoch"), "attempt": sa.bindparam("new_attempt")}
    return sa.update(table).where(table.c.cell_id == sa.bindparam("id")).values(**_DONE, **numbers)


@functools.cache
def _insert_new(dialect: str, table: sa.Table) -> sa.Insert:
    return insert_into(dialect, table).on_conflict_do_nothing()


@functools.cache
def _finish_attempt(dialect: str) -> sa.Insert:
    table = schema.attempts
    upsert = insert_into(dialect, table)
    changed: dict[str, Any] = {name: upsert.excluded[name] for name in _DONE}
    changed |= {name: sa.func.coalesce(upsert.excluded[name], table.c[name]) for name in ("host", "pid")}
    # Known from before when the index is made anew, or when a later run finds the result.
    changed["ended_at"] = sa.func.coalesce(table.c.ended_at, upsert.excluded.ended_at)
    return upsert.on_conflict_do_update(index_elements=["cell_id", "epoch", "attempt"], set_=changed)


# Made once: putting a statement together takes longer than running it.
_FINISH_CELL: Final = _finish_cell()
_STANDING: Final = sa.select(schema.cells.c.state, schema.cells.c.epoch, schema.cells.c.attempt).where(
    schema.cells.c.cell_id == sa.bindparam("id")
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A complete result folder whose every byte was checked."""

    result: CellResult
    folder: str
    """Relative to the results folder."""


def read_published(layout: Layout, folder: Path) -> Published:
    """Check and read a result folder.

    Raises:
        DamagedResult: a file is missing or different.
    """
    verify(folder)
    return Published(result=read_result(folder), folder=layout.relative(folder))


def insert_result(
    connection: Connection, published: Published, *, grid: str, undeclared_is_retired: bool = True
) -> bool:
    """Make a cell done, unless it is already or a newer attempt was handed out.

    Args:
        connection: inside a transaction of the driver.
        published: what was found.
        grid: name the store belongs to.
        undeclared_is_retired: how to enter a cell that no declaration named so far.

    Returns:
        True when the result is now in the index; False when it was refused (logged) or known.
    """
    result = published.result
    if result.cell.grid != grid:
        logger.warning(
            "%s: result of the grid %r refused, this store belongs to %r", published.folder, result.cell.grid, grid
        )
        return False
    present = _present(connection, published, undeclared_is_retired)
    if not _may_enter(present, published):
        return False
    check_step(result.cell.cell_id, CellState(present.state), CellState.DONE)
    _insert_rows(connection, published)
    return True


def _present(connection: Connection, published: Published, undeclared_is_retired: bool) -> Any:
    cell_id = published.result.cell.cell_id
    row = connection.execute(_STANDING, {"id": cell_id}).one_or_none()
    if row is None:
        _insert_undeclared(connection, published, undeclared_is_retired)
        row = connection.execute(_STANDING, {"id": cell_id}).one()
    return row


def _insert_undeclared(connection: Connection, published: Published, retired: bool) -> None:
    # A result without a declaration: a new index over old folders.
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(schema.cells.c.position), -1))).scalar_one()
    row = cell_row(published.result.cell, last + 1) | {"retired": retired, "state": str(CellState.PENDING)}
    connection.execute(sa.insert(schema.cells), row | {"epoch": 0, "attempt": 0})


def _may_enter(present: Any, published: Published) -> bool:
    result = published.result
    found, handed_out = (result.epoch, result.attempt), (present.epoch, present.attempt)
    if present.state == CellState.DONE:
        if found != handed_out:
            logger.warning("%s: refused, the cell is done since epoch %d attempt %d", published.folder, *handed_out)
        return False
    if found < handed_out:
        logger.warning("%s: refused, epoch %d attempt %d was handed out after it", published.folder, *handed_out)
        return False
    return True


def _insert_rows(connection: Connection, published: Published) -> None:
    result, now = published.result, utc_now()
    dialect = connection.dialect.name
    connection.execute(_insert_new(dialect, schema.results), result_row(result, published.folder, now))
    failpoint("db.inserted")
    rows = metric_rows(result)
    if rows:
        connection.execute(_insert_new(dialect, schema.metrics), rows)
    numbers = {"epoch": result.epoch, "attempt": result.attempt}
    connection.execute(_FINISH_CELL, {"id": result.cell.cell_id} | {f"new_{name}": numbers[name] for name in numbers})
    where = {name: result.provenance.get(name) for name in ("host", "pid")}
    key = {"cell_id": result.cell.cell_id, **numbers}
    connection.execute(_finish_attempt(dialect), {**key, **_DONE, **where, "ended_at": now})


def readable(layout: Layout, folders: Sequence[Path]) -> list[Published]:
    """Read what can be read; damaged folders are logged and left for `finegrid doctor`."""
    if (mirror := layout.mirror) is not None:
        mirror.bring_all(folders)
    found = []
    for folder in folders:
        published = _read_or_log(layout, folder)
        if published is not None:
            found.append(published)
    return found


def _read_or_log(layout: Layout, folder: Path) -> Published | None:
    try:
        return read_published(layout, folder)
    except DamagedResult as error:
        advice = "update FineGrid" if isinstance(error, NotUnderstood) else "`finegrid doctor --rebuild` sets it aside"
        logger.warning("%s; the cell is computed again, %s", error, advice)
        return None


def utc_now() -> str:
    """The present time as the store writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
