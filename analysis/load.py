"""Read a store into two tables, cells and metrics, without changing a byte of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

AXES: Final = ("model", "strategy", "variant", "dataset", "protocol", "num_labels", "num_samples", "seed")
"""Columns that every cell has; further declared axes (such as learning_rate) follow under their own name."""

CELL_COLUMNS: Final = ("cell_id", *AXES, "task", "state", "kind", "reason", "retired", "baseline", "marks")
METRIC_COLUMNS: Final = ("cell_id", "split", "name", "label", "value", "undefined")
PROVENANCE: Final = ("device", "dtype", "base_mode", "numerics")
"""How a number was computed; a table that mixes values of these says so."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a store holds, as tables."""

    grid: str
    cells: pd.DataFrame
    """One row a cell, in the order declared: CELL_COLUMNS, further axes, PROVENANCE."""
    metrics: pd.DataFrame
    """One row a number or reason for having none: METRIC_COLUMNS; finished cells only."""
    axes: tuple[str, ...]
    """Every column of `cells` that may be a row or a column of a figure."""

    @property
    def declared(self) -> pd.DataFrame:
        """The cells that the config still declares; retired ones stay out of figures."""
        return self.cells[~self.cells["retired"].astype(bool)]


def results_from(grid: str, cells: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]) -> Results:
    """Build the tables from plain rows.

    Args:
        grid: name of the grid.
        cells: one mapping a cell; missing columns become None; unknown ones are further axes.
        metrics: one mapping a number, with the keys of METRIC_COLUMNS.
    Returns:
        the tables, with all columns present even when there are no rows.
    """
    known = (*CELL_COLUMNS, *PROVENANCE)
    further = list(dict.fromkeys(name for row in cells for name in row if name not in known))
    # dtype object keeps 800 an integer and None a None, where pandas would make 800.0 and NaN of them.
    columns = [*CELL_COLUMNS, *further, *PROVENANCE]
    table = pd.DataFrame([[row.get(name) for name in columns] for row in cells], columns=columns, dtype=object)
    numbers = pd.DataFrame(
        [[row.get(name) for name in METRIC_COLUMNS] for row in metrics], columns=list(METRIC_COLUMNS), dtype=object
    )
    return Results(grid=grid, cells=table, metrics=numbers, axes=(*AXES, *further))
