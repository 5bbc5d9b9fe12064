"""Seeds become means: one tile for each row and column, in which nothing that is missing or failed disappears."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pandas as pd

from analysis.loading import PROVENANCE, Results, is_nothing

DATA_AXES: Final = ("dataset", "protocol", "num_labels", "num_samples")
NAMING_AXES: Final = ("model", "strategy")
OWN_AXES: Final = (*DATA_AXES, "seed")
"""Axes on which a baseline has a value of its own."""
Key = tuple[Any, ...]
"""The values of a row or column on its axes, in their order."""


class Status(StrEnum):
    """What a tile shows."""

    NUMBER = "number"
    FAILED = "failed"
    UNDEFINED = "undefined"
    NOT_RUN = "not_run"
    NOT_DECLARED = "not_declared"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """All cells that meet in one row and one column."""

    numbers: tuple[float, ...] = ()
    """The metric of the done cells for which it is defined."""
    failed: int = 0
    undefined: int = 0
    not_run: int = 0
    marked: int = 0
    """Cells that depart from their declaration."""

    @property
    def declared(self) -> int:
        """How many cells were declared here."""
        return len(self.numbers) + self.failed + self.undefined + self.not_run

    @property
    def mean(self) -> float | None:
        """Mean of the numbers there are."""
        return statistics.fmean(self.numbers) if self.numbers else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over the cells (n - 1); None for fewer than two."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None

    @property
    def status(self) -> Status:
        """A number if there is one; else the worst that happened."""
        if self.numbers:
            return Status.NUMBER
        if self.failed:
            return Status.FAILED
        if self.undefined:
            return Status.UNDEFINED
        return Status.NOT_RUN if self.not_run else Status.NOT_DECLARED


@dataclass(frozen=True, kw_only=True)
class Pivot:
    """A metric laid out in rows and columns."""

    grid: str
    metric: str
    split: str
    row_axes: tuple[str, ...]
    col_axes: tuple[str, ...]
    rows: tuple[Key, ...]
    cols: tuple[Key, ...]
    tiles: Mapping[tuple[Key, Key], Tile]
    baseline_rows: frozenset[Key] = frozenset()
    baseline_cols: frozenset[Key] = frozenset()
    averaged: tuple[str, ...] = ()
    """Axes over which a tile takes its mean: seed, and whatever varies but is neither row nor column."""
    balanced: bool = False
    """Single-label rows drawn balanced over the labels, so that chance is one over the number of labels."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Cells by failure kind."""
    marks: Mapping[str, int] = field(default_factory=dict)
    """Cells by mark."""
    undefined: tuple[str, ...] = ()
    """The reasons why numbers are undefined."""
    mixed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Provenance that differs between the finished cells: name, then value, then cells."""
    retired: int = 0
    baselines_left_out: int = 0

    def tile(self, row: Key, col: Key) -> Tile:
        """The tile at a row and column; an empty one where nothing was declared."""
        return self.tiles.get((row, col), Tile())


def default_axes(results: Results) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose rows and columns for the figure of all models.

    Returns:
        rows: model and every other axis that varies between models' cells; columns: what describes the data.
    """
    varied = varied_axes(results)
    rows = ["model", *(name for name in varied if name not in (*DATA_AXES, "model", "seed"))]
    cols = [name for name in DATA_AXES if name in varied or name in ("num_labels", "num_samples")]
    return tuple(rows), tuple(cols)


def varied_axes(results: Results) -> tuple[str, ...]:
    """The axes with more than one value among the declared cells, baselines aside."""
    cells = results.declared
    trained = cells[~cells["baseline"].astype(bool)]
    return tuple(name for name in results.axes if len(ordered(trained[name])) > 1)


def pivot(results: Results, *, metric: str, split: str, row_axes: Sequence[str], col_axes: Sequence[str]) -> Pivot:
    """Lay a metric out in rows and columns, with every declared cell in exactly one tile a column it belongs to.

    A baseline has no model and none of the models' settings: its strategy is its name, it stands in every column of a
    setting that it does not have, and it is left out when neither model nor strategy is an axis.

    Args:
        results: the tables of a store.
        metric: name of a metric in the store.
        split: test | validation | train.
        row_axes: names of columns of `results.cells`.
        col_axes: likewise, none of them in row_axes.
    Returns:
        the layout, models before baselines, values in the order declared (numbers ascending).
    """
    cells = results.declared
    naming = [name in row_axes for name in (*row_axes, *col_axes) if name in NAMING_AXES]
    left_out = 0 if naming else int(cells["baseline"].astype(bool).sum())
    if not naming:
        cells = cells[~cells["baseline"].astype(bool)]
    rows = _Side(cells, row_axes, naming=naming[:1] == [True])
    cols = _Side(cells, col_axes, naming=naming[:1] == [False])
    values = _values(results.metrics, metric, split)
    members: dict[tuple[Key, Key], list[Mapping[str, Any]]] = {}
    records = cells.to_dict("records")
    for record in records:
        for row in rows.keys_of(record):
            for col in cols.keys_of(record):
                members.setdefault((row, col), []).append(record)
    varied = varied_axes(results)
    done = [record for record in records if record["state"] == "done"]
    return Pivot(
        grid=results.grid,
        metric=metric,
        split=split,
        row_axes=tuple(row_axes),
        col_axes=tuple(col_axes),
        rows=rows.keys,
        cols=cols.keys,
        tiles={place: _tile(found, values) for place, found in members.items()},
        baseline_rows=rows.baselines,
        baseline_cols=cols.baselines,
        averaged=tuple(name for name in varied if name not in (*row_axes, *col_axes)),
        balanced=_is_balanced(records),
        failures=_counts(record["kind"] or "failed" for record in records if record["state"] == "failed"),
        marks=_counts(mark for record in done for mark in record["marks"] or ()),
        undefined=_undefined_reasons(done, values),
        mixed=_mixed(done),
        retired=len(results.cells) - len(results.declared),
        baselines_left_out=left_out,
    )


def ordered(values: Iterable[Any]) -> list[Any]:
    """The distinct values of an axis: numbers ascending with None (all) last, everything else in the order declared."""
    distinct = list(dict.fromkeys(None if is_nothing(value) else value for value in values))
    given = [value for value in distinct if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        return sorted(given) + ([None] if None in distinct else [])
    return distinct


class _Side:
    """The rows, or the columns, of a layout.

    Baselines are named on one side, the `naming` one: there their strategy stands for the model, and their settings are
    empty. On the other side they stand at every value of a setting that they do not have.
    """

    def __init__(self, cells: pd.DataFrame, axes: Sequence[str], *, naming: bool) -> None:
        self._axes = tuple(axes)
        self._naming = naming
        trained = cells[~cells["baseline"].astype(bool)].to_dict("records")
        baselines = cells[cells["baseline"].astype(bool)].to_dict("records")
        everything = [*trained, *baselines]
        self._values = {
            name: ordered(record[name] for record in (everything if name in OWN_AXES else trained))
            for name in self._axes
        }
        found = {key for record in trained for key in self.keys_of(record)}
        added = {key for record in baselines for key in self.keys_of(record)} - found
        self.baselines = frozenset(added) if naming else frozenset()
        order = {name: [*values, *_baseline_values(baselines, name)] for name, values in self._values.items()}

        def position(key: Key) -> tuple[int, ...]:
            places = [order[name].index(value) for name, value in zip(self._axes, key, strict=True)]
            return (int(key in self.baselines), *places)

        self.keys: tuple[Key, ...] = tuple(sorted(found | added, key=position))

    def keys_of(self, record: Mapping[str, Any]) -> list[Key]:
        """Where a cell stands: one key, or for a baseline one for each value of a setting that it does not have."""
        choices = [self._on_axis(record, name) for name in self._axes]
        return list(itertools.product(*choices))

    def _on_axis(self, record: Mapping[str, Any], axis: str) -> list[Any]:
        if not record["baseline"] or axis in OWN_AXES:
            return [None if is_nothing(record[axis]) else record[axis]]
        if not self._naming:
            return self._values[axis] or [None]
        return [record["strategy"] if axis in NAMING_AXES else None]


def _baseline_values(baselines: Sequence[Mapping[str, Any]], axis: str) -> list[Any]:
    return list(dict.fromkeys(record["strategy"] for record in baselines)) if axis in NAMING_AXES else [None]


def _values(metrics: pd.DataFrame, metric: str, split: str) -> dict[str, tuple[float | None, str | None]]:
    chosen = metrics[(metrics["name"] == metric) & (metrics["split"] == split) & (metrics["label"].fillna("") == "")]
    return {
        row.cell_id: (None if is_nothing(row.value) else float(row.value), row.undefined)
        for row in chosen.itertuples(index=False)
    }


def _tile(cells: Sequence[Mapping[str, Any]], values: Mapping[str, tuple[float | None, str | None]]) -> Tile:
    done = [cell for cell in cells if cell["state"] == "done"]
    numbers = [values.get(cell["cell_id"], (None, None))[0] for cell in done]
    failed = sum(cell["state"] == "failed" for cell in cells)
    defined = tuple(number for number in numbers if number is not None)
    return Tile(
        numbers=defined,
        failed=failed,
        undefined=len(numbers) - len(defined),
        not_run=len(cells) - len(done) - failed,
        marked=sum(bool(cell["marks"]) for cell in done),
    )


def _undefined_reasons(
    done: Sequence[Mapping[str, Any]], values: Mapping[str, tuple[float | None, str | None]]
) -> tuple[str, ...]:
    found = [values.get(cell["cell_id"], (None, "not recorded")) for cell in done]
    return tuple(dict.fromkeys(reason or "no reason given" for number, reason in found if number is None))


def _is_balanced(records: Sequence[Mapping[str, Any]]) -> bool:
    return bool(records) and all(
        record["task"] == "single_label" and record["protocol"] in ("nested", "replay") for record in records
    )


def _mixed(done: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    trained = [record for record in done if not record["baseline"]]
    counts = {name: _counts(str(record[name]) for record in trained if record.get(name)) for name in PROVENANCE}
    return {name: found for name, found in counts.items() if len(found) > 1}


def _counts(values: Iterable[str]) -> dict[str, int]:
    counted = Counter(values)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
