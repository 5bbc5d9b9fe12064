"""Read a store into two tables, cells and metrics, without changing a byte of it."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from grid.store import schema
from jobs.spec import Strategy
from jobs.storage import Layout, results_path

AXES: Final = ("model", "strategy", "variant", "dataset", "protocol", "num_labels", "num_samples", "seed")
"""Columns that every cell has; further declared axes (such as learning_rate) follow under their own name."""

CELL_COLUMNS: Final = ("cell_id", *AXES, "task", "state", "kind", "reason", "retired", "baseline", "marks")
METRIC_COLUMNS: Final = ("cell_id", "split", "name", "label", "value", "undefined")
PROVENANCE: Final = ("device", "dtype", "base_mode", "numerics")
"""How a number was computed; a table that mixes values of these says so."""

_ROWS_AT_ONCE: Final = 20_000

COST_SPLIT: Final = "cost"
"""Stands in the column `split` for what training took and how far it went."""
SOLO_COSTS: Final = (
    "solo_step_seconds",
    "solo_train_samples_per_second",
    "solo_inference_samples_per_second",
    "solo_peak_memory_bytes",
    "solo_feature_seconds_per_text",
)
"""Measured by a probe that had the device for itself; the only costs that depend on no neighbour."""
COSTS: Final = (
    "train_seconds",
    "train_samples_per_second",
    "eval_samples_per_second",
    "peak_memory_bytes",
    "total_flops",
    "trainable_parameters",
    "total_parameters",
    "epochs",
    "best_step",
    "stopped_step",
    *SOLO_COSTS,
)


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
    folders: Mapping[str, Path] = field(default_factory=dict)
    """Result folder of every done cell, where predictions and curves lie; empty for results that were made up."""

    @functools.cached_property
    def declared(self) -> pd.DataFrame:
        """The cells that the config still declares; retired ones stay out of figures."""
        return self.cells[~self.cells["retired"].astype(bool)]

    @functools.cached_property
    def declared_cells(self) -> tuple[Mapping[str, Any], ...]:
        """The same, one mapping a cell."""
        names = list(self.cells.columns)
        columns = (self.declared[name].tolist() for name in names)
        return tuple(dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))

    def numbers(self, name: str, split: str) -> pd.DataFrame:
        """The rows of `metrics` under one name and split: looked up, for a large store has a million of others."""
        return self.metrics.iloc[self._places.get((split, name), [])]

    def names(self, split: str) -> tuple[str, ...]:
        """Names that numbers of a split go by, in the order in which they first stand."""
        return tuple(name for of, name in self._places if of == split)

    @functools.cached_property
    def _places(self) -> Mapping[tuple[str, str], NDArray[np.intp]]:
        return dict(self.metrics.groupby(["split", "name"], sort=False).indices)


def is_nothing(value: Any) -> bool:
    """Whether a value of the tables is missing: None, or what pandas makes of None among numbers."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def load(root: Path | str) -> Results:
    """Read the index of a results folder; works beside a running driver and on read-only media.

    Args:
        root: a results folder or a URL.
    Returns:
        its cells and metrics.
    Raises:
        UserError: no store there, or one of another schema version.
        EnvironmentProblem: the index is damaged.
    """
    root = results_path(str(root))
    # One transaction: cells and metrics are of the same moment although a run may be writing.
    with schema.look(root) as connection:
        name = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.key == "grid")).scalar_one()
        cells = [_cell(row) for row in connection.execute(_cells_query()).mappings()]
        known = {cell["cell_id"] for cell in cells}
        rows = connection.execute(sa.select(schema.results)).mappings()
        done = [row for row in rows if row["cell_id"] in known]
        numbers = _metrics_table(_stored_metrics(connection, known), [_cost_metrics(done)])
    layout = Layout(root)
    folders = {row["cell_id"]: layout.cell(row["cell_id"]) / PurePosixPath(row["folder"]).name for row in done}
    if (mirror := layout.mirror) is not None:
        mirror.bring_all(folders.values())  # predictions and curves; weights stay at the URL
    return _results(name, cells, numbers, folders)


def results_from(
    grid: str,
    cells: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
    *,
    folders: Mapping[str, Path] | None = None,
) -> Results:
    """Build the tables from plain rows.

    Args:
        grid: name of the grid.
        cells: one mapping a cell; missing columns become None; unknown ones are further axes.
        metrics: one mapping a number, with the keys of METRIC_COLUMNS.
        folders: result folder by cell, where there is one.
    Returns:
        the tables, with all columns present even when there are no rows.
    """
    rows = [[row.get(name) for name in METRIC_COLUMNS] for row in metrics]
    return _results(grid, cells, _metrics_table([rows]), folders or {})


def _results(
    grid: str, cells: Sequence[Mapping[str, Any]], numbers: pd.DataFrame, folders: Mapping[str, Path]
) -> Results:
    known = (*CELL_COLUMNS, *PROVENANCE)
    further = list(dict.fromkeys(name for row in cells for name in row if name not in known))
    # dtype object keeps 800 an integer and None a None, where pandas would make 800.0 and NaN of them.
    columns = [*CELL_COLUMNS, *further, *PROVENANCE]
    table = pd.DataFrame([[row.get(name) for name in columns] for row in cells], columns=columns, dtype=object)
    return Results(grid=grid, cells=table, metrics=numbers, axes=(*AXES, *further), folders=dict(folders))


def _metrics_table(*parts: Iterable[Sequence[Sequence[Any]]]) -> pd.DataFrame:
    """Batches of rows of METRIC_COLUMNS as a table; of equal texts one is kept: large stores have a million rows."""
    columns: list[list[Any]] = [[] for _ in METRIC_COLUMNS]
    texts: dict[Any, Any] = {}
    for batch in itertools.chain(*parts):
        for name, column, values in zip(METRIC_COLUMNS, columns, zip(*batch, strict=True), strict=False):
            column.extend(values if name == "value" else [texts.setdefault(each, each) for each in values])
    named = dict(zip(METRIC_COLUMNS, (_objects(column) for column in columns), strict=True))
    return pd.DataFrame(named, dtype=object)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """Values as they are: pandas and NumPy would make 800.0 of 800 beside a None."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _stored_metrics(connection: sa.Connection, known: Set[str]) -> Iterator[Sequence[Sequence[Any]]]:
    query = sa.select(*(schema.metrics.c[column] for column in METRIC_COLUMNS))
    for batch in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query).partitions():
        is_mixed = not known >= {row[0] for row in batch}
        yield [row for row in batch if row[0] in known] if is_mixed else batch


def _cells_query() -> sa.Select[Any]:
    cells, results = schema.cells, schema.results
    found = sa.select(cells, *(results.c[name] for name in (*PROVENANCE, "marks_json")))
    # Candidates of a tuning were never tested: no table or figure may set them beside cells that were.
    joined = found.select_from(cells.outerjoin(results)).where(~schema.is_candidate)
    return joined.order_by(cells.c.position, cells.c.cell_id)


def _cell(row: Mapping[Any, Any]) -> dict[str, Any]:
    """One row of the table of cells, from a row of the index."""
    cell = {name: row.get(name) for name in (*CELL_COLUMNS, *PROVENANCE)}
    cell["task"] = json.loads(row["spec_json"])["data"]["task"]
    cell["baseline"] = Strategy(row["strategy"]).is_baseline
    cell["marks"] = tuple(json.loads(row["marks_json"])) if row["marks_json"] else ()
    further = {name: value for name, value in json.loads(row["axes_json"]).items() if name not in cell}
    return {**cell, **{name: _scalar(value) for name, value in further.items()}}


def _scalar(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, list | dict) else value


def _cost_metrics(rows: Iterable[Mapping[Any, Any]]) -> list[tuple[Any, ...]]:
    return [
        (row["cell_id"], COST_SPLIT, name, "", value, None)
        for row in rows
        for name, value in _costs(row).items()
        if value is not None
    ]


def _costs(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Costs by name: most are columns of the index, solo ones stand in its JSON."""
    solo = json.loads(row["costs_json"])
    return {name: solo.get(name) if name in SOLO_COSTS else row[name] for name in COSTS}
