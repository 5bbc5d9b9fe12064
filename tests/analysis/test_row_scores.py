"""Numbers of single rows: their mean is the metric of scikit-learn, and each is the jackknife of brute force."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from analysis.row_scores import HIDDEN_ROWS, hidden_variance, row_scores
from jobs.evaluation.metrics import full_metrics

RANDOM = np.random.default_rng(3)
NAMES = ("f1_macro", "f1_micro", "f1_weighted", "precision_macro", "precision_micro", "precision_weighted")
NAMES += ("recall_macro", "recall_micro", "recall_weighted")


def single(rows: int = 60, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    truth = RANDOM.integers(0, labels, rows)
    return truth, np.where(RANDOM.random(rows) < 0.6, truth, RANDOM.integers(0, labels, rows))


def multi(rows: int = 60, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    truth = (RANDOM.random((rows, labels)) < 0.3).astype(np.uint8)
    return truth, np.where(RANDOM.random((rows, labels)) < 0.8, truth, 1 - truth).astype(np.uint8)


def by_sklearn(name: str, truth: np.ndarray, said: np.ndarray) -> float:
    kind, average = name.split("_")
    score: Callable[..., Any] = getattr(metrics, f"{kind}_score")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(score(truth, said, average=average, zero_division=0.0))


@pytest.mark.parametrize("draw", [single, multi])
@pytest.mark.parametrize("name", NAMES)
def test_the_mean_is_the_metric_and_each_row_its_jackknife(draw: Callable[[], Any], name: str) -> None:
    truth, said = draw()
    found = row_scores(name, truth, said)
    assert found is not None
    whole = by_sklearn(name, truth, said)
    assert found.mean() == pytest.approx(whole)
    rows = np.arange(len(truth))
    without = np.array([by_sklearn(name, truth[rows != row], said[rows != row]) for row in rows])
    np.testing.assert_allclose(found, whole + (len(truth) - 1) * (without.mean() - without), atol=1e-9)


@pytest.mark.parametrize("draw", [single, multi])
def test_the_mean_is_the_number_in_the_store(draw: Callable[..., Any]) -> None:
    """Also with a label that no row has and one that is never said."""
    truth, said = draw()
    if truth.ndim == 2:
        truth[:, 0], said[:, 0], said[:, 1] = 0, 0, 0
        logits = np.where(said, 1.0, -1.0).astype(np.float32)
    else:
        truth[truth == 0], said[said == 1] = 2, 3
        logits = np.eye(5, dtype=np.float32)[said]
    stored = full_metrics(logits, truth, split="test", label_names=[f"l{index}" for index in range(logits.shape[1])])
    names = {*NAMES, "accuracy", "balanced_accuracy", "subset_accuracy", "hamming_loss"}
    compared = 0
    for value in stored:
        if value.name in names:
            found = row_scores(value.name, truth, said)
            assert found is not None
            assert found.mean() == pytest.approx(value.value), value.name
            compared += 1
    assert compared == len(NAMES) + 2


def test_rights_and_wrongs_are_exact() -> None:
    truth, said = single()
    rights = row_scores("accuracy", truth, said)
    assert rights is not None and rights.dtype == np.bool_
    truth, said = multi()
    subset, hamming = row_scores("subset_accuracy", truth, said), row_scores("hamming_loss", truth, said)
    assert subset is not None and hamming is not None
    np.testing.assert_array_equal(subset, [list(a) == list(b) for a, b in zip(truth, said, strict=True)])
    assert hamming.mean() == pytest.approx(metrics.hamming_loss(truth, said))


def test_balanced_accuracy_of_even_classes_is_accuracy() -> None:
    truth = np.arange(80) % 4
    said = np.where(RANDOM.random(80) < 0.7, truth, 0)
    found = row_scores("balanced_accuracy", truth, said)
    assert found is not None
    assert found.mean() == pytest.approx((truth == said).mean())
    assert found.std() == pytest.approx((truth == said).std(), rel=0.15)


@pytest.mark.parametrize(
    ("name", "truth", "said"),
    [
        ("accuracy", np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)),
        ("accuracy", np.zeros((3, 2)), np.zeros((3, 2))),
        ("subset_accuracy", np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)),
        ("loss", np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)),
        ("f1_macro", np.zeros((3, 2)), np.zeros((3, 2))),
        ("f1_macro_at_label_thresholds", np.ones((3, 2)), np.ones((3, 2))),
    ],
)
def test_where_there_are_none(name: str, truth: np.ndarray, said: np.ndarray) -> None:
    assert row_scores(name, truth, said) is None


def test_labels_of_many_rows_hide_nothing_and_scores_that_weigh_rows_neither() -> None:
    truth, said = single(rows=4000)
    assert hidden_variance("f1_macro", truth, said) == pytest.approx(0.0, abs=1e-6)
    truth, said = multi(rows=20)
    truth[:, 0] = 0
    assert hidden_variance("f1_macro", truth, said) > 0
    assert {hidden_variance(name, truth, said) for name in ("f1_micro", "f1_weighted", "subset_accuracy")} == {0.0}
    assert hidden_variance("f1_macro", truth[:0], said[:0]) == 0.0


@pytest.mark.parametrize(("name", "slope"), [("f1_macro", 2.0), ("recall_macro", 1.0), ("balanced_accuracy", 1.0)])
def test_a_label_without_a_fault_hides_the_variance_of_its_share(name: str, slope: float) -> None:
    """Two labels of three rows each, all right: the jackknife sees nothing of either."""
    truth = np.array([0, 0, 0, 1, 1, 1])
    rows = 3 + 2 * HIDDEN_ROWS
    share = (3 + HIDDEN_ROWS) / rows
    steepness = slope / (1 + share) ** 2 if slope == 2.0 else 1.0
    expected = 2 * steepness**2 * share * (1 - share) / rows / 2**2
    assert hidden_variance(name, truth, truth) == pytest.approx(expected)


def test_what_the_jackknife_sees_is_not_counted_twice() -> None:
    """One label, of which half of many rows are right: its own variance is all there is."""
    truth, said = np.ones((40, 1), dtype=np.uint8), (np.arange(40)[:, None] % 2).astype(np.uint8)
    scores = row_scores("recall_macro", truth, said)
    assert scores is not None
    assert float(scores.var()) / 40 >= hidden_variance("recall_macro", truth, said)
    assert hidden_variance("recall_macro", truth, said) < 0.02 * 0.25 / 40
