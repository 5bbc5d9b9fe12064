"""Smallest detectable differences and how many more: against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.crossed import Parts, difference_parts, p_value, parts
from analysis.power import MOST_SEEDS, Variances, rows_to_detect, seeds_to_detect, smallest_detectable
from analysis.simulate import Regime, batches


def true_variances(regime: Regime, random: np.random.Generator) -> Variances:
    """Variances of the difference in a design so large that they are known."""
    large = Regime(**{**regime.__dict__, "seeds": 60, "rows": 4000, "difference": 0.0})
    first, second = next(batches(large, 1, random))
    found = parts(first[0].astype(np.int8) - second[0].astype(np.int8))
    return Variances.of(found)


@pytest.mark.parametrize(
    ("seeds", "rows", "seed_sd"), [(3, 200, 0.02), (5, 200, 0.003), (5, 400, 0.02), (10, 100, 0.01)]
)
def test_the_smallest_detectable_difference_is_found_four_times_out_of_five(
    seeds: int, rows: int, seed_sd: float
) -> None:
    random = np.random.default_rng([9, seeds, rows])
    regime = Regime(seeds=seeds, rows=rows, accuracy=0.8, difference=0.0, seed_sd=seed_sd)
    wanted = float(smallest_detectable(true_variances(regime, random), seeds, rows))
    there = Regime(**{**regime.__dict__, "accuracy": 0.8 + wanted / 2, "difference": wanted})
    found = total = 0
    for first, second in batches(there, 1200, random):
        p_values = p_value(difference_parts(first.astype(np.int8) - second.astype(np.int8)))
        found, total = found + int((p_values < 0.05).sum()), total + len(p_values)
    assert found / total == pytest.approx(0.8, abs=0.05)


def split(seed_variance: float, row_variance: float, residual: float, *, seeds: int = 3, rows: int = 200) -> Parts:
    return Parts(
        mean=0.02,
        seed_part=seed_variance / seeds + residual / (seeds * rows),
        row_part=row_variance / rows,
        residual=residual,
        seeds=seeds,
        rows=rows,
    )


def test_the_numbers_needed_are_the_smallest_that_do() -> None:
    found = split(0.0001, 0.02, 0.1)
    variances = Variances.of(found)
    seeds, rows = seeds_to_detect(found, 0.04), rows_to_detect(found, 0.04)
    assert seeds is not None
    assert rows is not None
    assert smallest_detectable(variances, seeds, 200) <= 0.04 < smallest_detectable(variances, seeds - 1, 200)
    assert smallest_detectable(variances, 3, rows) <= 0.04 < smallest_detectable(variances, 3, rows - 1)


def test_rows_cannot_mend_seeds_and_seeds_cannot_mend_rows() -> None:
    assert rows_to_detect(split(0.01, 0.001, 0.01), 0.02) is None
    assert seeds_to_detect(split(1e-6, 0.2, 0.01), 0.02) is None


def test_more_of_anything_never_hurts() -> None:
    variances = Variances(seed=0.0004, row=0.05, residual=0.1)
    by_seeds = smallest_detectable(variances, np.arange(2, MOST_SEEDS), 200)
    by_rows = smallest_detectable(variances, 4, np.arange(10, 3000, 10))
    assert (np.diff(by_seeds) <= 0).all()
    assert (np.diff(by_rows) <= 0).all()
