"""Counts of a whole grid in one pass equal counting at every threshold by itself; quick for GoEmotions' size."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.evaluation.outcome import MULTI_LABEL, probabilities_of
from jobs.evaluation.sweep import sweep
from tests.jobs.evaluation.cases import Case, multi_cases


@settings(max_examples=150, deadline=None)
@given(multi_cases, st.booleans(), st.integers(0, 10_000))
def test_equals_counting_at_every_threshold(case: Case, on_grid: bool, seed: int) -> None:
    truth = case.labels.astype(bool)
    grid = np.linspace(0.1, 0.9, 9).round(10)
    said = probabilities_of(case.logits, MULTI_LABEL)
    if on_grid:  # probabilities that are exactly thresholds
        said = np.random.default_rng(seed).choice(grid, said.shape)
    found = sweep(said, truth, grid)
    assert found.support_C.tolist() == truth.sum(0).tolist()
    for index, threshold in enumerate(grid):
        predicted = said >= threshold
        assert found.said_CG[:, index].tolist() == predicted.sum(0).tolist()
        assert found.hits_CG[:, index].tolist() == (predicted & truth).sum(0).tolist()
        assert found.exact_G[index] == (predicted == truth).all(1).sum()


def test_f1_is_nan_where_a_label_stands_in_neither() -> None:
    found = sweep(np.array([[0.3, 0.8]]), np.array([[False, True]]), np.array([0.2, 0.5]))
    np.testing.assert_array_equal(found.f1_CG, [[0.0, np.nan], [1.0, 1.0]])
    np.testing.assert_array_equal(found.f1_macro_G, [0.5, 1.0])
    np.testing.assert_array_equal(found.f1_micro_G, [2 / 3, 1.0])
    np.testing.assert_array_equal(found.subset_accuracy_G, [0.0, 1.0])


def test_a_curve_says_none_where_nothing_is_defined() -> None:
    curve = sweep(np.array([[0.3]]), np.array([[False]]), np.array([0.2, 0.5])).curve()
    assert curve.thresholds == (0.2, 0.5)
    assert curve.f1_macro == curve.f1_micro == (0.0, None)
    assert curve.subset_accuracy == (0.0, 1.0)


def test_twenty_eight_labels_and_five_thousand_rows_take_no_time() -> None:
    rng = np.random.default_rng(0)
    said = rng.random((5000, 28))
    started = time.process_time()
    found = sweep(said, rng.random((5000, 28)) < 0.05, np.arange(1, 100) / 100)
    found.curve()
    assert time.process_time() - started < 0.5
