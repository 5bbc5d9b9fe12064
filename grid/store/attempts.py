"""Handing cells out and taking them back without a result: rows of `attempts` and states of cells."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema
from grid.store.ingest import utc_now
from grid.store.states import check_step
from grid.store.upsert import insert_into
from jobs.errors import BugError
from jobs.spec import CellState, PackedCell

logger = logging.getLogger(__name__)
_QUERY_SIZE = 500
"""Ids in one IN list: SQLite limits the number of bound values."""


def hand_out(connection: Connection, packed: Sequence[PackedCell], *, epoch: int, pack_id: str, log_path: str) -> None:
    """Make cells running and append an attempt each.

    Args:
        connection: inside a transaction of the driver.
        packed: cells with the epoch and attempt they are handed out for.
        epoch: the claimed one.
        pack_id: pack that trains them.
        log_path: its log.

    Raises:
        BugError: an epoch not ours, an attempt not newer than the last, or an unknown cell.
        IllegalStep: a cell is done.
    """
    present = _present(connection, [item.cell.cell_id for item in packed])
    for item in packed:
        _check_hand_out(item, present.get(item.cell.cell_id), epoch)
    now = utc_now()
    running = str(CellState.RUNNING)
    rows = [
        {"cell_id": item.cell.cell_id, "epoch": item.epoch, "attempt": item.attempt, "state": running}
        | {"log": log_path, "pack_id": pack_id, "started_at": now}
        for item in packed
    ]
    if not rows:
        return
    connection.execute(sa.insert(schema.attempts), rows)
    table = schema.cells
    values = {"state": running, "kind": None, "reason": None, "log": log_path, "epoch": epoch}
    update = (
        sa.update(table).where(table.c.cell_id == sa.bindparam("id")).values(**values, attempt=sa.bindparam("number"))
    )
    connection.execute(update, [{"id": row["cell_id"], "number": row["attempt"]} for row in rows])


def _check_hand_out(item: PackedCell, present: sa.Row[Any] | None, epoch: int) -> None:
    cell_id = item.cell.cell_id
    if present is None:
        raise BugError(f"cell {cell_id} was never declared")
    check_step(cell_id, CellState(present.state), CellState.RUNNING)
    if item.epoch != epoch or (item.epoch, item.attempt) <= (present.epoch, present.attempt):
        raise BugError(
            f"cell {cell_id}: epoch {item.epoch} attempt {item.attempt} cannot follow "
            f"epoch {present.epoch} attempt {present.attempt} in a run of epoch {epoch}"
        )


def take_back(
    connection: Connection,
    cell_id: str,
    epoch: int,
    attempt: int,
    *,
    state: CellState,
    kind: str | None = None,
    reason: str | None = None,
    log_path: str | None = None,
) -> None:
    """End an attempt without a result.

    When a newer attempt was handed out or the cell is done, only the attempt's row changes.

    Args:
        connection: inside a transaction of the driver.
        cell_id: the cell.
        epoch: of the attempt that ended; 0 for a cell that was never handed out.
        attempt: its number; 0 for a cell that was never handed out.
        state: failed or interrupted.
        kind: of a failure.
        reason: one line.
        log_path: where to read more.

    Raises:
        BugError: an unknown cell.
        IllegalStep: the cell cannot take this state.
    """
    present = _present(connection, [cell_id]).get(cell_id)
    if present is None:
        raise BugError(f"cell {cell_id} was never declared")
    ended = {"state": str(state), "kind": kind, "reason": reason}
    if attempt:
        _end_attempt(connection, {"cell_id": cell_id, "epoch": epoch, "attempt": attempt}, ended, log_path)
    if present.state == CellState.DONE or (attempt and (epoch, attempt) < (present.epoch, present.attempt)):
        logger.warning("cell %s: late report of epoch %d attempt %d (%s) ignored", cell_id, epoch, attempt, state)
        return
    check_step(cell_id, CellState(present.state), state)
    table = schema.cells
    numbers = {"epoch": epoch, "attempt": attempt} if attempt else {}
    where_log = {"log": log_path} if log_path else {}
    connection.execute(sa.update(table).where(table.c.cell_id == cell_id).values(**ended, **numbers, **where_log))


def _end_attempt(connection: Connection, key: dict[str, Any], ended: dict[str, Any], log_path: str | None) -> None:
    table = schema.attempts
    upsert = insert_into(connection.dialect.name, table).values(**key, **ended, log=log_path, ended_at=utc_now())
    changed: dict[str, Any] = {name: upsert.excluded[name] for name in (*ended, "ended_at")}
    changed["log"] = sa.func.coalesce(upsert.excluded.log, table.c.log)
    # The first report wins: a done or failed attempt is not rewritten by a later one.
    open_only = table.c.ended_at.is_(None)
    connection.execute(upsert.on_conflict_do_update(index_elements=list(key), set_=changed, where=open_only))


def interrupt_leftovers(connection: Connection, *, before_epoch: int) -> int:
    """Mark what earlier runs left running as interrupted.

    When it was cut off nobody knows: it counts as ended when its pack was last heard of, not when the next run came.

    Returns:
        number of cells.
    """
    cells, attempts = schema.cells, schema.attempts
    running, interrupted = str(CellState.RUNNING), str(CellState.INTERRUPTED)
    reason = "the run ended before the cell did"
    ended = {"state": interrupted, "reason": reason}
    others = attempts.alias()
    last_word = sa.select(sa.func.max(others.c.ended_at)).where(
        others.c.epoch == attempts.c.epoch, others.c.pack_id == attempts.c.pack_id
    )
    connection.execute(
        sa.update(attempts)
        .where(attempts.c.state == running, attempts.c.epoch < before_epoch)
        .values(**ended, ended_at=sa.func.coalesce(last_word.scalar_subquery(), attempts.c.started_at))
    )
    changed = connection.execute(
        sa.update(cells).where(cells.c.state == running, cells.c.epoch < before_epoch).values(**ended)
    )
    return int(changed.rowcount)


def forget(connection: Connection, cell_ids: Collection[str]) -> None:
    """Make cells pending as if no attempt had been handed out, so that any result of theirs may enter.

    The rows of their attempts stay, and so do the numbers that are taken.
    """
    table = schema.cells
    fresh = {"state": str(CellState.PENDING), "kind": None, "reason": None, "epoch": 0, "attempt": 0}
    update = sa.update(table).where(table.c.cell_id == sa.bindparam("id")).values(**fresh)
    if cell_ids:
        connection.execute(update, [{"id": cell_id} for cell_id in cell_ids])


def last_attempt(connection: Connection, cell_id: str, epoch: int) -> int:
    """Highest attempt of a cell within an epoch; 0 when there is none."""
    return connection.execute(_LAST_ATTEMPT, {"id": cell_id, "of_epoch": epoch}).scalar() or 0


# Made once: it is asked for every cell that is handed out.
_LAST_ATTEMPT: Final = sa.select(sa.func.max(schema.attempts.c.attempt)).where(
    schema.attempts.c.cell_id == sa.bindparam("id"), schema.attempts.c.epoch == sa.bindparam("of_epoch")
)


def _present(connection: Connection, cell_ids: Sequence[str]) -> dict[str, sa.Row[Any]]:
    table = schema.cells
    found: dict[str, sa.Row[Any]] = {}
    for start in range(0, len(cell_ids), _QUERY_SIZE):
        part = cell_ids[start : start + _QUERY_SIZE]
        query = sa.select(table.c.cell_id, table.c.state, table.c.epoch, table.c.attempt)
        found |= {row.cell_id: row for row in connection.execute(query.where(table.c.cell_id.in_(part)))}
    return found
