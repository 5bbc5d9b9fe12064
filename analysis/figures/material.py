"""What the figures of one store are drawn from, worked out once and only when asked for."""

from __future__ import annotations

import functools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from analysis.answers import BestArm, best_arms
from analysis.arms import Estimate, Point, columns_of, estimates
from analysis.comparing import Comparison
from analysis.file_names import slug
from analysis.loading import COST_SPLIT, Results
from analysis.report_numbers import SPLIT, briefly_named, compared_pairs, main_metric
from analysis.style import MetricStyle, metric_style
from analysis.tables import Table

MOST_PICTURES: Final = 24
"""Pictures under one name; a note says which were left out."""
SIZE_AXIS: Final = "num_samples"


class NothingToDraw(Exception):
    """The store does not hold what a figure shows; the message says what is missing, for people."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One picture: the end of its file name, and how it is drawn."""

    part: str
    """Empty for the only picture of its name."""
    draw: Callable[[], Axes | tuple[Axes, ...]]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a name stands for in a store: pictures, tables, and what was left out."""

    pictures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """A store, and what several figures need of it."""

    results: Results
    select_on: str | None = None
    root: Path | None = None
    """The results folder, for tables of `finegrid explain`; None: there are none."""

    @functools.cached_property
    def metric(self) -> str:
        """The metric that scores are shown in."""
        return main_metric(self.results, self.select_on)

    @functools.cached_property
    def style(self) -> MetricStyle:
        """How that metric is written."""
        return metric_style(self.metric)

    @functools.cached_property
    def whole(self) -> tuple[Estimate, ...]:
        """Every arm in every column, on test rows, with all axes."""
        return estimates(self.results, metric=self.metric, split=SPLIT)

    @functools.cached_property
    def found(self) -> tuple[Estimate, ...]:
        """The same without a dataset or protocol that all columns share: they are in no title."""
        return briefly_named(self.whole)

    @functools.cached_property
    def _compared(self) -> tuple[tuple[Comparison, ...], str]:
        return compared_pairs(self.found)

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """Pairs of arms."""
        return self._compared[0]

    @property
    def pairs_note(self) -> str:
        """Which pairs were left out; empty when none was."""
        return self._compared[1]

    @functools.cached_property
    def best(self) -> tuple[BestArm, ...]:
        """The best arm of every column."""
        return tuple(best_arms(self.found, self.compared))

    @functools.cached_property
    def columns(self) -> tuple[Point, ...]:
        """Columns with at least one number, ascending."""
        return columns_of(one for one in self.found if one.mean is not None)

    @functools.cached_property
    def large_columns(self) -> tuple[Point, ...]:
        """Of each kind of data the column with the most rows for training."""
        last = {column.without(SIZE_AXIS).key: column for column in self.columns}
        return tuple(last.values())

    @functools.cached_property
    def final_columns(self) -> tuple[Point, ...]:
        """Of each dataset and protocol the column with the most labels and rows: where single arms are drawn."""
        last = {column.without(SIZE_AXIS, "num_labels").key: column for column in self.columns}
        return tuple(last.values())

    def arms_in(self, column: Point, *, baselines: bool = True) -> list[Estimate]:
        """Arms with a number in a column, models before baselines."""
        here = [one for one in self.found if one.column.key == column.key and one.mean is not None]
        return sorted((one for one in here if baselines or not one.is_baseline), key=lambda one: one.is_baseline)

    @functools.lru_cache(maxsize=256)  # noqa: B019  a material lives as long as its report
    def _numbers(self, split: str, name: str) -> Mapping[str, float]:
        """By cell, of all its rows."""
        return {cell: value for cell, label, value in self._rows(split, name) if not label}

    @functools.lru_cache(maxsize=32)  # noqa: B019
    def _label_numbers(self, split: str, name: str) -> Mapping[str, Mapping[str, float]]:
        """By cell and label."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for cell, label, value in self._rows(split, name):
            if label:
                found[cell][label] = value
        return found

    def _rows(self, split: str, name: str) -> Iterator[tuple[str, str, float]]:
        """Cell, label (empty: all rows) and number, where there is one."""
        rows = self.results.numbers(name, split)
        for cell, label, value in zip(rows["cell_id"], rows["label"], rows["value"], strict=True):
            if value is not None and not pd.isna(value):
                yield str(cell), str(label or ""), float(value)

    def mean_of(self, name: str, cells: Sequence[str], *, split: str = SPLIT) -> float | None:
        """The mean of a number over cells; None when none of them has it."""
        values = self._numbers(split, name)
        here = [values[cell] for cell in cells if cell in values]
        return statistics.fmean(here) if here else None

    def cost_of(self, name: str, cells: Sequence[str]) -> float | None:
        """The mean of a cost over cells; None when none of them has it."""
        return self.mean_of(name, cells, split=COST_SPLIT)

    def has(self, name: str, *, split: str = SPLIT) -> bool:
        """Whether any cell has a number for all its rows under a name."""
        return bool(self._numbers(split, name))

    def label_means(self, name: str, cells: Sequence[str], *, split: str = SPLIT) -> dict[str, float]:
        """The mean over cells of a number that every label has, in the order of the labels."""
        by_cell = self._label_numbers(split, name)
        values: dict[str, list[float]] = defaultdict(list)
        for cell in cells:
            for label, value in by_cell.get(cell, {}).items():
                values[label].append(value)
        return {label: statistics.fmean(each) for label, each in values.items()}

    def folder(self, cell_id: str) -> Path | None:
        """The result folder of a cell."""
        return self.results.folders.get(cell_id)

    def keeps(self, cells: Sequence[str], file: str) -> bool:
        """Whether any of some cells keeps a file."""
        folders = map(self.folder, cells)
        return any(folder is not None and (folder / file).is_file() for folder in folders)


def one_an_arm(
    material: Material,
    draw: Callable[..., Axes | tuple[Axes, ...]],
    *,
    has: Callable[[Sequence[str]], bool],
    nothing: str,
    baselines: bool = True,
) -> Drawn:
    """One picture for each arm in the column of each dataset with most labels and rows.

    Args:
        material: the store.
        draw: takes results, cells and, by name, a title.
        has: whether some cells hold what is drawn.
        nothing: what is missing when no arm does.
        baselines: draw them, too.
    Raises:
        NothingToDraw: there is no such arm.
    """
    pictures = []
    for column in material.final_columns:
        for one in material.arms_in(column, baselines=baselines):
            if has(one.cells):
                title = f"{one.arm.title}: {column.title}"
                drawing = functools.partial(draw, material.results, one.cells, title=title)
                pictures.append(Drawing(part=slug(title), draw=drawing))
    if not pictures:
        raise NothingToDraw(nothing)
    return limited(pictures, "arms and columns")


def limited(pictures: Sequence[Drawing], what: str) -> Drawn:
    """The first pictures, and a note about the others."""
    more = len(pictures) - MOST_PICTURES
    note = f"{more} more {what} are not drawn ({MOST_PICTURES} are)" if more > 0 else ""
    return Drawn(pictures=tuple(pictures[:MOST_PICTURES]), note=note)
