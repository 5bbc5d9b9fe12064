"""Metrics of order equal scikit-learn's, on ties and degenerate truths as well; rows that say nothing are left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as sk

from jobs.evaluation import ranking_metrics as ours
from jobs.evaluation import undefined as why
from jobs.evaluation.outcome import outcome_from_logits, outcome_from_probabilities
from tests.jobs.evaluation.cases import Case, multi_case, multi_cases, single_case, single_cases


@settings(max_examples=100, deadline=None)
@given(multi_cases)
def test_labels_equal_scikit_learn(case: Case) -> None:
    outcome = outcome_from_logits(case.logits, case.labels)
    areas, precisions = ours.roc_auc_label(outcome), ours.average_precision_label(outcome)
    for column in range(case.logits.shape[1]):
        truth, scores = case.labels[:, column], case.logits[:, column]
        if not truth.any():
            assert areas[column] == precisions[column] == why.NO_POSITIVE
            continue
        assert precisions[column] == pytest.approx(sk.average_precision_score(truth, scores), abs=1e-12)
        if truth.all():
            assert areas[column] == why.NO_NEGATIVE
        else:
            assert areas[column] == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-12)
    for found, mean, reason in (
        (areas, ours.roc_auc_macro(outcome), why.NO_TWO_CLASSES),
        (precisions, ours.average_precision_macro(outcome), why.NO_LABEL),
    ):
        numbers = [value for value in found if not isinstance(value, str)]
        assert mean == (pytest.approx(np.mean(numbers)) if numbers else reason)


@settings(max_examples=100, deadline=None)
@given(multi_cases)
def test_rows_equal_scikit_learn_over_rows_that_count(case: Case) -> None:
    outcome = outcome_from_logits(case.logits, case.labels)
    some = case.labels.any(1)
    both = some & ~case.labels.all(1)
    found = ours.label_ranking_average_precision(outcome), ours.coverage_error(outcome), ours.ranking_loss(outcome)
    if not some.any():
        assert found == (why.NO_LABEL, why.NO_LABEL, why.NO_PAIR)
    elif case.logits.shape[1] == 1:  # scikit-learn refuses one column
        assert found == (1.0, 1.0, why.NO_PAIR)
    else:
        truth, scores = case.labels, case.logits.astype(np.float64)
        assert found[0] == pytest.approx(sk.label_ranking_average_precision_score(truth[some], scores[some]), abs=1e-12)
        assert found[1] == pytest.approx(sk.coverage_error(truth[some], scores[some]), abs=1e-12)
        expected = sk.label_ranking_loss(truth[both], scores[both]) if both.any() else None
        assert found[2] == (why.NO_PAIR if expected is None else pytest.approx(expected, abs=1e-12))


@settings(max_examples=100, deadline=None)
@given(single_cases)
def test_single_label_rows_are_one_label_against_all_others(case: Case) -> None:
    outcome = outcome_from_logits(case.logits, case.labels)
    scores = outcome.scores_nC
    np.testing.assert_allclose(np.exp(scores), outcome.probabilities_nC, rtol=1e-9, atol=1e-300)
    for column, found in enumerate(ours.roc_auc_label(outcome)):
        truth = case.labels == column
        if truth.any() and not truth.all():
            assert found == pytest.approx(sk.roc_auc_score(truth, scores[:, column]), abs=1e-12)
        else:
            assert isinstance(found, str)


def test_macro_area_equals_scikit_learn_one_against_rest() -> None:
    case = single_case(200, 4, 3)
    outcome = outcome_from_logits(case.logits, case.labels)
    expected = sk.roc_auc_score(case.labels, outcome.probabilities_nC, multi_class="ovr", average="macro")
    assert ours.roc_auc_macro(outcome) == pytest.approx(expected)


def test_saturated_logits_keep_their_order() -> None:
    truth = np.array([[1], [0]], np.uint8)
    outcome = outcome_from_logits(np.array([[900.0], [800.0]]), truth)
    assert outcome.probabilities_nC.tolist() == [[1.0], [1.0]]
    assert ours.roc_auc_label(outcome) == [1.0]


def test_probabilities_alone_are_ranked_as_well() -> None:
    case = multi_case(60, 3, 5)
    by_logits = outcome_from_logits(case.logits, case.labels)
    by_probabilities = outcome_from_probabilities(by_logits.probabilities_nC, case.labels)
    assert ours.roc_auc_macro(by_logits) == pytest.approx(ours.roc_auc_macro(by_probabilities))
    assert ours.average_precision_macro(by_logits) == pytest.approx(ours.average_precision_macro(by_probabilities))
