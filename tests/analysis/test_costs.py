"""Scores against costs: totals, prices, and the arms that nothing beats in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.arms import estimates
from analysis.comparing import compare
from analysis.costs import DOLLARS, TRAINING_SECONDS, cost_points, cost_text, pareto_sets
from analysis.loading import COST_SPLIT, Results, results_from
from tests.analysis.answer_sheets import results_of
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
    assert "good, qlora (80.0 % at 2 s, not shown to be better than the one before)" in answer.text


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


def test_prices_by_device() -> None:
    results = store({"good": (0.8, 2.0)})
    (point,) = cost_points(results, estimates(results), dollars_per_hour={"cpu": 1.0, "cuda": 4.0})
    assert point.costs[DOLLARS] == pytest.approx(0.5)
    (unpriced,) = cost_points(results, estimates(results), dollars_per_hour={"cuda": 4.0})
    assert DOLLARS not in unpriced.costs


@pytest.mark.parametrize(
    ("cost", "value", "text"),
    [
        (DOLLARS, 12.345, "$12.35"),
        (DOLLARS, 0.00042, "$0.00042"),
        (DOLLARS, 0.0000042, "under $0.0001"),
        (TRAINING_SECONDS, 12.34, "12.3 s"),
        (TRAINING_SECONDS, 12345.0, "12,345 s"),
        ("solo_peak_memory_bytes", 2.5e9, "2.5 GB"),
        ("trainable_parameters", 1.2e6, "1.2 million"),
        ("trainable_parameters", 770.0, "770"),
    ],
)
def test_costs_have_units(cost: str, value: float, text: str) -> None:
    assert cost_text(cost, value) == text


def test_what_a_dearer_arm_gains_is_said_to_be_shown_or_not(tmp_path: Path) -> None:
    rights = {"cheap": 0.6, "dear": 0.9, "dearest": 0.905}
    sheets = [({"model": m, "seed": s}, np.arange(400) < share * 400) for m, share in rights.items() for s in range(5)]
    results = results_of(tmp_path, sheets)
    prices = {"cheap": 1.0, "dear": 2.0, "dearest": 3.0}
    cells = results.cells.to_dict("records")
    costs = [number(c, prices[c["model"]], name="solo_step_seconds", split=COST_SPLIT) for c in cells]
    results = results_from("g", cells, [*results.metrics.to_dict("records"), *costs], folders=results.folders)
    found = estimates(results)
    (answer,) = pareto_sets(found, cost_points(results, found), "solo_step_seconds", compare(found))
    assert "dear, qlora (90.0 % at 2 s, shown to be better" in answer.text
    assert "dearest, qlora (90.5 % at 3 s, not shown to be better" in answer.text
