"""Arms and columns: what is compared (model, strategy, settings), and on what (data, labels, rows for training)."""

from __future__ import annotations

import functools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.aggregate import DATA_AXES, ordered
from analysis.crossed import Parts, share_interval, share_parts, unstacked, with_hidden
from analysis.loading import Results, is_nothing
from analysis.predictions import Answers, Predictions, predictions_of
from analysis.tails import student_t

_ANSWERS_AT_ONCE: Final = 2_000_000


class Covers(StrEnum):
    """What an interval allows for."""

    SEEDS_AND_ROWS = "other seeds and other test rows"
    ROWS = "other test rows, for this one trained model"
    SEEDS = "other seeds, on these test rows"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Values on some axes; an arm or a column."""

    axes: tuple[str, ...]
    values: tuple[Any, ...]

    def __getitem__(self, axis: str) -> Any:
        """The value on an axis; None where it is not an axis of this point."""
        return self.values[self.axes.index(axis)] if axis in self.axes else None

    def without(self, *axes: str) -> Point:
        """The same point with some axes left out."""
        kept = [(axis, value) for axis, value in zip(self.axes, self.values, strict=True) if axis not in axes]
        return Point(axes=tuple(axis for axis, _ in kept), values=tuple(value for _, value in kept))

    @functools.cached_property
    def key(self) -> tuple[tuple[str, Any], ...]:
        """For dictionaries; equal for equal values."""
        return tuple(zip(self.axes, self.values, strict=True))

    @functools.cached_property
    def title(self) -> str:
        """The values that there are, in words."""
        return ", ".join(_worded(axis, value) for axis, value in self.key if value is not None) or "all"


def _worded(axis: str, value: Any) -> str:
    words = {"num_labels": "labels", "num_samples": "rows for training"}
    if axis in words:
        return f"{value} {words[axis]}"
    return str(value) if axis in ("model", "strategy", "variant", "dataset", "protocol") else f"{axis}={value}"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One arm in one column: its mean over the seeds, how sure that is, and what became of every cell."""

    arm: Point
    column: Point
    is_baseline: bool
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    level: float
    covers: Covers
    reason: str
    """Why there is no interval, or no number; empty otherwise."""
    sd: float | None
    """Standard deviation of the seeds' numbers (n - 1); None for fewer than two."""
    seeds: tuple[int, ...]
    """Seeds that the mean is over."""
    rows: int | None
    """Test rows that all these seeds share; None without predictions."""
    declared: int
    failed: int
    not_run: int
    undefined: int
    marked: int
    """Cells of this mean that depart from their declaration."""
    cells: tuple[str, ...]
    """Ids of the cells of this mean, in the order of the seeds."""
    answers: Answers | None = None
    parts: Parts | None = None

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def estimates(
    results: Results,
    *,
    metric: str = "accuracy",
    split: str = "test",
    level: float = 0.95,
    predictions: Predictions | None = None,
) -> tuple[Estimate, ...]:
    """Estimate every arm in every column that was declared, in the order declared.

    Mean and interval come from single predictions where there are any and the metric has numbers of single rows
    (`analysis.row_scores`: accuracy, F1, precision, recall and their kin at 0.5). Everything else has an interval over
    the seeds alone, which says so (`covers`).

    Args:
        results: a loaded store.
        metric: name of a metric in the store.
        split: test | validation | train.
        level: coverage of the intervals.
        predictions: a reader to share between calls; None: a new one.
    Returns:
        one estimate for each arm and column with at least one declared cell.
    """
    reader = predictions if predictions is not None else predictions_of(results, split)
    numbers = _numbers(results, metric, split)
    groups: dict[tuple[Any, Any], list[Mapping[str, Any]]] = defaultdict(list)
    arm_axes = tuple(axis for axis in results.axes if axis not in (*DATA_AXES, "seed"))
    for cell in results.declared_cells:
        groups[_point(cell, arm_axes).key, _point(cell, DATA_AXES).key].append(cell)
    reader.read_ahead((each for cells in groups.values() for each in _by_seed(cells, numbers).values()), metric)
    found = []
    for cells in groups.values():
        arm, column = _point(cells[0], arm_axes), _point(cells[0], DATA_AXES)
        found.append(_estimate(arm, column, cells, numbers, metric=metric, level=level, predictions=reader))
    return _with_intervals(found, level)


def columns_of(found: Iterable[Estimate]) -> tuple[Point, ...]:
    """The columns of some estimates: numbers ascending, everything else in the order declared."""
    points = list({one.column.key: one.column for one in found}.values())
    order = {axis: ordered(point[axis] for point in points) for axis in DATA_AXES}
    return tuple(sorted(points, key=lambda point: [order[axis].index(point[axis]) for axis in DATA_AXES]))


def estimates_frame(found: Sequence[Estimate]) -> pd.DataFrame:
    """One row an arm and column: axes, mean, interval, and the counts of cells by what became of them."""
    return pd.DataFrame(
        [
            {
                **dict(one.arm.key),
                **dict(one.column.key),
                "baseline": one.is_baseline,
                "metric": one.metric,
                "mean": one.mean,
                "low": one.low,
                "high": one.high,
                "covers": str(one.covers),
                "reason": one.reason,
                "sd": one.sd,
                "seeds": len(one.seeds),
                "rows": one.rows,
                "declared": one.declared,
                "failed": one.failed,
                "not_run": one.not_run,
                "undefined": one.undefined,
                "marked": one.marked,
            }
            for one in found
        ],
        dtype=object,
    )


def _point(cell: Mapping[str, Any], axes: Sequence[str]) -> Point:
    values = (cell[axis] for axis in axes)
    return Point(axes=tuple(axes), values=tuple(None if is_nothing(v) else v for v in values))


def _numbers(results: Results, metric: str, split: str) -> dict[str, float]:
    table = results.numbers(metric, split)
    rows = zip(table["cell_id"], table["label"], table["value"], strict=True)
    return {cell: float(value) for cell, label, value in rows if not label and not pd.isna(value)}


def _estimate(
    arm: Point,
    column: Point,
    cells: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, float],
    *,
    metric: str,
    level: float,
    predictions: Predictions,
) -> Estimate:
    done = [cell for cell in cells if cell["state"] == "done"]
    ids = _by_seed(cells, numbers)
    answers = predictions.answers(ids, metric) if ids else None
    failed = sum(cell["state"] == "failed" for cell in cells)
    counted = set(ids.values())
    values = [numbers[cell_id] for cell_id in ids.values()]
    if answers is not None and len(answers.seeds) == len(ids):
        measured = _NOT_YET
    else:
        answers, measured = None, _from_numbers(values, level, metric)
    return Estimate(
        arm=arm,
        column=column,
        is_baseline=bool(cells[0]["baseline"]),
        metric=metric,
        level=level,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        seeds=tuple(ids),
        rows=None if answers is None else len(answers.row_ids),
        declared=len(cells),
        failed=failed,
        not_run=len(cells) - len(done) - failed,
        undefined=len(done) - len(ids),
        marked=sum(bool(cell["marks"]) for cell in done if cell["cell_id"] in counted),
        cells=tuple(ids.values()),
        answers=answers,
        **measured,
    )


def _by_seed(cells: Iterable[Mapping[str, Any]], numbers: Mapping[str, float]) -> dict[int, str]:
    """The done cells that have a number, by seed in their order."""
    done = [cell for cell in cells if cell["state"] == "done" and cell["cell_id"] in numbers]
    return dict(sorted({int(cell["seed"]): str(cell["cell_id"]) for cell in done}.items()))


_NOT_YET: Final[dict[str, Any]] = dict.fromkeys(("mean", "low", "high", "parts")) | {
    "covers": Covers.NOTHING,
    "reason": "",
}
"""Until all estimates of one shape are worked out together."""


def _with_intervals(found: Sequence[Estimate], level: float) -> tuple[Estimate, ...]:
    """The same estimates, those with single predictions with mean and interval: all of one shape at a time."""
    shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, estimate in enumerate(found):
        if estimate.answers is not None:
            shapes[estimate.answers.scores.shape].append(index)
    done = list(found)
    for (seeds, rows), indices in shapes.items():
        size = max(1, _ANSWERS_AT_ONCE // (seeds * rows))
        for group in (indices[start : start + size] for start in range(0, len(indices), size)):
            answers = [one for index in group if (one := found[index].answers) is not None]
            hidden = [one.hidden_on(one.seeds) for one in answers]
            parts = with_hidden(share_parts(np.stack([one.scores for one in answers])), hidden)
            low, high = share_interval(parts, level=level)
            for place, (index, each) in enumerate(zip(group, unstacked(parts), strict=True)):
                done[index] = replace(
                    found[index],
                    mean=min(max(float(each.mean), 0.0), 1.0),  # kept in 32 bits, it may lie a hair beyond
                    low=float(low[place]),
                    high=float(high[place]),
                    covers=Covers.ROWS if seeds == 1 else Covers.SEEDS_AND_ROWS,
                    parts=each,
                )
    return tuple(done)


def _from_numbers(values: Sequence[float], level: float, metric: str) -> dict[str, Any]:
    nothing = {"low": None, "high": None, "covers": Covers.NOTHING, "parts": None}
    if not values:
        return {**nothing, "mean": None, "reason": "no finished cell has this number"}
    mean = statistics.fmean(values)
    if len(values) == 1:
        return {**nothing, "mean": mean, "reason": "one seed and no predictions of single rows"}
    half = float(student_t((1 - level) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    low, high = mean - half, mean + half
    if _is_share(metric):  # no score lies outside, so an interval loses nothing there
        low, high = max(0.0, low), min(1.0, high)
    return {**nothing, "mean": mean, "low": low, "high": high, "covers": Covers.SEEDS, "reason": ""}


def _is_share(metric: str) -> bool:
    from analysis.style import metric_style  # brings matplotlib along: only when it is needed

    return metric_style(metric).is_share


def direction_of(metric: str) -> int:
    """1 where more of a metric is better, or nobody knows; -1 where less is."""
    if metric == "accuracy":  # the usual case, without matplotlib
        return 1
    from analysis.style import metric_style

    return -1 if metric_style(metric).better == "lower" else 1
