"""Rows for training that a target score needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.answers import rows_needed
from analysis.arms import estimates
from analysis.costs import DOLLARS, CostPoint
from tests.analysis.answer_sheets import results_of
from tests.analysis.answers.skilled import analysed, learning
from tests.analysis.synthetic import grid_of


def test_rows_needed_for_a_target(tmp_path: Path) -> None:
    found, _ = analysed(tmp_path, learning("lora", 0.5, 0.1), seeds=5, rows=2000)
    (answer,) = rows_needed(found, 0.75)
    assert answer.rows == pytest.approx(100 * 2**2.5, rel=0.15)
    assert answer.at_least is not None
    assert answer.at_most is not None
    assert answer.at_least < answer.rows < answer.at_most
    (beyond,) = rows_needed(found, 0.99)
    assert (beyond.rows, beyond.at_most) == (None, None)
    assert "does not reach" in beyond.text
    (easy,) = rows_needed(found, 0.2)
    assert easy.rows == 100
    assert "the fewest tried, 25 a label" in easy.text


def test_in_words(tmp_path: Path) -> None:
    sheets = [({"num_labels": 2, "num_samples": n}, np.arange(200) < right) for n, right in ((100, 100), (400, 160))]
    found = estimates(results_of(tmp_path, sheets))
    (answer,) = rows_needed(found, 0.65)
    assert answer.rows == pytest.approx(200)
    assert "needs about 200 rows for training for 65.0 %, 100 a label (by its interval, " in answer.text
    (beyond,) = rows_needed(found, 0.83)
    assert "does not reach 83.0 % with up to 400 rows for training, where it has 80.0 %" in beyond.text
    assert "its interval does from about" in beyond.text
    (alone,) = rows_needed([one for one in found if one.column["num_samples"] == 400], 0.79)
    assert "though its interval only does beyond 400 rows for training" in alone.text


def test_a_target_that_is_lost_again_was_reached(tmp_path: Path) -> None:
    sizes = ((100, 100), (200, 150), (400, 140))
    sheets = [({"num_labels": 2, "num_samples": n}, np.arange(200) < right) for n, right in sizes]
    (answer,) = rows_needed(estimates(results_of(tmp_path, sheets)), 0.72)
    assert answer.rows is None
    assert "does not reach" not in answer.text
    assert "has 72.0 % with 200 rows for training, but not with 400 rows for training: 70.0 % (" in answer.text


def test_without_an_interval_nothing_is_said_of_one() -> None:
    found = estimates(grid_of(models=("a",), labels=(2,), seeds=(0,), baselines=()))
    assert all(one.low is None for one in found)
    for target in (0.6, 0.8):
        (answer,) = rows_needed(found, target)
        assert answer.rows is not None and "interval" not in answer.text


def test_training_is_priced_between_two_sizes(tmp_path: Path) -> None:
    sheets = [({"num_labels": 2, "num_samples": n}, np.arange(200) < right) for n, right in ((100, 100), (400, 160))]
    found = estimates(results_of(tmp_path, sheets))
    costs = [
        CostPoint(arm=one.arm, column=one.column, score=one.mean or 0.0, low=None, high=None, costs={DOLLARS: price})
        for one, price in zip(found, (1.0, 4.0), strict=True)
    ]
    (answer,) = rows_needed(found, 0.65, costs)
    assert answer.dollars == pytest.approx(2.0)
    assert answer.text.endswith("one training on them costs $2.00.")
    (unknown,) = rows_needed(found, 0.65, costs[:1])
    assert unknown.dollars is None
    (never,) = rows_needed(found, 0.99, costs)
    assert never.dollars is None


def test_a_target_that_the_last_size_has_exactly_is_priced(tmp_path: Path) -> None:
    """From 800 to 2,400 rows on the logarithm ends a hair beyond 2,400, where there was no price: the report broke."""
    sheets = [({"num_labels": 2, "num_samples": n}, np.arange(200) < right) for n, right in ((800, 100), (2400, 160))]
    found = estimates(results_of(tmp_path, sheets))
    costs = [
        CostPoint(arm=one.arm, column=one.column, score=one.mean or 0.0, low=None, high=None, costs={DOLLARS: 4.0})
        for one in found
    ]
    (answer,) = rows_needed(found, 0.8, costs)
    assert (answer.rows, answer.dollars) == (2400.0, 4.0)


def test_less_is_better(tmp_path: Path) -> None:
    sheets = [({"num_samples": n}, np.arange(200) < right) for n, right in ((100, 100), (400, 40))]
    found = [replace(one, metric="hamming_loss") for one in estimates(results_of(tmp_path, sheets))]
    assert rows_needed(found, 0.3)[0].rows == pytest.approx(100 * 4 ** (2 / 3))
    assert rows_needed(found, 0.1)[0].rows is None
