"""Do two cells name the same tokens? Rank correlation and overlap of the largest values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

FEWEST_TOKENS = 3
"""With two tokens every rank correlation is 1 or -1."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two attributions of the same tokens to the same label."""

    num_tokens: int
    rank_correlation: float | None
    """Spearman's, of the signed values."""
    top_k: int
    top_k_overlap: float | None
    """Share of the k largest magnitudes that both have."""
    reason: str | None = None
    """Why a number is missing."""


def agreement(first: Sequence[float], second: Sequence[float], top_k: int) -> Agreement:
    """Compare two attributions.

    Args:
        first: values of one cell, without special tokens.
        second: of the other, token by token the same text.
        top_k: tokens that count as the most important; at most half of them, at least one.
    """
    ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
    count = len(ours)
    k = max(1, min(top_k, count // 2))
    if count < FEWEST_TOKENS:
        reason = f"the text has only {count} tokens of its own"
        return Agreement(num_tokens=count, rank_correlation=None, top_k=k, top_k_overlap=None, reason=reason)
    overlap = len(_largest(ours, k) & _largest(theirs, k)) / k
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        reason = "all values of one cell are equal"
        return Agreement(num_tokens=count, rank_correlation=None, top_k=k, top_k_overlap=overlap, reason=reason)
    correlation = float(spearmanr(ours, theirs).statistic)
    return Agreement(num_tokens=count, rank_correlation=correlation, top_k=k, top_k_overlap=overlap)


def _largest(values: np.ndarray, k: int) -> set[int]:
    """Places of the k largest magnitudes; of equal ones the first."""
    return set(np.argsort(-np.abs(values), kind="stable")[:k].tolist())
