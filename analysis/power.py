"""How large a difference would have been noticed, and how many more seeds or test rows would settle a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis.crossed import Parts
from analysis.tails import normal, student_t

POWER: Final = 0.8
MOST_SEEDS: Final = 200
MOST_ROWS_TIMES: Final = 1000
_WAYS: Final = 64


@dataclass(frozen=True, kw_only=True)
class Variances:
    """What a difference varies by, apart from how many seeds and rows there are."""

    seed: Any
    """Between seeds."""
    row: Any
    """Between test rows."""
    residual: Any
    """Of a single answer, when its seed and its row are taken out."""

    @staticmethod
    def of(found: Parts) -> Variances:
        """The variances that parts were estimated with."""
        return Variances(seed=found.seed_variance, row=found.row_variance, residual=found.residual)


def smallest_detectable(
    variances: Variances, seeds: Any, rows: Any, *, alpha: float = 0.05, power: float = POWER
) -> Any:
    """The smallest true difference that a comparison finds with the given probability.

    The half width h of the interval is random itself, because it is made from few seeds. To first order its mean and
    variance follow from those of the seed part, and the estimate must exceed it with the asked probability.

    Args:
        variances: of the difference.
        seeds: how many there are, or would be.
        rows: likewise.
        alpha: level of the test.
        power: probability of finding the difference.
    Returns:
        the difference, with the shape that its arguments broadcast to.
    """
    seeds, rows = np.asarray(seeds, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    seed_part = np.where(seeds > 1, variances.seed / seeds + variances.residual / (seeds * rows), 0.0)
    row_part = np.asarray(variances.row) / rows
    variance = np.maximum(seed_part + row_part, 1e-300)
    from_seeds = student_t(alpha / 2, np.maximum(seeds - 1, 1)) ** 2 * seed_part / variance
    from_rows = student_t(alpha / 2, np.maximum(rows - 1, 1)) ** 2 * row_part / variance
    squared = from_seeds + from_rows
    spread = from_seeds**2 * 2 / np.maximum(seeds - 1, 1) / (4 * squared)
    mean = np.sqrt(np.maximum(squared - spread, 0.0))
    return np.sqrt(variance) * (mean + normal(1.0 - power) * np.sqrt(1 + spread))


def seeds_to_detect(found: Parts, difference: float, *, alpha: float = 0.05) -> int | None:
    """How many seeds find a difference with 80 % probability on the same number of rows.

    Args:
        found: parts of the difference so far, from two seeds or more.
        difference: what is to be found.
        alpha: level of the test.
    Returns:
        seeds in all, at least 2; None when even MOST_SEEDS would not do: the test rows are too few.
    """
    candidates = np.arange(2, MOST_SEEDS + 1)
    enough = smallest_detectable(Variances.of(found), candidates, found.rows, alpha=alpha) <= abs(difference)
    return int(candidates[np.argmax(enough)]) if enough.any() else None


def rows_to_detect(found: Parts, difference: float, *, alpha: float = 0.05) -> int | None:
    """How many test rows find a difference with 80 % probability with the same number of seeds.

    Args:
        found: parts of the difference so far.
        difference: what is to be found.
        alpha: level of the test.
    Returns:
        rows in all; None when even MOST_ROWS_TIMES as many would not do: the seeds are too few.
    """
    low, high = 1, found.rows * MOST_ROWS_TIMES
    variances = Variances.of(found)

    def are_enough(rows: Any) -> Any:
        return smallest_detectable(variances, found.seeds, rows, alpha=alpha) <= abs(difference)

    if not are_enough(high):
        return None
    while high - low > 1:
        # Many numbers at once: a call costs about as much for one as for sixty.
        candidates = np.unique(np.linspace(low, high, _WAYS).round().astype(np.int64))
        first = int(np.argmax(are_enough(candidates[1:]))) + 1
        low, high = int(candidates[first - 1]), int(candidates[first])
    return high
