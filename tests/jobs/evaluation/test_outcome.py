"""Logits beside the truth: probabilities, decisions, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.evaluation.outcome import (
    MULTI_LABEL,
    SINGLE_LABEL,
    decide,
    outcome_from_logits,
    outcome_from_probabilities,
    probabilities_of,
    task_of,
    truth_of,
)


def test_the_shape_of_the_truth_is_the_task() -> None:
    assert task_of(np.array([0, 1])) == SINGLE_LABEL
    assert task_of(np.array([[0, 1]], np.uint8)) == MULTI_LABEL


def test_probabilities_are_float64_of_float32_logits() -> None:
    logits = np.array([[0.0, np.log(3.0)]], np.float32)
    np.testing.assert_allclose(probabilities_of(logits, SINGLE_LABEL), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(probabilities_of(logits, MULTI_LABEL), [[0.5, 0.75]], rtol=1e-6)
    assert probabilities_of(logits, MULTI_LABEL).dtype == np.float64
    assert probabilities_of(np.empty((0, 3), np.float32), SINGLE_LABEL).shape == (0, 3)


def test_a_label_is_said_at_its_threshold() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2]])
    assert decide(probabilities, MULTI_LABEL).tolist() == [[True, False, False]]
    assert decide(probabilities, MULTI_LABEL, 0.3).tolist() == [[True, True, False]]
    assert decide(probabilities, MULTI_LABEL, np.array([0.6, 0.4, 0.2])).tolist() == [[False, False, True]]


def test_single_label_says_the_first_of_equals_and_knows_no_threshold() -> None:
    assert decide(np.array([[0.4, 0.4, 0.2]]), SINGLE_LABEL, 0.9).tolist() == [[True, False, False]]


def test_huge_logits_are_told_apart_by_their_logits() -> None:
    outcome = outcome_from_logits(np.array([[1e30, 2e30, 0]], np.float32), np.array([1]))
    assert outcome.predicted_nC.tolist() == [[False, True, False]]
    assert outcome.probabilities_nC.tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("labels", "shape"),
    [
        (np.array([0, 3]), (2, 3)),
        (np.array([-1, 0]), (2, 3)),
        (np.array([0]), (2, 3)),
        (np.array([[0, 1]], np.uint8), (2, 2)),
        (np.array([[0, 2]], np.uint8), (1, 2)),
    ],
)
def test_truth_that_does_not_fit_is_refused(labels: np.ndarray, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"beside|0 or 1"):
        truth_of(labels, shape)


def test_counts_are_of_each_label() -> None:
    outcome = outcome_from_probabilities(np.array([[0.9, 0.9], [0.1, 0.9]]), np.array([[1, 0], [1, 1]], np.uint8))
    assert outcome.hits_C.tolist() == [1, 1]
    assert outcome.said_C.tolist() == [1, 2]
    assert outcome.support_C.tolist() == [2, 1]
