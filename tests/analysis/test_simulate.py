"""Intervals cover and reports claim nothing false: a small seeded part of what `python -m analysis.simulate` checks."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.crossed import parts
from analysis.simulate import SEED, Regime, all_regimes, batches, coverage, false_better, main

FEW = [
    Regime(seeds=1, rows=200, accuracy=0.9),
    Regime(seeds=2, rows=80, accuracy=0.9, row_spread=0.0),
    Regime(seeds=3, rows=200, accuracy=0.9, seed_sd=0.02),
    Regime(seeds=5, rows=80, accuracy=0.99, row_spread=2.0),
    Regime(seeds=5, rows=200, accuracy=0.6, row_spread=0.0),
    Regime(seeds=10, rows=80, accuracy=0.97, seed_sd=0.02),
    Regime(seeds=1, rows=80, accuracy=0.7, difference=0.05),
    Regime(seeds=3, rows=80, accuracy=0.98, difference=0.01),
    Regime(seeds=5, rows=200, accuracy=0.7, difference=0.05, seed_sd=0.02),
    Regime(seeds=10, rows=80, accuracy=0.9, difference=0.0, row_spread=2.0, own_spread=0.3),
]


@pytest.mark.parametrize("regime", FEW, ids=repr)
def test_intervals_cover(regime: Regime) -> None:
    """1,500 simulations: two standard errors of sampling around the promise."""
    found = coverage(regime, 1500, np.random.default_rng([SEED, 1]))
    slack = 2 * np.sqrt(0.05 * 0.95 / 1500)
    assert 0.935 - slack <= found <= regime.most + slack


@pytest.mark.parametrize(("seeds", "rows"), [(1, 80), (2, 80), (3, 200), (5, 80)])
def test_reports_of_equal_arms_claim_nothing(seeds: int, rows: int) -> None:
    regime = Regime(seeds=seeds, rows=rows, accuracy=0.8, difference=0.0, seed_sd=0.02)
    found = false_better(4, 2, regime, 400, np.random.default_rng([SEED, 2]))
    assert found <= 0.055 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_an_interval_that_ignores_seeds_would_be_noticed() -> None:
    """The check can fail: intervals from the rows alone do not cover when seeds vary and test rows are many."""
    regime = Regime(seeds=3, rows=2000, accuracy=0.8, seed_sd=0.03)
    held = total = 0
    for first, _ in batches(regime, 200, np.random.default_rng(4)):
        means = first.mean(axis=(1, 2))
        half = 1.96 * parts(first.mean(axis=1, keepdims=True)).row_part ** 0.5
        held, total = held + int((abs(means - 0.8) <= half).sum()), total + len(means)
    assert held / total < 0.8


def test_made_up_arms_are_as_good_and_as_far_apart_as_asked() -> None:
    regime = Regime(seeds=20, rows=500, accuracy=0.9, difference=0.1, seed_sd=0.02, row_spread=1.0)
    first, second = next(batches(regime, 200, np.random.default_rng(5)))
    assert first.mean() == pytest.approx(0.9, abs=0.005)
    assert second.mean() == pytest.approx(0.8, abs=0.005)
    by_seed = first.mean(axis=2)
    between = by_seed.var(axis=1, ddof=1).mean() - parts(first).residual.mean() / 500
    assert between**0.5 == pytest.approx(0.02, rel=0.15)


def test_every_kind_of_regime_is_there() -> None:
    regimes = all_regimes()
    assert {regime.seeds for regime in regimes} == {1, 2, 3, 5, 10}
    assert {regime.rows for regime in regimes} == {80, 200, 2000}
    assert any(regime.is_ceiling for regime in regimes)
    assert {0.0, 1.0, 2.0} == {regime.row_spread for regime in regimes}


def test_the_command_prints_a_line_a_regime(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--simulations", "20", "--seeds", "3", "--rows", "80"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(all_regimes(seeds=[3], rows=[80]))
