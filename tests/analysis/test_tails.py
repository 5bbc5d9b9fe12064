"""Tails of distributions against scipy.stats."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from analysis import tails

PROBABILITIES = np.array([1e-6, 0.001, 0.025, 0.05, 0.3, 0.5, 0.8, 0.999])


def test_quantiles() -> None:
    freedom = np.array([1, 2, 3, 4, 9, 37, 799, 1e5])[:, None]
    np.testing.assert_allclose(
        tails.student_t(PROBABILITIES, freedom), stats.t.isf(PROBABILITIES, freedom), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(tails.normal(PROBABILITIES), stats.norm.isf(PROBABILITIES), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("freedom", [(2, 2), (4, 2), (4, 9)], ids=str)
def test_f(freedom: tuple[int, int]) -> None:
    for value in (0.0, 0.01, 0.5, 1.0, 3.0, 80.0):
        assert tails.f_below(value, *freedom) == pytest.approx(stats.f.cdf(value, *freedom), rel=1e-12)


@pytest.mark.parametrize("trials", [1, 2, 5, 40, 1000, 20000])
def test_binomial(trials: int) -> None:
    for successes in {0, trials // 7, trials // 2, trials}:
        below, exactly = tails.binomial_half(successes, trials)
        assert below == pytest.approx(stats.binom.cdf(successes, trials, 0.5), rel=1e-9)
        assert exactly == pytest.approx(stats.binom.pmf(successes, trials, 0.5), rel=1e-9)


def test_fisher_on_every_small_table() -> None:
    for a, b, c, d in itertools.product(range(6), repeat=4):
        if a + b and c + d:
            expected = stats.fisher_exact([[a, b], [c, d]]).pvalue
            assert tails.fisher((a, b), (c, d)) == pytest.approx(expected, rel=1e-9), (a, b, c, d)


@pytest.mark.parametrize(
    "counts", [((75, 5), (72, 8)), ((7, 73), (35, 45)), ((1800, 200), (1742, 258)), ((0, 80), (80, 0))]
)
def test_fisher_on_larger_tables(counts: tuple[tuple[int, int], tuple[int, int]]) -> None:
    assert tails.fisher(*counts) == pytest.approx(stats.fisher_exact(counts).pvalue, rel=1e-8)


def test_a_report_does_not_import_scipy_stats() -> None:
    code = "import sys, analysis.report; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
