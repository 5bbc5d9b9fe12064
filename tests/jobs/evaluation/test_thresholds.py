"""Thresholds equal a search with scikit-learn at every one; ties, edges and labels without positives are told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from jobs.errors import UserError
from jobs.evaluation.outcome import MULTI_LABEL, probabilities_of
from jobs.evaluation.sweep import OBJECTIVES
from jobs.evaluation.thresholds import (
    NEVER_HIT,
    NO_VALIDATION_POSITIVE,
    NOTHING_TO_FIT,
    FittedThresholds,
    ThresholdGrid,
    ThresholdSettings,
    _best,
    fit_thresholds,
)
from jobs.spec import from_json, to_json
from tests.jobs.evaluation.cases import Case, multi_case, multi_cases

GRID = ThresholdGrid(start=0.1, stop=0.9, step=0.1)


def fit(case: Case, objective: str = "f1_macro") -> FittedThresholds:
    said = probabilities_of(case.logits, MULTI_LABEL)
    settings_ = ThresholdSettings(grid=GRID, objective=objective)
    return fit_thresholds(said, case.labels, label_names=case.names, settings=settings_)


def f1(truth: np.ndarray, said: np.ndarray, **options: object) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # mean of nothing
        return float(sk.f1_score(truth, said, zero_division=np.nan, **options))


def objective_value(name: str, truth: np.ndarray, said: np.ndarray) -> float:
    """By scikit-learn; a single column is written as two-class rows."""
    if name == "subset_accuracy":
        return float((truth == said).all(1).mean())
    if truth.shape[1] == 1:
        return f1(truth[:, 0], said[:, 0])
    return f1(truth, said, average=name.removeprefix("f1_"))


def best_by_hand(values: list[float], grid: list[float]) -> float | None:
    """The rule of ties, written out: best value, nearest to 0.5, then the lower."""
    if not any(value > 0 for value in values):
        return None
    top = np.nanmax(values)
    tied = [t for value, t in zip(values, grid, strict=True) if value >= top - 1e-12]
    return min(tied, key=lambda t: (round(abs(t - 0.5), 12), t))


@settings(max_examples=30, deadline=None)
@given(multi_cases, st.sampled_from(OBJECTIVES))
def test_equals_a_search_with_scikit_learn(case: Case, objective: str) -> None:
    found = fit(case, objective)
    grid = GRID.points().tolist()
    said = [(probabilities_of(case.logits, MULTI_LABEL) >= t).astype(int) for t in grid]
    truth = case.labels.astype(int)
    for name in OBJECTIVES:
        values = [objective_value(name, truth, s) for s in said]
        curve = [np.nan if v is None else v for v in getattr(found.curve, name)]
        np.testing.assert_allclose(curve, values, atol=1e-12)
        if name == objective:
            expected = best_by_hand(values, grid)
            assert found.global_threshold == (0.5 if expected is None else expected)
            assert found.global_reason == (NOTHING_TO_FIT if expected is None else None)
            assert found.global_at_edge == (expected in (grid[0], grid[-1]))
            assert found.global_value == (None if expected is None else pytest.approx(np.nanmax(values)))
    for column, label in enumerate(found.labels):
        values = [f1(truth[:, column], s[:, column]) for s in said]
        expected = best_by_hand(values, grid) if truth[:, column].any() else None
        assert label.label == case.names[column]
        assert label.is_fitted == (expected is not None)
        assert label.threshold == (found.global_threshold if expected is None else expected)
        assert label.at_edge == (expected in (grid[0], grid[-1]))
        if expected is None:
            assert label.reason == (NEVER_HIT if truth[:, column].any() else NO_VALIDATION_POSITIVE)
        else:
            assert label.f1 == pytest.approx(np.nanmax(values))


def test_thresholds_of_labels_do_not_lose_against_the_one_for_all() -> None:
    case = multi_case(300, 5, 11, truth="rare")
    found = fit(case)
    said = probabilities_of(case.logits, MULTI_LABEL)
    for column, label in enumerate(found.labels):
        shared = f1(case.labels[:, column], said[:, column] >= found.global_threshold)
        assert label.f1 >= shared - 1e-12


@pytest.mark.parametrize(
    ("grid", "expected"),
    [((0.3, 0.6), 0.6), ((0.3, 0.7), 0.3), ((0.2, 0.5, 0.7), 0.5), ((0.3, 0.35), 0.35), ((0.9, 0.25, 0.75), 0.25)],
)
def test_ties_go_to_the_one_nearest_a_half_and_then_down(grid: tuple[float, ...], expected: float) -> None:
    said, truth = np.array([[0.95], [0.05]]), np.array([[1], [0]])
    settings_ = ThresholdSettings(grid=ThresholdGrid(values=grid))
    found = fit_thresholds(said, truth, label_names=["a"], settings=settings_)
    assert found.global_threshold == found.labels[0].threshold == expected


def test_values_that_differ_in_their_last_bits_are_ties() -> None:
    assert _best(np.array([0.7, 0.7 + 2e-16, 0.1]), np.array([0.5, 0.6, 0.7])) == 0


def test_an_edge_is_marked_and_a_grid_of_one_has_none() -> None:
    said, truth = np.array([[0.04], [0.01]]), np.array([[1], [0]])
    grid = ThresholdGrid(values=(0.03, 0.5, 0.9))
    found = fit_thresholds(said, truth, label_names=["a"], settings=ThresholdSettings(grid=grid))
    assert found.global_at_edge
    assert found.labels[0].at_edge
    assert found.marks() == (
        "threshold for all labels at the edge of its grid: 0.03",
        "thresholds at the edge of the grid for 1 of 1 labels",
    )
    upper = ThresholdSettings(grid=ThresholdGrid(values=(0.003, 0.005, 0.03)))
    assert fit_thresholds(said, truth, label_names=["a"], settings=upper).global_at_edge
    one = ThresholdSettings(grid=ThresholdGrid(values=(0.03,)))
    assert fit_thresholds(said, truth, label_names=["a"], settings=one).marks() == ()


def test_labels_that_cannot_be_fitted_get_the_threshold_for_all_and_say_why() -> None:
    said = np.array([[0.3, 0.9, 0.001], [0.1, 0.2, 0.002]])
    truth = np.array([[1, 0, 1], [0, 0, 0]])
    found = fit_thresholds(said, truth, label_names=["a", "b", "c"], settings=ThresholdSettings(grid=GRID))
    assert [label.reason for label in found.labels] == [None, NO_VALIDATION_POSITIVE, NEVER_HIT]
    assert [label.is_fitted for label in found.labels] == [True, False, False]
    assert {label.threshold for label in found.labels[1:]} == {found.global_threshold}
    assert "threshold for all labels used for 2 of 3 labels" in found.marks()


def test_without_any_positive_everything_stays_at_a_half() -> None:
    found = fit(multi_case(5, 3, 0, truth="no_positives"))
    assert found.label_thresholds_C.tolist() == [0.5] * 3
    assert found.global_value is None
    assert found.marks()[0] == f"threshold for all labels left at 0.5: {NOTHING_TO_FIT}"


def test_fits_go_through_json() -> None:
    for truth in ("random", "no_positives", "empty_label"):
        found = fit(multi_case(30, 3, 1, truth=truth))
        assert from_json(FittedThresholds, to_json(found)) == found


def test_a_grid_is_steps_or_a_list() -> None:
    assert len(ThresholdGrid().points()) == 99
    assert ThresholdGrid(start=0.05, stop=0.95, step=0.05).points().tolist() == [
        round(0.05 * i, 10) for i in range(1, 20)
    ]
    assert ThresholdGrid(start=0.5, stop=0.5).points().tolist() == [0.5]
    assert ThresholdGrid(values=(0.5, 0.1, 0.5)).points().tolist() == [0.1, 0.5]


@pytest.mark.parametrize(
    "grid",
    [
        ThresholdGrid(start=0.0),
        ThresholdGrid(stop=1.0),
        ThresholdGrid(start=0.6, stop=0.4),
        ThresholdGrid(step=0.0),
        ThresholdGrid(step=float("inf")),
        ThresholdGrid(step=1e-9),
        ThresholdGrid(start=float("nan")),
        ThresholdGrid(values=()),
        ThresholdGrid(values=(0.5, float("nan"))),
        ThresholdGrid(values=(0.5, 1.5)),
        ThresholdGrid(values=tuple(np.linspace(0.1, 0.9, 10_001).tolist())),
    ],
)
def test_a_grid_that_cannot_be_used_is_the_users(grid: ThresholdGrid) -> None:
    with pytest.raises(UserError, match="threshold"):
        grid.points()


def test_an_unknown_objective_is_the_users() -> None:
    with pytest.raises(UserError, match="f1_micro"):
        ThresholdSettings(objective="f1")


@pytest.mark.parametrize(
    ("said", "truth"),
    [
        (np.empty((0, 2)), np.empty((0, 2))),
        (np.array([[np.nan, 0.5]]), np.ones((1, 2))),
        (np.array([[0.5, 0.5]]), np.ones((2, 2))),
        (np.array([[0.5]]), np.ones((1, 1))),
    ],
)
def test_no_rows_nan_and_shapes_that_do_not_fit_are_refused(said: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"thresholds need|names"):
        fit_thresholds(said, truth, label_names=["a", "b"])
