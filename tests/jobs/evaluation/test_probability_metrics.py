"""Losses, Brier scores and calibration errors equal scikit-learn's and definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import expit, softmax
from sklearn import metrics as sk

from jobs.evaluation import probability_metrics as ours
from jobs.evaluation import undefined as why
from jobs.evaluation.outcome import outcome_from_logits, outcome_from_probabilities
from tests.jobs.evaluation.cases import Case, multi_case, multi_cases, single_case, single_cases


@settings(max_examples=100, deadline=None)
@given(single_cases)
def test_single_label_equals_scikit_learn(case: Case) -> None:
    outcome = outcome_from_logits(case.logits, case.labels)
    probabilities = softmax(case.logits.astype(np.float64), axis=1)
    columns = list(range(case.logits.shape[1]))
    expected = sk.brier_score_loss(case.labels, probabilities, labels=columns, scale_by_half=False)
    assert ours.brier(outcome) == pytest.approx(expected, abs=1e-12)
    if case.scores != "huge":  # scikit-learn clips probabilities: its loss ends at 36
        expected = sk.log_loss(case.labels, probabilities, labels=columns)
        assert ours.loss(outcome) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(multi_cases)
def test_multi_label_equals_scikit_learn(case: Case) -> None:
    outcome = outcome_from_logits(case.logits, case.labels)
    probabilities = expit(case.logits.astype(np.float64))
    each = [
        sk.brier_score_loss(case.labels[:, c], probabilities[:, c], labels=[0, 1], pos_label=1)
        for c in range(case.logits.shape[1])
    ]
    assert ours.brier_label(outcome) == pytest.approx(each, abs=1e-12)
    assert ours.brier_macro(outcome) == pytest.approx(np.mean(each), abs=1e-12)
    if case.scores != "huge":
        expected = sk.log_loss(case.labels.ravel(), probabilities.ravel(), labels=[0, 1])
        assert ours.loss(outcome) == pytest.approx(expected, rel=1e-9)


def test_huge_logits_have_the_loss_that_belongs_to_them() -> None:
    single = outcome_from_logits(np.array([[1e30, 0.0]], np.float32), np.array([1]))
    multi = outcome_from_logits(np.array([[1e30, -1e30]], np.float32), np.array([[0, 0]], np.uint8))
    assert ours.loss(single) == pytest.approx(1e30)
    assert ours.loss(multi) == pytest.approx(0.5e30)
    assert ours.brier(single) == 2.0
    assert ours.ece(single) == 1.0


def test_a_true_label_of_probability_0_has_an_infinite_loss() -> None:
    single = outcome_from_probabilities(np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([0, 1]))
    multi = outcome_from_probabilities(np.array([[0.0, 1.0]]), np.array([[0, 0]], np.uint8))
    sure = outcome_from_probabilities(np.array([[0.0, 1.0]]), np.array([[0, 1]], np.uint8))
    assert ours.loss(single) == ours.loss(multi) == why.INFINITE_LOSS
    assert ours.loss(sure) == 0.0


def test_perfect_probabilities_cost_nothing() -> None:
    case = single_case(20, 3, 0)
    outcome = outcome_from_probabilities(np.eye(3)[case.labels], case.labels)
    assert [ours.loss(outcome), ours.brier(outcome), ours.ece(outcome), ours.ece_macro(outcome)] == [0.0] * 4


def test_calibration_error_by_hand() -> None:
    # Four answers at 0.9, three right: 0.15 off. Four at 0.6, one right: 0.35 off.
    p = np.array([0.9] * 4 + [0.6] * 4)
    truth = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    outcome = outcome_from_probabilities(np.stack([p, 1 - p], axis=1), truth)
    assert ours.ece(outcome) == pytest.approx((0.15 + 0.35) / 2)
    multi = outcome_from_probabilities(p[:, None], (truth == 0).astype(np.uint8)[:, None])
    assert ours.ece_label(multi) == [ours.ece_macro(multi)] == [ours.ece_micro(multi)] == [pytest.approx(0.25)]


def test_calibration_error_of_a_label_is_not_that_of_its_decision() -> None:
    # Said 0.1, and a tenth of the rows has it: well calibrated, although each decision (not the label) is 0.9 right.
    truth = np.zeros((10, 1), np.uint8)
    truth[0] = 1
    outcome = outcome_from_probabilities(np.full((10, 1), 0.1), truth)
    assert ours.ece_label(outcome) == [pytest.approx(0.0)]


def test_macro_is_over_labels_and_micro_over_everything() -> None:
    case = multi_case(300, 4, 7, truth="rare")
    outcome = outcome_from_logits(case.logits, case.labels)
    assert ours.ece_macro(outcome) == pytest.approx(np.mean(ours.ece_label(outcome)))
    flat = outcome_from_logits(case.logits.reshape(-1, 1), case.labels.reshape(-1, 1))
    assert ours.ece_micro(outcome) == pytest.approx(ours.ece_label(flat)[0])
