"""What a score costs: seconds, parameters, memory and money of every arm, and the arms that nothing beats in both."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.arms import Estimate, Point, columns_of, direction_of
from analysis.comparing import Comparison
from analysis.loading import COST_SPLIT, Results

DOLLARS: Final = "dollars"
TRAINING_SECONDS: Final = "solo_training_seconds"
COST_NAMES: Final = (
    "solo_step_seconds",
    TRAINING_SECONDS,
    "solo_peak_memory_bytes",
    "trainable_parameters",
    "total_parameters",
    DOLLARS,
)
"""Costs that do not depend on who trained beside a cell: solo probes, and counts."""


@dataclass(frozen=True, kw_only=True)
class CostPoint:
    """One arm in one column: its score and its costs."""

    arm: Point
    column: Point
    score: float
    low: float | None
    high: float | None
    costs: Mapping[str, float]
    """By name of COST_NAMES; means over the seeds; what was not measured is left out."""


@dataclass(frozen=True, kw_only=True)
class ParetoSet:
    """The arms of a column that no other arm matches in score at a lower cost."""

    column: Point
    cost: str
    members: tuple[CostPoint, ...]
    """Cheapest first."""
    beaten: tuple[CostPoint, ...]
    unmeasured: tuple[Point, ...]
    text: str


def cost_points(
    results: Results, found: Sequence[Estimate], *, dollars_per_hour: float | Mapping[str, float] | None = None
) -> tuple[CostPoint, ...]:
    """Scores with their costs.

    Args:
        results: a loaded store.
        found: its estimates.
        dollars_per_hour: price of the device that trained, or of each kind of device by its name in the store (cpu,
            cuda, ...); None: no dollars.
    Returns:
        one point for each estimate with a mean.
    """
    by_cell: dict[str, dict[str, float]] = {}
    for name in results.names(COST_SPLIT):
        table = results.numbers(name, COST_SPLIT)
        for cell, value in zip(table["cell_id"], table["value"], strict=True):
            if not pd.isna(value):
                by_cell.setdefault(cell, {})[name] = float(value)
    cells = results.cells
    devices = dict(zip(cells["cell_id"], cells["device"], strict=True))
    baselines = set(cells["cell_id"][cells["baseline"].astype(bool)])
    for cell in baselines & by_cell.keys():
        if "train_seconds" in by_cell[cell]:  # a baseline trains alone, so that no probe is needed
            by_cell[cell].setdefault(TRAINING_SECONDS, by_cell[cell]["train_seconds"])
    points = []
    for one in found:
        if one.mean is not None:
            each = [
                _with_totals(by_cell.get(cell, {}), _price(dollars_per_hour, devices.get(cell))) for cell in one.cells
            ]
            costs = {
                name: statistics.fmean(cost[name] for cost in each)
                for name in COST_NAMES
                if each and all(name in cost for cost in each)
            }
            points.append(
                CostPoint(arm=one.arm, column=one.column, score=one.mean, low=one.low, high=one.high, costs=costs)
            )
    return tuple(points)


def _price(dollars_per_hour: float | Mapping[str, float] | None, device: str | None) -> float | None:
    """What an hour of a device costs; `cuda` prices `cuda:0` as well."""
    if dollars_per_hour is None or isinstance(dollars_per_hour, int | float):
        return dollars_per_hour
    name = device or ""
    return dollars_per_hour.get(name, dollars_per_hour.get(name.split(":")[0]))


def _with_totals(costs: Mapping[str, float], dollars_per_hour: float | None) -> dict[str, float]:
    """Costs of a cell with the time its steps would have taken alone, and their price."""
    all_costs = dict(costs)
    if "solo_step_seconds" in costs and "stopped_step" in costs:
        all_costs[TRAINING_SECONDS] = costs["solo_step_seconds"] * costs["stopped_step"]
    if dollars_per_hour is not None and TRAINING_SECONDS in all_costs:
        all_costs[DOLLARS] = all_costs[TRAINING_SECONDS] * dollars_per_hour / 3600
    return all_costs


def pareto_sets(
    found: Sequence[Estimate], points: Sequence[CostPoint], cost: str, compared: Iterable[Comparison] = ()
) -> tuple[ParetoSet, ...]:
    """For every column, the arms that nothing beats in score and cost at once, by their means.

    Args:
        found: the estimates, for the order of the columns.
        points: their scores and costs.
        cost: a name of COST_NAMES.
        compared: comparisons that say whether what the dearer arms gain is shown.
    Returns:
        one set a column with at least one measured arm.
    """
    sets = []
    better = direction_of(found[0].metric) if found else 1
    by_pair = {(one.column.key, frozenset((one.first.key, one.second.key))): one for one in compared}
    by_column: dict[Any, list[CostPoint]] = defaultdict(list)
    for point in points:
        by_column[point.column.key].append(point)
    for column in columns_of(found):
        here = by_column[column.key]
        measured = sorted((p for p in here if cost in p.costs), key=lambda p: (p.costs[cost], -better * p.score))
        members: list[CostPoint] = []
        for point in measured:
            if not members or better * (point.score - members[-1].score) > 0:
                members.append(point)
        unmeasured = tuple(point.arm for point in here if cost not in point.costs)
        if measured:
            sets.append(
                ParetoSet(
                    column=column,
                    cost=cost,
                    members=tuple(members),
                    beaten=tuple(point for point in measured if point not in members),
                    unmeasured=unmeasured,
                    text=_text(column, cost, members, by_pair, unmeasured),
                )
            )
    return tuple(sets)


_NOUNS: Final = {"trainable_parameters": " trained parameters", "total_parameters": " parameters"}


def _text(
    column: Point,
    cost: str,
    members: Sequence[CostPoint],
    by_pair: Mapping[Any, Comparison],
    unmeasured: Sequence[Point],
) -> str:
    steps = []
    for cheaper, point in zip([None, *members], members, strict=False):
        known = ""
        if cheaper is not None:
            one = by_pair.get((column.key, frozenset((cheaper.arm.key, point.arm.key))))
            is_shown = one is not None and one.is_decided and one.favours(point.arm)
            known = f", {'shown' if is_shown else 'not shown'} to be better than the one before"
        price = cost_text(cost, point.costs[cost]) + _NOUNS.get(cost, "")
        steps.append(f"{point.arm.title} ({100 * point.score:.1f} % at {price}{known})")
    rest = f" Not measured, so not compared: {'; '.join(arm.title for arm in unmeasured)}." if unmeasured else ""
    return f"{column.title}: nothing scores more for less than {'; '.join(steps)}.{rest}"


def cost_text(cost: str, value: float) -> str:
    """A cost with its unit: `12 s`, `1.3 GB`, `22.7 million`, `$0.04`."""
    if cost == DOLLARS:
        small = np.format_float_positional(value, 2, fractional=False, trim="-")
        return f"${value:,.2f}" if value >= 0.1 else "under $0.0001" if 0 < value < 1e-4 else f"${small}"
    if cost.endswith("_seconds"):
        return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"
    for size, word, unit in ((1e9, "billion", "GB"), (1e6, "million", "MB"), (1e3, "thousand", "kB")):
        if value >= size:
            return f"{value / size:.3g} {unit if cost.endswith('_bytes') else word}"
    return f"{value:.0f}"
