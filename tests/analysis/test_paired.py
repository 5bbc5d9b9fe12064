"""McNemar, sign flips and corrections: against scipy, statsmodels and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from analysis.paired import Correction, adjusted, mcnemar, sign_flips


@pytest.mark.parametrize(("only_first", "only_second"), [(10, 3), (0, 5), (7, 7), (40, 61), (1, 0)])
def test_the_exact_test_is_that_of_statsmodels(only_first: int, only_second: int) -> None:
    expected = statsmodels_mcnemar([[5, only_first], [only_second, 9]], exact=True).pvalue
    assert mcnemar(only_first, only_second, mid_p=False) == pytest.approx(expected)


def test_mid_p_counts_the_observed_table_half() -> None:
    # Fagerland, Lydersen and Laake 2013, airway hyper-responsiveness before and after transplantation: 1 and 7 of 21.
    assert mcnemar(1, 7) == pytest.approx(0.039, abs=5e-4)
    assert mcnemar(1, 7, mid_p=False) == pytest.approx(0.070, abs=5e-4)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_a_symmetric_probability_below_the_exact_one(a: int, b: int) -> None:
    p = mcnemar(a, b)
    assert 0.0 < p <= mcnemar(a, b, mid_p=False) <= 1.0 or (p == 0.0 and a + b > 1000)
    assert p == mcnemar(b, a)


def test_models_that_never_disagree_do_not_differ() -> None:
    assert mcnemar(0, 0) == 1.0


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_sign_flips_count_every_pattern(values: list[int]) -> None:
    reached = abs(sum(values))
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    assert sign_flips(values) == pytest.approx(np.mean([total >= reached for total in sums]))


def test_sign_flips_agree_with_scipy_and_with_their_own_sample() -> None:
    random = np.random.default_rng(3)
    few, many = random.normal(0.4, 1, 10), random.normal(0.3, 1, 30)
    expected = stats.permutation_test(
        (few, np.zeros(10)), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    assert sign_flips(few) == pytest.approx(expected.pvalue)
    assert sign_flips(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.02)
    assert sign_flips(many) == sign_flips(many)


def test_five_pairs_cannot_reach_significance_and_six_can() -> None:
    assert sign_flips([1.0] * 5) == pytest.approx(0.0625)
    assert sign_flips([1.0] * 6) == pytest.approx(0.03125)
    assert sign_flips([0.0, 0.0]) == 1.0


def test_corrections_by_hand_and_by_scipy() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert list(adjusted(p_values, "holm")) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert list(adjusted(p_values, "fdr_bh")) == pytest.approx(list(stats.false_discovery_control(p_values)))
    assert len(adjusted([], "holm")) == 0


@pytest.mark.parametrize("count", [1, 2, 7, 400])
def test_corrections_are_bit_for_bit_those_of_statsmodels(count: int) -> None:
    """With ties, and with p-values at both ends."""
    p_values = np.round(np.random.default_rng(count).random(count), 2)
    p_values[:2] = [0.0, 1.0][: len(p_values[:2])]
    corrections: tuple[Correction, ...] = ("holm", "fdr_bh")
    for correction in corrections:
        np.testing.assert_array_equal(
            adjusted(p_values.tolist(), correction), multipletests(p_values, method=correction)[1]
        )
