"""Simulations that check the statistics: coverage of intervals and false claims, `python -m analysis.simulate`.

Made-up models answer made-up test rows: seed s is right on row i when mu + seed_s + row_i + noise_si > 0, all normal.
The true mean over all seeds and rows is then known exactly. Two arms share the difficulty of rows, and each has some of
its own.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.crossed import difference_parts, half_width, interval, share_interval, share_parts
from analysis.paired import mcnemar

Rights = NDArray[np.bool_]
_ANSWERS_AT_ONCE: Final = 10_000_000
SEED: Final = 20_260_101


@dataclass(frozen=True, kw_only=True)
class Regime:
    """One situation: how many seeds and rows, how good the arms are, and what makes them vary."""

    seeds: int
    rows: int
    accuracy: float
    difference: float | None = None
    """None: the mean of one arm; else that of a second arm is lower by this much and the two are compared."""
    row_spread: float = 1.0
    """Standard deviation of the difficulty of rows, in units of the noise; 0: seeds err independently of each other."""
    own_spread: float = 0.5
    """The same for the difficulty that a row has for one arm alone; only used with a difference."""
    seed_sd: float = 0.003
    """Standard deviation of the accuracy between seeds; at most half the rate of errors is used."""

    @property
    def is_ceiling(self) -> bool:
        """Nearly everything is right, or nothing varies: intervals may be conservative."""
        return self.accuracy >= 0.97

    @property
    def most(self) -> float:
        """The highest coverage allowed."""
        return 1.0 if self.is_ceiling or self.seeds <= 3 else 0.97


@dataclass(frozen=True, kw_only=True)
class _Arm:
    mu: float
    seed_spread: float


def _arm(regime: Regime, accuracy: float) -> _Arm:
    """Latent mean and seed spread that give an accuracy and its standard deviation between seeds."""
    own = regime.own_spread if regime.difference is not None else 0.0
    inner = 1.0 + regime.row_spread**2 + own**2
    wanted, spread = min(regime.seed_sd, (1.0 - accuracy) / 2), 0.0
    for _ in range(40):
        mu = float(stats.norm.ppf(accuracy)) * math.sqrt(inner + spread**2)
        spread = wanted / (float(stats.norm.pdf(mu / math.sqrt(inner))) / math.sqrt(inner))
    if regime.seeds == 1:
        spread = 0.0  # one seed: the interval is about this one trained model
    return _Arm(mu=float(stats.norm.ppf(accuracy)) * math.sqrt(inner + spread**2), seed_spread=spread)


def batches(regime: Regime, simulations: int, random: np.random.Generator) -> Iterator[tuple[Rights, Rights]]:
    """Answers [simulations, seeds, rows] of the arm and of the second arm (equal to the first without a difference)."""
    first = _arm(regime, regime.accuracy)
    second = None if regime.difference is None else _arm(regime, regime.accuracy - regime.difference)
    at_once = max(1, _ANSWERS_AT_ONCE // (regime.seeds * regime.rows))
    while simulations > 0:
        count = min(at_once, simulations)
        simulations -= count
        shared = regime.row_spread * random.standard_normal((count, 1, regime.rows), dtype=np.float32)
        own = regime.own_spread if second is not None else 0.0
        answers = _answers(first, shared, own, regime.seeds, random)
        yield answers, answers if second is None else _answers(second, shared, own, regime.seeds, random)


def _answers(arm: _Arm, shared: Any, own_spread: float, seeds: int, random: np.random.Generator) -> Rights:
    count, _, rows = shared.shape
    level = arm.mu + shared + arm.seed_spread * random.standard_normal((count, seeds, 1), dtype=np.float32)
    if own_spread:
        level = level + own_spread * random.standard_normal((count, 1, rows), dtype=np.float32)
    return np.asarray(level + random.standard_normal((count, seeds, rows), dtype=np.float32) > 0)


def coverage(regime: Regime, simulations: int, random: np.random.Generator) -> float:
    """Share of simulations whose 95 % interval holds the true mean, or the true difference."""
    held = 0
    for first, second in batches(regime, simulations, random):
        if regime.difference is None:
            low, high = share_interval(share_parts(first))
            truth = regime.accuracy
        else:
            low, high = interval(difference_parts(first.astype(np.float32) - second))
            truth = regime.difference
        held += int(((low <= truth) & (truth <= high)).sum())
    return held / simulations


def false_better(arms: int, columns: int, regime: Regime, reports: int, random: np.random.Generator) -> float:
    """Share of simulated reports, of equally good arms, that claim any difference.

    Holm's correction claims something exactly when the smallest p-value is below alpha over the number of comparisons.

    Args:
        arms: arms a column; every pair is compared.
        columns: independent columns of a report.
        regime: seeds, rows and spreads; with difference 0.
        reports: how many reports.
        random: source of numbers.
    Returns:
        share of reports with an adjusted p-value below .05.
    """
    arm, pairs = _arm(regime, regime.accuracy), list(itertools.combinations(range(arms), 2))
    at_once = max(1, _ANSWERS_AT_ONCE // (regime.seeds * regime.rows * columns * arms))
    false, left = 0, reports
    while left:
        count = min(at_once, left)
        left -= count
        shared = regime.row_spread * random.standard_normal((count * columns, 1, regime.rows), dtype=np.float32)
        answers = [_answers(arm, shared, regime.own_spread, regime.seeds, random) for _ in range(arms)]
        level = 0.05 / (len(pairs) * columns)
        found = [_is_claimed(answers[i].astype(np.int8) - answers[j].astype(np.int8), level) for i, j in pairs]
        false += int(np.any(found, axis=0).reshape(count, columns).any(axis=1).sum())
    return false / reports


def _is_claimed(differences: Any, alpha: float) -> Any:
    """Whether a report's test of differences [comparisons, seeds, rows] has p below alpha: McNemar's with one seed."""
    if differences.shape[-2] > 1:
        found = difference_parts(differences)
        return np.abs(found.mean) > half_width(found, level=1.0 - alpha)  # the same as p_value(found) < alpha, and fast
    only_first, only_second = (differences > 0).sum(axis=(-2, -1)), (differences < 0).sum(axis=(-2, -1))
    tables, place = np.unique(np.stack([only_first, only_second]), axis=1, return_inverse=True)
    return np.array([mcnemar(int(a), int(b)) < alpha for a, b in tables.T])[place]


def all_regimes(*, seeds: Sequence[int] = (1, 2, 3, 5, 10), rows: Sequence[int] = (80, 200, 2000)) -> list[Regime]:
    """Every situation that intervals are checked in: means first, then differences."""
    spreads = ((0.0, 0.0), (1.0, 0.5), (2.0, 0.3))
    means = [
        Regime(seeds=s, rows=n, accuracy=accuracy, row_spread=spread, seed_sd=sd)
        for s, n, accuracy, (spread, _), sd in itertools.product(
            seeds, rows, (0.6, 0.9, 0.97, 0.99), spreads, (0.003, 0.02)
        )
        if s > 1 or sd == 0.003
    ]
    differences = [
        Regime(seeds=s, rows=n, accuracy=accuracy, difference=difference, row_spread=spread, own_spread=own, seed_sd=sd)
        for s, n, (accuracy, difference), (spread, own), sd in itertools.product(
            seeds, rows, ((0.7, 0.0), (0.7, 0.05), (0.9, 0.0), (0.98, 0.01)), spreads, (0.003, 0.02)
        )
        if s > 1 or sd == 0.003
    ]
    return means + differences


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a regime: coverage, or with --false-better the share of reports with a false claim."""
    parser = argparse.ArgumentParser(description="Coverage of 95 % intervals, and false claims, in simulated regimes")
    parser.add_argument("--simulations", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 5, 10], help="seeds an arm")
    parser.add_argument("--rows", type=int, nargs="*", default=[80, 200, 2000], help="test rows")
    parser.add_argument("--seed", type=int, default=SEED, help="of the simulation")
    parser.add_argument("--false-better", action="store_true", help="reports of 5 equal arms in 3 columns instead")
    asked = parser.parse_args(arguments)
    regimes = all_regimes(seeds=asked.seeds, rows=asked.rows)
    if asked.false_better:
        regimes = [regime for regime in regimes if regime.difference == 0.0]
    outside = 0
    sys.stdout.write("seeds\trows\taccuracy\tdifference\trow_spread\tseed_sd\tfound\tinside\n")
    for number, regime in enumerate(regimes):
        random = np.random.default_rng([asked.seed, number])
        if asked.false_better:
            found = false_better(5, 3, regime, asked.simulations, random)
            inside = found <= 0.055
        else:
            found = coverage(regime, asked.simulations, random)
            inside = 0.935 <= found <= regime.most
        outside += not inside
        shown = "" if regime.difference is None else f"{regime.difference:g}"
        sys.stdout.write(
            f"{regime.seeds}\t{regime.rows}\t{regime.accuracy:g}\t{shown}\t{regime.row_spread:g}\t{regime.seed_sd:g}\t"
            f"{found:.4f}\t{'yes' if inside else 'NO'}\n"
        )
        sys.stdout.flush()
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
