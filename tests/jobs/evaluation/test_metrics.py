"""Metrics of a split: hand-made numbers, every declared reason, ranges, names; NaN gives no number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import Diverged
from jobs.evaluation import undefined as why
from jobs.evaluation.metrics import METRICS, classification_metrics, full_metrics
from jobs.evaluation.outcome import MULTI_LABEL, SINGLE_LABEL, task_of
from jobs.evaluation.registry import TRACKED, names_for
from jobs.spec import MetricValue
from tests.jobs.evaluation.cases import Case, multi_case, multi_cases, single_case, single_cases


def by_name(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    return {m.name: m.value for m in classification_metrics(logits, labels, split="test")}


def everything(case: Case) -> list[MetricValue]:
    return full_metrics(case.logits, case.labels, split="test", label_names=case.names)


def test_hand_made_case() -> None:
    logits = np.log(np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]], np.float32))
    found = by_name(logits, np.array([0, 1, 1, 1]))
    assert found["accuracy"] == pytest.approx(0.75)
    assert found["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert found["f1_weighted"] == pytest.approx((2 / 3 + 3 * 0.8) / 4)
    assert found["precision_weighted"] == pytest.approx((0.5 + 3 * 1.0) / 4)
    assert found["recall_weighted"] == pytest.approx(0.75)
    assert found["loss"] == pytest.approx(-np.log([0.7, 0.6, 0.1, 0.8]).mean(), rel=1e-6)


def test_hand_made_multi_label_case() -> None:
    logits = np.array([[2.0, -1.0], [0.0, 3.0], [-4.0, -4.0]], np.float32)
    found = by_name(logits, np.array([[1, 0], [0, 1], [0, 1]], np.uint8))
    assert found["subset_accuracy"] == pytest.approx(1 / 3)  # a logit of 0 is a probability of 0.5: said
    assert found["hamming_loss"] == pytest.approx(2 / 6)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found["f1_samples"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    losses = [np.log1p(np.exp(x)) for x in (-2, -1, 0, -3, -4, 4)]
    assert found["loss"] == pytest.approx(np.mean(losses))
    assert "accuracy" not in found


@pytest.mark.parametrize("labels", [np.empty(0, np.int64), np.empty((0, 3), np.uint8)])
def test_empty_split_is_undefined_with_a_reason(labels: np.ndarray) -> None:
    logits = np.empty((0, 3), np.float32)
    tracked = classification_metrics(logits, labels, split="test")
    full = full_metrics(logits, labels, split="test", label_names="abc")
    assert tuple(m.name for m in tracked) == TRACKED[task_of(labels)]
    assert {m.name for m in full} == set(names_for(task_of(labels)))
    assert {m.undefined for m in tracked + full} == {why.NO_ROWS}


def test_infinite_loss_is_undefined() -> None:
    logits = np.array([[0.0, -np.inf]], np.float32)
    loss = next(m for m in classification_metrics(logits, np.array([1]), split="test") if m.name == "loss")
    assert loss.value is None
    assert loss.undefined


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([[0, 1], [1, 1]], np.uint8)])
def test_logits_that_are_no_numbers_give_no_number(bad: float, labels: np.ndarray) -> None:
    logits = np.array([[1.0, 0.0], [bad, 0.0]], np.float32)
    values = classification_metrics(logits, labels, split="validation")
    assert {m.undefined for m in values} == {why.NOT_FINITE}
    with pytest.raises(Diverged, match=r"1 of 2 test rows .* row 1"):
        full_metrics(logits, labels, split="test", label_names="ab")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 10_000))
def test_single_label_is_always_defined(rows: int, classes: int, seed: int) -> None:
    case = single_case(rows, classes, seed)
    found = by_name(case.logits, case.labels)
    assert None not in found.values()
    predicted = case.logits.argmax(1)
    recalls = [(predicted[case.labels == c] == c).mean() for c in np.unique(case.labels)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["f1_micro"] == pytest.approx(found["accuracy"])


@settings(max_examples=100, deadline=None)
@given(single_cases | multi_cases)
def test_values_stay_in_their_range_and_reasons_are_declared(case: Case) -> None:
    task = task_of(case.labels)
    values = everything(case)
    keys = [(m.name, m.label) for m in values]
    assert len(set(keys)) == len(keys)
    assert {m.name for m in values} == set(names_for(task))
    for value in values:
        metric = METRICS[value.name]
        assert (value.label in case.names) if metric.per_label else value.label == ""
        if value.value is None:
            assert value.undefined in metric.undefined_when
        else:
            assert metric.low - 1e-12 <= value.value <= metric.high + 1e-12


@settings(max_examples=60, deadline=None)
@given(single_cases | multi_cases)
def test_tracked_values_are_those_of_the_full_set(case: Case) -> None:
    full = {m.name: m for m in everything(case)}
    for value in classification_metrics(case.logits, case.labels, split="test"):
        assert value == full[value.name]


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_every_declared_reason_can_happen(task: str) -> None:
    """A declared reason that never comes is a wrong declaration."""
    seen: set[tuple[str, str]] = set()
    make = single_case if task == SINGLE_LABEL else multi_case
    truths = ("random", "one_class") if task == SINGLE_LABEL else ("random", "no_positives", "all_positives")
    for truth in truths:
        for shift in (-30.0, 0.0, 30.0):
            case = make(6, 3, 4, truth=truth)
            logits = case.logits + np.float32(shift) * np.array([1, 1, 1] if task == MULTI_LABEL else [1, -1, 0])
            values = full_metrics(logits, case.labels, split="test", label_names=case.names)
            seen |= {(m.name, m.undefined) for m in values if m.undefined}
    # A single-label row has and gets a label; an infinite loss needs probabilities without logits.
    never = {why.NOTHING_AT_ALL, why.NOTHING_SAID, why.NO_LABEL, why.INFINITE_LOSS, why.NO_TWO_CLASSES}
    for name in names_for(task):
        for reason in METRICS[name].undefined_when:
            possible = reason != why.INFINITE_LOSS if task == MULTI_LABEL else reason not in never
            assert ((name, reason) in seen) or not possible, (name, reason)


def test_thresholds_move_the_decisions() -> None:
    case = multi_case(100, 4, 2)
    low = full_metrics(case.logits, case.labels, split="test", label_names=case.names, thresholds=0.01)
    each = full_metrics(case.logits, case.labels, split="test", label_names=case.names, thresholds=np.full(4, 0.01))
    assert low == each
    value = {m.name: m.value for m in low}
    assert value["recall_micro"] > {m.name: m.value for m in everything(case)}["recall_micro"]
