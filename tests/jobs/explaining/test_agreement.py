"""Rank correlation and overlap against independent computations, and where they do not exist."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata

from jobs.explaining.agreement import agreement


def test_numbers_equal_independent_ones() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=12), rng.normal(size=12).round(1)  # with ties
    found = agreement(first.tolist(), second.tolist(), top_k=4)
    assert found.rank_correlation == pytest.approx(pearsonr(rankdata(first), rankdata(second)).statistic)
    largest = [set(sorted(range(12), key=lambda i, v=values: (-abs(v[i]), i))[:4]) for values in (first, second)]
    assert found.top_k_overlap == len(largest[0] & largest[1]) / 4
    assert found.num_tokens == 12 and found.top_k == 4 and found.reason is None


def test_signs_count_for_ranks_and_not_for_the_largest() -> None:
    values = [0.9, -0.5, 0.1, 0.0, 0.2, -0.3]
    found = agreement(values, [-value for value in values], top_k=2)
    assert found.rank_correlation == pytest.approx(-1.0) and found.top_k_overlap == 1.0


def test_more_than_half_of_the_tokens_cannot_be_the_largest() -> None:
    """Of four tokens, the four largest would agree whatever the values are."""
    assert agreement([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], top_k=5).top_k == 2
    assert agreement([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], top_k=5).top_k_overlap == 0.0


def test_what_is_undefined_says_why() -> None:
    short = agreement([1.0, 2.0], [2.0, 1.0], top_k=5)
    assert short.rank_correlation is None and short.top_k_overlap is None
    assert short.reason == "the text has only 2 tokens of its own"
    flat = agreement([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], top_k=1)
    assert flat.rank_correlation is None and flat.reason == "all values of one cell are equal"
