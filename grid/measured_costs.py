"""Finished cells of a store as the measurements that a cost model learns from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from grid.cost_model import CostModel, measured_cells
from grid.devices import Devices
from grid.estimate import cell_seconds
from grid.store import schema
from grid.store.places import index_to_read
from grid.store.problems import explained
from jobs.spec import CellSpec, from_json
from jobs.storage import Layout

MOST_CELLS: Final = 500
"""The newest so many are enough, and reading them takes no time."""


def read_cost_model(root: Path, devices: Devices, cpus: int) -> CostModel:
    """Learn from what a results folder holds.

    Args:
        root: a results folder; may not exist.
        devices: what is planned for; the arithmetic is for these.
        cpus: cores of a pack.
    Returns:
        a model; of a folder without finished cells the arithmetic alone.
    Raises:
        UserError: the store has another schema version.
        EnvironmentProblem: it is damaged.
    """
    layout = Layout(root.absolute())
    if not index_to_read(layout).exists():
        return CostModel()
    engine = schema.open_read_only(root)
    try:
        with explained(layout.index), engine.connect() as connection:
            rows = list(connection.execute(_query()).mappings())
    finally:
        engine.dispose()
    done = [(cell, _plain(row)) for row in rows if (cell := _cell(row["spec_json"])) is not None]
    guess = {cell.cell_id: cell_seconds(cell, devices, cpus) for cell, _ in done}
    return CostModel(measured=measured_cells(done, guess=guess))


def _query() -> sa.Select[Any]:
    cells, results = schema.cells, schema.results
    columns = (cells.c.spec_json, results.c.device, results.c.costs_json, results.c.counts_json)
    joined = sa.select(*columns).join(results, results.c.cell_id == cells.c.cell_id)
    return joined.where(cells.c.model.is_not(None)).order_by(results.c.epoch.desc(), cells.c.position).limit(MOST_CELLS)


def _cell(text: str) -> CellSpec | None:
    try:
        return from_json(CellSpec, json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None  # declared by another version of FineGrid: its cost teaches nothing about ours


def _plain(row: Any) -> dict[str, Any]:
    return {
        "device": row["device"],
        "costs": json.loads(row["costs_json"]),
        "counts": json.loads(row["counts_json"]),
    }
