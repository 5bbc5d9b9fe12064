"""Tails of distributions by scipy.special: importing scipy.stats takes a sixth of a small report."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

_ROUNDING = 1e-7
"""Tables that differ in probability by less than this share count as equally likely, as in scipy's Fisher test."""


def student_t(upper: ArrayLike, freedom: ArrayLike) -> Any:
    """The value that Student's t exceeds with a probability.

    Args:
        upper: probability, 0 to 1.
        freedom: degrees of freedom, above 0.
    Returns:
        float64, of the shape that the arguments broadcast to.
    """
    return -special.stdtrit(freedom, upper)


def normal(upper: ArrayLike) -> Any:
    """The value that a standard normal variable exceeds with a probability."""
    return -special.ndtri(upper)


def f_below(value: float, over: float, under: float) -> float:
    """Probability that F with these degrees of freedom is at most a value."""
    return float(special.fdtr(over, under, value))


def binomial_half(successes: int, trials: int) -> tuple[float, float]:
    """Probability of at most, and of exactly, some successes of trials that succeed half the time."""
    exactly = np.exp(_log_choose(trials, successes) - trials * np.log(2.0))
    return float(special.bdtr(successes, trials, 0.5)), float(exactly)


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p of Fisher's exact test of two (right, wrong).

    Args:
        first: counts of one sample.
        second: of the other.
    Returns:
        the probability, given both margins, of a table that is at most as likely as this one.
    """
    rows, others, right = sum(first), sum(second), first[0] + second[0]
    possible = np.arange(max(0, right - others), min(rows, right) + 1)
    log_p = _log_choose(rows, possible) + _log_choose(others, right - possible) - _log_choose(rows + others, right)
    p = np.exp(log_p)
    seen = p[first[0] - possible[0]]
    return min(1.0, float(p[p <= seen * (1.0 + _ROUNDING)].sum()))


def _log_choose(n: ArrayLike, k: ArrayLike) -> Any:
    n, k = np.asarray(n, np.float64), np.asarray(k, np.float64)
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
