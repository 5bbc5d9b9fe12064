"""Bins of a reliability diagram against a loop over bins; ends of bins, empty bins, whole and broken numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from jobs.evaluation.outcome import outcome_from_probabilities
from jobs.evaluation.reliability import ECE_BINS, reliability, top_label_reliability


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.booleans(), st.integers(0, 10_000))
def test_equals_a_loop_over_bins(rows: int, bins: int, on_edges: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, 1, bins + 1)
    said = rng.choice(edges, rows) if on_edges else rng.random(rows)
    came_true = rng.random(rows) < said
    found = reliability(said, came_true, bins=bins)
    error = 0.0
    for index in range(bins):
        inside = (said > edges[index]) & (said <= edges[index + 1])
        if index == 0:
            inside |= said == 0
        assert found.rows_B[index] == inside.sum()
        if inside.any():
            assert found.confidence_B[index] == pytest.approx(said[inside].mean())
            assert found.share_B[index] == pytest.approx(came_true[inside].mean())
            error += inside.sum() / rows * abs(came_true[inside].mean() - said[inside].mean())
        else:
            assert np.isnan(found.confidence_B[index])
            assert np.isnan(found.share_B[index])
    assert found.error == pytest.approx(error, abs=1e-12)
    assert 0 <= found.error <= 1


def test_equals_scikit_learn_off_the_edges() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(500)
    came_true = rng.random(500) < said**2
    found = reliability(said, came_true, bins=10)
    share, confidence = calibration_curve(came_true, said, n_bins=10)
    np.testing.assert_allclose(found.share_B[found.rows_B > 0], share)
    np.testing.assert_allclose(found.confidence_B[found.rows_B > 0], confidence)


def test_most_probable_label_is_the_first_of_equals() -> None:
    outcome = outcome_from_probabilities(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    found = top_label_reliability(outcome)
    assert len(found.rows_B) == ECE_BINS
    assert found.rows_B.sum() == 2
    assert found.error == 0.0
