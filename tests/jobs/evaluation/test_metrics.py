"""Metrics against hand-made numbers and definitions; degenerate inputs are undefined or bounded, never invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.evaluation.metrics import METRICS, classification_metrics


def by_name(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    return {m.name: m.value for m in classification_metrics(logits, labels, split="test")}


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


def test_empty_split_is_undefined_with_a_reason() -> None:
    values = classification_metrics(np.empty((0, 3), np.float32), np.empty(0, np.int64), split="test")
    assert {m.name for m in values} == set(METRICS)
    assert all(m.value is None and m.undefined for m in values)


def test_infinite_loss_is_undefined() -> None:
    logits = np.array([[0.0, -np.inf]], np.float32)
    loss = next(m for m in classification_metrics(logits, np.array([1]), split="test") if m.name == "loss")
    assert loss.value is None
    assert loss.undefined


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 10_000))
def test_values_stay_in_their_range(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).astype(np.float32)
    labels = rng.integers(0, classes, rows)
    found = by_name(logits, labels)
    for name, value in found.items():
        assert value is not None
        assert METRICS[name].low <= value <= METRICS[name].high
    predicted = logits.argmax(1)
    recalls = [(predicted[labels == c] == c).mean() for c in np.unique(labels)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["f1_micro"] == pytest.approx(found["accuracy"])
