"""Tests of two models on the same rows, and corrections for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from analysis.tails import binomial_half

Correction = Literal["holm", "fdr_bh"]
EXACT_UP_TO: Final = 20
"""Seeds up to which all sign patterns are counted; beyond, a sample of them."""


def mcnemar(only_first: int, only_second: int, *, mid_p: bool = True) -> float:
    """Two-sided McNemar test: do two models differ in how often they are right on the same rows?

    Args:
        only_first: rows that only the first model got right.
        only_second: rows that only the second model got right.
        mid_p: count the observed table half (less conservative); False: the exact test.
    Returns:
        p between 0 and 1; 1 when the models disagree on no row.
    Source:
        Fagerland, Lydersen and Laake 2013 (BMC Medical Research Methodology 13:91).
    """
    disagreements = only_first + only_second
    fewer = min(only_first, only_second)
    at_most, exactly = binomial_half(fewer, disagreements)
    return min(1.0, 2.0 * at_most - (exactly if mid_p else 0.0))


def sign_flips(differences: Sequence[float], *, samples: int = 100_000, seed: int = 0) -> float:
    """Two-sided paired permutation test: how often does a random sign for each pair give as large a mean?

    With 5 pairs no result can reach p < .05 (2 of 32 patterns are always as extreme); with 6 one can.

    Args:
        differences: one number a pair.
        samples: patterns drawn when there are more than EXACT_UP_TO pairs that differ.
        seed: of the drawn patterns.
    Returns:
        p above 0; 1 when no pair differs.
    """
    values = np.asarray([value for value in differences if value != 0], dtype=np.float64)
    if not len(values):
        return 1.0
    reached = abs(values.sum()) * (1.0 - 1e-12)
    if len(values) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= reached))
    random, hits, left = np.random.default_rng(seed), 0, samples
    while left:
        count = min(left, max(1, 5_000_000 // len(values)))
        signs = random.integers(0, 2, size=(count, len(values)), dtype=np.int8) * 2 - 1
        hits += int((np.abs(signs @ values) >= reached).sum())
        left -= count
    return (hits + 1) / (samples + 1)


def adjusted(p_values: Sequence[float], correction: Correction) -> Any:
    """P-values adjusted for how many there are: `holm` (no false claim at all) or `fdr_bh` (few among the claims).

    Args:
        p_values: one a comparison.
        correction: holm (family-wise error) or fdr_bh (Benjamini-Hochberg, false discovery rate).
    Returns:
        array of the same length and order; bit for bit that of statsmodels, which takes a second to import.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order, count = np.argsort(values), len(values)
    found = np.empty(count)
    if correction == "holm":
        found[order] = np.maximum.accumulate(values[order] * np.arange(count, 0, -1))
    else:
        rising = values[order] / (np.arange(1, count + 1) / float(count))
        found[order] = np.minimum.accumulate(rising[::-1])[::-1]
    return np.minimum(found, 1.0)
