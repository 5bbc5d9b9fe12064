"""Metrics of decisions equal scikit-learn's, with what is undefined left out instead of counted as 0."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from jobs.evaluation import decision_metrics as ours
from jobs.evaluation import undefined as why
from jobs.evaluation.outcome import Outcome, outcome_from_logits
from tests.jobs.evaluation.cases import Case, multi_case, multi_cases, single_case, single_cases


def sklearn_score(name: str, truth: Any, predicted: Any, **options: Any) -> Any:
    """A score of scikit-learn without its warnings about what we call undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (UndefinedMetricWarning, RuntimeWarning))
        return getattr(sk, f"{name}_score")(truth, predicted, **options)


def same(value: float | str, expected: float) -> bool:
    """Equal numbers, or undefined beside scikit-learn's NaN."""
    return np.isnan(expected) if isinstance(value, str) else value == pytest.approx(expected, abs=1e-12)


def outcome_of(case: Case) -> Outcome:
    return outcome_from_logits(case.logits, case.labels)


@settings(max_examples=50, deadline=None)
@given(single_cases)
def test_single_label_averages_equal_scikit_learn(case: Case) -> None:
    outcome = outcome_of(case)
    truth, predicted = case.labels, case.logits.argmax(1)
    present = np.unique(truth)
    assert same(ours.accuracy(outcome), sk.accuracy_score(truth, predicted))
    assert same(ours.recall_macro(outcome), sklearn_score("recall", truth, predicted, average="macro", labels=present))
    for name, function in (("f1", ours.f1_macro), ("precision", ours.precision_macro)):
        assert same(function(outcome), sklearn_score(name, truth, predicted, average="macro", zero_division=0.0))
    for name in ("f1", "precision", "recall"):
        for average in ("micro", "weighted"):
            expected = sklearn_score(name, truth, predicted, average=average, zero_division=0.0)
            assert same(getattr(ours, f"{name}_{average}")(outcome), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class in truth and prediction
        expected = sk.matthews_corrcoef(truth, predicted)
    found = ours.matthews(outcome)
    if len(np.unique(truth)) == 1 or len(np.unique(predicted)) == 1:
        assert found == why.CONSTANT
    else:
        assert same(found, expected)


@settings(max_examples=50, deadline=None)
@given(multi_cases)
def test_multi_label_averages_equal_scikit_learn(case: Case) -> None:
    outcome = outcome_of(case)
    truth, predicted = case.labels, (case.logits >= 0).astype(int)
    if case.logits.shape[1] == 1:  # scikit-learn takes one column for single-label
        return
    assert same(ours.accuracy(outcome), sk.accuracy_score(truth, predicted))
    assert same(ours.hamming_loss(outcome), sk.hamming_loss(truth, predicted))
    nan = {"zero_division": np.nan}
    for average in ("macro", "micro", "samples"):
        f1 = getattr(ours, f"f1_{average}")(outcome)
        recall = getattr(ours, f"recall_{average}")(outcome)
        assert same(f1, sklearn_score("f1", truth, predicted, average=average, **nan))
        assert same(recall, sklearn_score("recall", truth, predicted, average=average, **nan))
    assert same(ours.precision_micro(outcome), sklearn_score("precision", truth, predicted, average="micro", **nan))
    for name in ("f1", "precision", "recall"):
        expected = sklearn_score(name, truth, predicted, average="weighted", zero_division=0.0)
        assert same(getattr(ours, f"{name}_weighted")(outcome), expected if truth.any() else np.nan)
    present = np.flatnonzero(truth.any(0) | predicted.any(0))
    expected = (
        sklearn_score("precision", truth[:, present], predicted[:, present], average=None, zero_division=0.0)
        if len(present) > 1
        else [sklearn_score("precision", truth[:, c], predicted[:, c], zero_division=0.0) for c in present]
    )
    assert same(ours.precision_macro(outcome), float(np.mean(expected)) if len(present) else np.nan)
    counted = truth.any(1) | predicted.any(1)
    rows = [np.mean(truth[i, predicted[i] == 1]) if predicted[i].any() else 0.0 for i in np.flatnonzero(counted)]
    assert same(ours.precision_samples(outcome), float(np.mean(rows)) if rows else np.nan)


@settings(max_examples=50, deadline=None)
@given(multi_cases)
def test_every_label_by_itself_equals_scikit_learn(case: Case) -> None:
    outcome = outcome_of(case)
    predicted = (case.logits >= 0).astype(int)
    assert ours.support_label(outcome) == case.labels.sum(0).tolist()
    for column in range(case.logits.shape[1]):
        truth, said = case.labels[:, column], predicted[:, column]
        for name in ("precision", "recall", "f1"):
            found = getattr(ours, f"{name}_label")(outcome)[column]
            assert same(found, sklearn_score(name, truth, said, zero_division=np.nan))
        found = ours.matthews_label(outcome)[column]
        if len(np.unique(truth)) == 1 or len(np.unique(said)) == 1:
            assert found == why.CONSTANT
        else:
            assert same(found, sk.matthews_corrcoef(truth, said))


def test_reasons_name_what_is_missing() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 0]], np.uint8)
    outcome = outcome_from_logits(np.array([[-1.0, 1.0, -1.0]] * 2), truth)
    assert ours.precision_label(outcome) == [why.NEVER_SAID, 0.0, why.NEVER_SAID]
    assert ours.recall_label(outcome) == [0.0, why.NO_POSITIVE, why.NO_POSITIVE]
    assert ours.f1_label(outcome) == [0.0, 0.0, why.NEITHER]
    assert ours.f1_macro(outcome) == 0.0
    assert ours.support_label(outcome) == [2.0, 0.0, 0.0]


def test_nothing_true_and_nothing_said_is_undefined_everywhere() -> None:
    case = multi_case(5, 3, 0, truth="no_positives")
    outcome = outcome_from_logits(np.full_like(case.logits, -5), case.labels)
    for average in ("macro", "micro", "samples"):
        assert getattr(ours, f"f1_{average}")(outcome) == why.NOTHING_AT_ALL
        assert getattr(ours, f"recall_{average}")(outcome) == why.NO_LABEL
    assert ours.f1_weighted(outcome) == ours.precision_weighted(outcome) == why.NO_LABEL
    assert ours.precision_macro(outcome) == ours.precision_samples(outcome) == why.NOTHING_AT_ALL
    assert ours.precision_micro(outcome) == why.NOTHING_SAID
    assert ours.matthews_macro(outcome) == why.NO_LABEL_DEFINED
    assert ours.hamming_loss(outcome) == 0.0
    assert ours.accuracy(outcome) == 1.0


def test_perfect_decisions_are_perfect() -> None:
    single = outcome_of(single_case(50, 4, 1, scores="perfect"))
    multi = outcome_of(multi_case(50, 4, 1, scores="perfect"))
    for name in ("accuracy", "f1_macro", "f1_micro", "f1_weighted", "precision_macro", "recall_macro"):
        assert getattr(ours, name)(single) == getattr(ours, name)(multi) == 1.0
    assert ours.matthews(single) == ours.matthews_macro(multi) == 1.0
    assert ours.hamming_loss(multi) == 0.0
