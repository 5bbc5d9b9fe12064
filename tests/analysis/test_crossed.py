"""Parts of variance, intervals and p-values over seeds and rows: against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.crossed import (
    FEW_SEEDS,
    difference_parts,
    half_width,
    interval,
    p_value,
    parts,
    share_interval,
    share_parts,
    stacked,
    with_hidden,
)

RANDOM = np.random.default_rng(7)


def table(seeds: int, rows: int, share: float = 0.8) -> np.ndarray:
    difficulty = RANDOM.standard_normal((1, rows))
    return (difficulty + RANDOM.standard_normal((seeds, rows)) < stats.norm.ppf(share) * np.sqrt(2)).astype(float)


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance() -> None:
    import pandas as pd
    import statsmodels.api as sm
    from statsmodels.formula.api import ols

    scores = RANDOM.standard_normal((4, 12)) + RANDOM.standard_normal((4, 1)) + RANDOM.standard_normal((1, 12))
    frame = pd.DataFrame([{"seed": s, "row": r, "score": scores[s, r]} for s in range(4) for r in range(12)])
    found = sm.stats.anova_lm(ols("score ~ C(seed) + C(row)", frame).fit())
    squares = found["sum_sq"] / found["df"]
    split = parts(scores)
    assert split.mean == pytest.approx(scores.mean())
    assert split.residual == pytest.approx(squares["Residual"])
    assert split.seed_part == pytest.approx(squares["C(seed)"] / 48)
    assert split.row_part == pytest.approx(max(squares["C(row)"] - squares["Residual"], 0) / 48)


def test_the_estimated_variance_of_the_mean_is_unbiased() -> None:
    seed_sd, row_sd, noise = 0.3, 0.7, 1.0
    shape = (20_000, 3, 15)
    scores = (
        seed_sd * RANDOM.standard_normal((shape[0], 3, 1))
        + row_sd * RANDOM.standard_normal((shape[0], 1, 15))
        + noise * RANDOM.standard_normal(shape)
    )
    split = parts(scores)
    truth = seed_sd**2 / 3 + row_sd**2 / 15 + noise**2 / 45
    assert split.mean.var() == pytest.approx(truth, rel=0.04)
    # The row part is cut at 0, which lifts the mean a little.
    assert truth * 0.98 < split.variance.mean() < truth * 1.05


def test_without_differences_between_rows_the_interval_is_the_t_interval_of_the_seeds() -> None:
    seeds = np.array([0.2, 0.5, 0.9, 0.4])
    scores = np.repeat(seeds[:, None], 50, axis=1)
    low, high = stats.t.interval(0.95, 3, loc=seeds.mean(), scale=stats.sem(seeds))
    assert interval(parts(scores)) == (pytest.approx(low), pytest.approx(high))
    assert p_value(parts(scores), null=0.1) == pytest.approx(stats.ttest_1samp(seeds, 0.1).pvalue)


def test_with_one_seed_and_no_imagined_rows_it_is_the_t_interval_of_the_rows() -> None:
    rows = RANDOM.standard_normal(30)
    split = parts(rows[None, :])
    low, high = stats.t.interval(0.9, 29, loc=rows.mean(), scale=stats.sem(rows))
    assert interval(split, level=0.9) == (pytest.approx(low), pytest.approx(high))
    assert p_value(split) == pytest.approx(stats.ttest_1samp(rows, 0).pvalue)


def test_with_one_seed_shares_are_close_to_agresti_and_coull() -> None:
    for right, rows in ((70, 80), (150, 200), (1900, 2000)):
        low, high = share_interval(share_parts(np.arange(rows)[None] < right))
        expected = proportion_confint(right, rows, method="agresti_coull")
        assert low == pytest.approx(expected[0], abs=0.006)
        assert high == pytest.approx(expected[1], abs=0.006)


def test_many_seeds_that_agree_are_no_more_than_one_seed() -> None:
    """Copies of one answer sheet say as little about other rows as the sheet itself."""
    sheet = np.arange(200) < 170
    one, many = (share_interval(share_parts(np.tile(sheet, (seeds, 1)))) for seeds in (1, 10))
    assert many[1] - many[0] == pytest.approx(one[1] - one[0], rel=0.05)


def test_p_value_and_interval_agree() -> None:
    for seeds in (1, 2, 3, 8):
        split = difference_parts(table(seeds, 100, 0.8) - table(seeds, 100, 0.7))
        p = float(p_value(split))
        low, high = interval(split, level=1 - p)
        assert min(abs(low), abs(high)) == pytest.approx(0.0, abs=1e-6)


def test_batches_give_what_single_tables_give() -> None:
    tables = np.stack([table(3, 40), table(3, 40), table(3, 40)])
    many, one_by_one = share_parts(tables), stacked([share_parts(each) for each in tables])
    for name in ("mean", "seed_part", "row_part", "residual"):
        np.testing.assert_allclose(getattr(many, name), getattr(one_by_one, name))


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_right_and_all_wrong_leave_room_for_the_unseen(seeds: int, value: float) -> None:
    low, high = share_interval(share_parts(np.full((seeds, 80), value)))
    assert (high == 1.0) if value else (low == 0.0)
    assert 0.01 < high - low < 0.08
    split = difference_parts(np.zeros((seeds, 80)))
    assert p_value(split) == 1.0
    assert 0.0 < half_width(split) < 0.05


def test_one_row_says_nothing() -> None:
    low, high = share_interval(share_parts(np.ones((3, 1))))
    assert (low, high) == (0.0, 1.0)
    assert p_value(difference_parts(np.ones((3, 1)))) == 1.0


@pytest.mark.parametrize("scores", [np.zeros((0, 5)), np.zeros((5, 0)), np.zeros(5), [[np.nan, 1.0]]])
def test_nothing_to_split_is_refused(scores: object) -> None:
    with pytest.raises(ValueError, match="scores"):
        parts(scores)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 30))),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_share_intervals_hold_the_mean_and_lie_in_the_unit_interval(rights: np.ndarray, level: float) -> None:
    split = share_parts(rights)
    low, high = share_interval(split, level=level)
    assert 0.0 <= low <= rights.mean() + 1e-12
    assert rights.mean() - 1e-12 <= high <= 1.0
    assert high > low
    wrong_low, wrong_high = share_interval(share_parts(~rights), level=level)
    assert (1 - wrong_high, 1 - wrong_low) == (pytest.approx(low), pytest.approx(high))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 6), st.integers(2, 30)), elements=st.integers(-1, 1)))
def test_p_values_are_probabilities_and_symmetric(differences: np.ndarray) -> None:
    p = float(p_value(difference_parts(differences)))
    assert 0.0 <= p <= 1.0
    assert p == pytest.approx(float(p_value(difference_parts(-differences))))


def test_few_seeds_means_three() -> None:
    assert FEW_SEEDS == 3


def test_hidden_variance_widens_one_seed_alone() -> None:
    one, three = share_parts(table(1, 100)), share_parts(table(3, 100))
    assert with_hidden(three, 0.01) == three
    wider = with_hidden(one, [0.01])
    assert wider.variance == pytest.approx(one.variance + 0.01)
    low, high = share_interval(wider)
    before = share_interval(one)
    assert low < before[0] < before[1] < high


@pytest.mark.parametrize(("seeds", "rows"), [(5, 2), (10, 3), (20, 10)])
def test_p_agrees_with_the_interval_where_rows_are_fewer_than_seeds(seeds: int, rows: int) -> None:
    """At the level p the interval ends at 0, whichever of the two quantiles is the larger one."""
    random = np.random.default_rng(seeds)
    for _ in range(20):
        found = difference_parts(random.choice([-1, 0, 1, 1], size=(seeds, rows)))
        p = float(p_value(found))
        if 0.0 < p < 1.0:
            assert float(half_width(found, level=1.0 - p)) == pytest.approx(abs(float(found.mean)), rel=1e-4)
