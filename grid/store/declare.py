"""Bring the cells of the index in line with what a config declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema
from grid.store.rows import Row, cell_row
from jobs.errors import BugError
from jobs.spec import CellSpec, CellState

_COMPARED = (
    "position", "model", "dataset", "num_labels", "num_samples",
    "variant", "axes_json", "spec_json", "title", "retired",
)  # fmt: skip
"""Columns that a new declaration of the same cell may change: order, names and notes, never identity."""
_RETIRED = _COMPARED.index("retired")


def declare(connection: Connection, cells: Sequence[CellSpec], *, grid: str) -> None:
    """Insert new cells, refresh and un-retire declared ones, retire the others.

    Args:
        connection: inside a transaction of the driver.
        cells: all cells that the config declares, in its order.
        grid: name the store belongs to.

    Raises:
        BugError: a cell twice, or one of another grid.
    """
    rows = [cell_row(cell, position) for position, cell in enumerate(cells)]
    declared = {row["cell_id"]: row for row in rows}
    if len(declared) != len(rows) or any(row["grid"] != grid for row in rows):
        raise BugError(f"declaration for {grid}: every cell once and of this grid only")
    known = _known(connection)
    new = [row | _FRESH for row in rows if row["cell_id"] not in known]
    changed = [row for row in rows if row["cell_id"] in known and _compared(row) != known[row["cell_id"]]]
    retired = [{"id": cell_id} for cell_id, row in known.items() if cell_id not in declared and not row[_RETIRED]]
    if new:
        connection.execute(sa.insert(schema.cells), new)
    if changed:
        connection.execute(_update(), [_bound(row) for row in changed])
    if retired:
        table = schema.cells
        connection.execute(sa.update(table).where(table.c.cell_id == sa.bindparam("id")).values(retired=True), retired)


_FRESH = {"state": str(CellState.PENDING), "epoch": 0, "attempt": 0}


def _known(connection: Connection) -> dict[str, tuple[Any, ...]]:
    """Compared columns by cell id."""
    table = schema.cells
    query = sa.select(table.c.cell_id, *(table.c[name] for name in _COMPARED))
    return {row[0]: tuple(row[1:]) for row in connection.execute(query).all()}


def _compared(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _COMPARED)


def _update() -> sa.Update:
    table = schema.cells
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _COMPARED}
    return sa.update(table).where(table.c.cell_id == sa.bindparam("id")).values(values)


def _bound(row: Row) -> Row:
    return {"id": row["cell_id"]} | {f"new_{name}": row[name] for name in _COMPARED}
