"""What a score costs: seconds, parameters, memory and money of every arm, and the arms that nothing beats in both."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from analysis.arms import Estimate, Point, columns_of
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
    results: Results, found: Sequence[Estimate], *, dollars_per_hour: float | None = None
) -> tuple[CostPoint, ...]:
    """Scores with their costs.

    Args:
        results: a loaded store.
        found: its estimates.
        dollars_per_hour: price of the device that trained; None: no dollars.
    Returns:
        one point for each estimate with a mean.
    """
    table = results.metrics[results.metrics["split"] == COST_SPLIT]
    by_cell: dict[str, dict[str, float]] = {}
    for cell, name, value in zip(table["cell_id"], table["name"], table["value"], strict=True):
        if value is not None and not pd.isna(value):
            by_cell.setdefault(cell, {})[name] = float(value)
    points = []
    for one in found:
        if one.mean is not None:
            each = [_with_totals(by_cell.get(cell, {}), dollars_per_hour) for cell in one.cells]
            costs = {
                name: statistics.fmean(cost[name] for cost in each)
                for name in COST_NAMES
                if each and all(name in cost for cost in each)
            }
            points.append(
                CostPoint(arm=one.arm, column=one.column, score=one.mean, low=one.low, high=one.high, costs=costs)
            )
    return tuple(points)


def _with_totals(costs: Mapping[str, float], dollars_per_hour: float | None) -> dict[str, float]:
    """Costs of a cell with the time its steps would have taken alone, and their price."""
    all_costs = dict(costs)
    if "solo_step_seconds" in costs and "stopped_step" in costs:
        all_costs[TRAINING_SECONDS] = costs["solo_step_seconds"] * costs["stopped_step"]
        if dollars_per_hour is not None:
            all_costs[DOLLARS] = all_costs[TRAINING_SECONDS] * dollars_per_hour / 3600
    return all_costs


def pareto_sets(found: Sequence[Estimate], points: Sequence[CostPoint], cost: str) -> tuple[ParetoSet, ...]:
    """For every column, the arms that nothing beats in score and cost at once.

    Args:
        found: the estimates, for the order of the columns.
        points: their scores and costs.
        cost: a name of COST_NAMES.
    Returns:
        one set a column with at least one measured arm.
    """
    sets = []
    for column in columns_of(found):
        here = [point for point in points if point.column.key == column.key]
        measured = sorted((p for p in here if cost in p.costs), key=lambda p: (p.costs[cost], -p.score))
        members: list[CostPoint] = []
        for point in measured:
            if not members or point.score > members[-1].score:
                members.append(point)
        if measured:
            sets.append(
                ParetoSet(
                    column=column,
                    cost=cost,
                    members=tuple(members),
                    beaten=tuple(point for point in measured if point not in members),
                    unmeasured=tuple(point.arm for point in here if cost not in point.costs),
                    text=_text(column, cost, members),
                )
            )
    return tuple(sets)


def _text(column: Point, cost: str, members: Sequence[CostPoint]) -> str:
    steps = [f"{p.arm.title} ({100 * p.score:.1f} % at {p.costs[cost]:.3g})" for p in members]
    return f"{column.title}: no arm scores more for less {cost.replace('_', ' ')} than {', '.join(steps)}."
