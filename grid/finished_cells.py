"""Finished cells that a command was asked about: found in the index, their folders and models still what they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import sqlalchemy as sa

from grid.cell_logs import find_cell
from grid.resolve import hash_model_folder
from grid.store import schema
from grid.store.reading import read_states
from grid.store.rows import CellRow
from grid.store.schema import look
from jobs.errors import UserError
from jobs.spec import CellState
from jobs.storage import Layout, read_result
from jobs.work_messages import AskedCell


def finished_cells(root: Path, queries: Sequence[str]) -> tuple[AskedCell, ...]:
    """Find cells that are done.

    Args:
        root: a results folder.
        queries: first characters of cell ids, or words of titles.
    Returns:
        one cell a query.
    Raises:
        UserError: no store, no such cell or several, one that is not done or whose model's folder has changed.
        EnvironmentProblem: the index is damaged.
    """
    layout = Layout(root)
    with look(root) as connection:
        rows = list(read_states(connection).values())
        chosen = [find_cell(rows, query) for query in queries]
        results = schema.results
        found = connection.execute(sa.select(results.c.cell_id, results.c.folder))
        folders = {cell_id: folder for cell_id, folder in found}
    return tuple(_finished_cell(layout, cell, folders) for cell in chosen)


def _finished_cell(layout: Layout, cell: CellRow, folders: dict[str, str]) -> AskedCell:
    if cell.state is not CellState.DONE:
        raise UserError(f"cell {cell.cell_id} ({cell.title}) is {cell.state}, not done: it has no weights yet")
    folder = layout.cell(cell.cell_id) / PurePosixPath(folders[cell.cell_id]).name
    model = read_result(folder).cell.model
    if model is not None and model.source == "folder" and Path(model.location).is_dir():
        if hash_model_folder(Path(model.location)) != model.revision:
            raise UserError(f"cell {cell.cell_id}: {model.location} is no longer the model that it was trained on")
    return AskedCell(cell_id=cell.cell_id, title=cell.title, folder=str(folder.absolute()))
