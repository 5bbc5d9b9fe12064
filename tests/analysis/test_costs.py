"""Scores against costs: totals, prices, and the arms that nothing beats in both."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.arms import estimates
from analysis.costs import DOLLARS, TRAINING_SECONDS, cost_points, pareto_sets
from analysis.loading import COST_SPLIT, Results, results_from
from tests.analysis.synthetic import cell_row, number

ARMS = {"cheap": (0.5, 1.0), "good": (0.8, 2.0), "dear": (0.7, 3.0), "best": (0.9, 4.0), "tied": (0.8, 2.5)}


def store(arms: dict[str, tuple[float, float | None]]) -> Results:
    cells, metrics = [], []
    for model, (score, seconds) in arms.items():
        for seed in (0, 1):
            cell = cell_row(model=model, seed=seed)
            cells.append(cell)
            metrics.append(number(cell, score))
            costs: dict[str, Any] = {} if seconds is None else {"solo_step_seconds": seconds, "stopped_step": 900.0}
            metrics.extend(number(cell, value, name=name, split=COST_SPLIT) for name, value in costs.items())
    return results_from("costs", cells, metrics)


def test_the_pareto_set_is_that_of_brute_force() -> None:
    results = store(dict(ARMS))
    found = estimates(results)
    (answer,) = pareto_sets(found, cost_points(results, found), "solo_step_seconds")
    members = [point.arm["model"] for point in answer.members]
    by_force = [
        name
        for name, (score, cost) in ARMS.items()
        if not any(s >= score and c <= cost and (s, c) != (score, cost) for s, c in ARMS.values())
    ]
    assert members == by_force == ["cheap", "good", "best"]
    assert {point.arm["model"] for point in answer.beaten} == {"dear", "tied"}
    assert "good, qlora (80.0 % at 2)" in answer.text


def test_training_seconds_and_dollars() -> None:
    results = store({"good": (0.8, 2.0)})
    (point,) = cost_points(results, estimates(results), dollars_per_hour=3.0)
    assert point.costs[TRAINING_SECONDS] == pytest.approx(1800.0)
    assert point.costs[DOLLARS] == pytest.approx(1.5)
    (free,) = cost_points(results, estimates(results))
    assert DOLLARS not in free.costs


def test_what_was_not_measured_is_named() -> None:
    results = store({"good": (0.8, 2.0), "unknown": (0.95, None)})
    found = estimates(results)
    (answer,) = pareto_sets(found, cost_points(results, found), "solo_step_seconds")
    assert [arm["model"] for arm in answer.unmeasured] == ["unknown"]
    assert pareto_sets(found, cost_points(results, found), DOLLARS) == ()
