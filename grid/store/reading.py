"""Questions that the driver, `status` and planning ask the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema
from grid.store.places import index_to_read
from grid.store.rows import CellRow
from grid.store.schema import look
from jobs.spec import CellState, FailureKind
from jobs.storage import AttemptName, Layout, complete_results


def read_states(connection: Connection) -> dict[str, CellRow]:
    """Every cell in declared order, retired ones last."""
    table = schema.cells
    query = sa.select(
        table.c.cell_id,
        table.c.state,
        table.c.kind,
        table.c.reason,
        table.c.epoch,
        table.c.attempt,
        table.c.log,
        table.c.retired,
        table.c.title,
    ).order_by(table.c.retired, table.c.position, table.c.cell_id)
    return {row[0]: _cell_row(row) for row in connection.execute(query).all()}


def read_done(connection: Connection) -> set[str]:
    """Ids of the cells that are done, retired ones included: quicker than `read_states`."""
    table = schema.cells
    return set(connection.execute(sa.select(table.c.cell_id).where(table.c.state == str(CellState.DONE))).scalars())


def read_attempts(connection: Connection, cell_id: str) -> tuple[dict[str, Any], ...]:
    """Every attempt at a cell, oldest first, with all columns."""
    table = schema.attempts
    query = sa.select(table).where(table.c.cell_id == cell_id).order_by(table.c.epoch, table.c.attempt)
    return tuple(dict(row) for row in connection.execute(query).mappings())


def read_pins(connection: Connection) -> dict[str, str]:
    """Pinned revisions by name."""
    query = sa.select(schema.pins.c.name, schema.pins.c.revision).order_by(schema.pins.c.name)
    return {name: revision for name, revision in connection.execute(query)}


def read_grid(connection: Connection) -> str:
    """Name of the grid that the store belongs to."""
    return str(connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.key == "grid")).scalar_one())


def counted_results(layout: Layout, connection: Connection) -> list[Path]:
    """The result folders that count: of done cells the one in the index, of others those that a run would take in.

    Args:
        layout: the results folder.
        connection: to its index.

    Returns:
        by cell id, newest attempt first; what was refused because a newer attempt was handed out is left out.
    """
    cells, results = schema.cells, schema.results
    query = sa.select(cells.c.cell_id, cells.c.epoch, cells.c.attempt, results.c.folder)
    rows = connection.execute(query.select_from(cells.outerjoin(results, results.c.cell_id == cells.c.cell_id)))
    known = {cell_id: (epoch, attempt, folder) for cell_id, epoch, attempt, folder in rows}
    found = [
        folder for folder in complete_results(layout) if _counts(folder, *known.get(folder.parent.name, (0, 0, None)))
    ]
    return sorted(found, key=lambda folder: (folder.parent.name, AttemptName.parse(folder.name)), reverse=True)


def _counts(folder: Path, epoch: int, attempt: int, indexed: str | None) -> bool:
    if indexed is not None:
        return folder.name == PurePosixPath(indexed).name
    name = AttemptName.parse(folder.name)
    return name is not None and (name.epoch, name.attempt) >= (epoch, attempt)


def peek(root: Path) -> tuple[dict[str, CellRow], dict[str, str]]:
    """States and pins of a results folder without a claim and without writing: for dry runs.

    Args:
        root: a results folder; may not exist.

    Returns:
        cells by id, and pinned revisions by name; both empty when there is no store.

    Raises:
        UserError: the store has another schema version.
        EnvironmentProblem: it is damaged.
    """
    path = index_to_read(Layout(root.absolute()))
    if not path.exists():
        return {}, {}
    with look(root) as connection:
        return read_states(connection), read_pins(connection)


def read_spec_texts(root: Path, cell_ids: Sequence[str]) -> dict[str, str]:
    """Declarations of cells of a store, as JSON, by cell id.

    Raises:
        UserError: the store has another schema version.
        EnvironmentProblem: it is damaged.
    """
    table = schema.cells
    query = sa.select(table.c.cell_id, table.c.spec_json).where(table.c.cell_id.in_(cell_ids))
    with look(root) as connection:
        return {cell_id: text for cell_id, text in connection.execute(query)}


_STATES: Final = {str(state): state for state in CellState}
_KINDS: Final = {None: None} | {str(kind): kind for kind in FailureKind}


def _cell_row(row: Any) -> CellRow:
    cell_id, state, kind, reason, epoch, attempt, log, retired, title = row
    # By position and from tables: this runs for every cell several times a run.
    return CellRow(cell_id, _STATES[state], _KINDS[kind], reason, epoch, attempt, log, retired, title)
