"""Temperatures minimise the loss (against scipy and scikit-learn), isotonic curves are scikit-learn's; all is JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from jobs.evaluation import calibration as ours
from jobs.evaluation.calibration import Calibrator, fit_isotonic, fit_label_temperatures, fit_temperature
from jobs.evaluation.outcome import MULTI_LABEL, SINGLE_LABEL, probabilities_of
from tests.jobs.evaluation.cases import Case, multi_cases, single_case, single_cases


class GivenLogits(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input, as scikit-learn wants one."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> GivenLogits:
        self.classes_ = np.unique(y)
        self.n_features_in_ = x.shape[1]
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classes_[x.argmax(1)]


def single_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def binary_loss(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    return float(np.logaddexp(0, np.where(truth, -1.0, 1.0) * logits.astype(np.float64) / temperature).mean())


def best_loss(loss: object) -> float:
    """The smallest loss over the range of temperatures, by another method: a fine grid, then golden sections."""
    logs = np.linspace(np.log(ours.LOWEST_TEMPERATURE), np.log(ours.HIGHEST_TEMPERATURE), 400)
    values = [loss(float(np.exp(x))) for x in logs]
    near = int(np.argmin(values))
    ends = logs[max(near - 1, 0)], logs[min(near + 1, len(logs) - 1)]
    found = minimize_scalar(lambda x: loss(float(np.exp(x))), bounds=ends, method="bounded")
    return min(float(found.fun), *values)


@settings(max_examples=60, deadline=None)
@given(single_cases)
def test_temperature_of_single_label_minimises_the_loss(case: Case) -> None:
    fitted = fit_temperature(case.logits, case.labels)
    (only,) = fitted.temperatures
    assert ours.LOWEST_TEMPERATURE <= only.temperature <= ours.HIGHEST_TEMPERATURE
    best = best_loss(lambda t: single_loss(case.logits, case.labels, t))
    assert single_loss(case.logits, case.labels, only.temperature) <= best * (1 + 1e-9) + 1e-12
    at_end = only.temperature in (ours.LOWEST_TEMPERATURE, ours.HIGHEST_TEMPERATURE)
    assert not at_end or only.reason in (ours.AT_LOWEST, ours.AT_HIGHEST)


@settings(max_examples=60, deadline=None)
@given(multi_cases)
def test_temperatures_of_multi_label_minimise_the_loss(case: Case) -> None:
    truth = case.labels.astype(bool)
    shared = fit_temperature(case.logits, case.labels).temperatures[0]
    found = binary_loss(case.logits, truth, shared.temperature)
    assert found <= best_loss(lambda t: binary_loss(case.logits, truth, t)) * (1 + 1e-9) + 1e-12
    for column, own in enumerate(fit_label_temperatures(case.logits, case.labels).temperatures):
        logits, said = case.logits[:, column], truth[:, column]
        if said.all() or not said.any():
            assert own == ours.Temperature(temperature=shared.temperature, reason=ours.ONE_CLASS_ONLY)
        else:
            best = best_loss(lambda t, x=logits, y=said: binary_loss(x, y, t))
            assert binary_loss(logits, said, own.temperature) <= best * (1 + 1e-9) + 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(30, 120), st.integers(3, 5), st.integers(0, 10_000))
def test_temperature_equals_scikit_learn(rows: int, classes: int, seed: int) -> None:
    case = single_case(rows, classes, seed)
    rng = np.random.default_rng(seed)
    logits = case.logits.astype(np.float64)
    logits[np.arange(rows), case.labels] += rng.normal(1.5, 1, rows)
    assume(np.bincount(case.labels, minlength=classes).min() >= 2)
    model = FrozenEstimator(GivenLogits().fit(logits, case.labels))
    theirs = CalibratedClassifierCV(model, method="temperature", cv=2).fit(logits, case.labels)
    fitted = fit_temperature(logits, case.labels)
    assume(fitted.temperatures[0].reason is None)  # their range of temperatures is wider
    np.testing.assert_allclose(fitted.apply(logits), theirs.predict_proba(logits), atol=2e-4)
    beta = theirs.calibrated_classifiers_[0].calibrators[0].beta_
    mine = single_loss(logits, case.labels, fitted.temperatures[0].temperature)
    assert mine <= single_loss(logits, case.labels, 1 / beta) + 1e-12


def test_a_known_temperature_is_found_again() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(40_000, 4))
    labels = (np.cumsum(probabilities_of(logits, SINGLE_LABEL), 1) > rng.random((40_000, 1))).argmax(1)
    assert fit_temperature(logits * 2.5, labels).temperatures[0].temperature == pytest.approx(2.5, rel=0.05)
    truth = (rng.random(logits.shape) < probabilities_of(logits, MULTI_LABEL)).astype(np.uint8)
    scale = np.array([0.5, 1.0, 2.0, 4.0])
    found = fit_label_temperatures(logits * scale, truth)
    assert [fit.temperature for fit in found.temperatures] == pytest.approx(scale, rel=0.08)
    np.testing.assert_allclose(found.scaled(logits * scale), logits, rtol=0.08)


@settings(max_examples=60, deadline=None)
@given(single_cases | multi_cases)
def test_isotonic_equals_scikit_learn(case: Case) -> None:
    multi = case.labels.ndim == 2
    probabilities = probabilities_of(case.logits, MULTI_LABEL if multi else SINGLE_LABEL)
    truth = case.labels.astype(bool) if multi else np.eye(case.logits.shape[1], dtype=bool)[case.labels]
    expected = probabilities.copy()
    fitted = fit_isotonic(case.logits, case.labels)
    for column, curve in enumerate(fitted.curves):
        if truth[:, column].all() or not truth[:, column].any():
            assert curve == ours.IsotonicCurve(reason=ours.ONE_CLASS_ONLY)
            continue
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        expected[:, column] = model.fit(probabilities[:, column], truth[:, column]).predict(probabilities[:, column])
    if not multi:
        total = expected.sum(1, keepdims=True)
        expected = np.where(total > 0, expected / np.where(total > 0, total, 1), 1 / expected.shape[1])
    found = fitted.apply(case.logits)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found >= 0).all()
    assert (found <= 1).all()
    if not multi:
        np.testing.assert_allclose(found.sum(1), 1)


def test_isotonic_of_many_classes_equals_scikit_learns_calibration() -> None:
    case = single_case(300, 4, 5)
    probabilities = probabilities_of(case.logits, SINGLE_LABEL)
    model = FrozenEstimator(GivenLogits().fit(probabilities, case.labels))
    theirs = CalibratedClassifierCV(model, method="isotonic").fit(probabilities, case.labels)
    np.testing.assert_allclose(
        fit_isotonic(case.logits, case.labels).apply(case.logits), theirs.predict_proba(probabilities), atol=1e-12
    )


def test_isotonic_is_level_outside_of_what_it_saw() -> None:
    logits = np.array([[-1.0], [0.0], [1.0], [2.0]])
    fitted = fit_isotonic(logits, np.array([[0], [1], [0], [1]], np.uint8))
    np.testing.assert_allclose(fitted.apply(np.array([[-9.0], [0.5], [9.0]])), [[0.0], [0.5], [1.0]])


def test_a_row_that_every_class_refuses_is_equally_likely_for_all() -> None:
    curve = ours.IsotonicCurve(said=(0.6, 0.9), observed=(0.0, 1.0))
    fitted = Calibrator(method="isotonic", task=SINGLE_LABEL, rows=4, curves=(curve, curve))
    assert fitted.apply(np.array([[0.0, 0.0], [9.0, 0.0]])).tolist() == [[0.5, 0.5], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("logits", "labels", "temperature", "reason"),
    [
        ([[2.0, 0.0], [0.0, 1.0]], [0, 1], ours.LOWEST_TEMPERATURE, ours.AT_LOWEST),
        ([[2.0, 0.0], [0.0, 1.0]], [1, 0], ours.HIGHEST_TEMPERATURE, ours.AT_HIGHEST),
        ([[3.0, 3.0], [-1.0, -1.0]], [0, 1], 1.0, ours.FLAT),
        ([[1e30, 0.0], [0.0, 1e30]], [0, 1], 1.0, ours.SATURATED),
        ([[1e30, 0.0], [0.0, 1e30]], [1, 0], ours.HIGHEST_TEMPERATURE, ours.AT_HIGHEST),
    ],
)
def test_fits_that_are_not_ordinary_say_so(
    logits: list[list[float]], labels: list[int], temperature: float, reason: str
) -> None:
    fitted = fit_temperature(np.array(logits, np.float32), np.array(labels))
    assert fitted.temperatures == (ours.Temperature(temperature=temperature, reason=reason),)
    assert fitted.marks() == (f"temperature: {reason}",)
    assert np.isfinite(fitted.apply(np.array(logits, np.float32))).all()


def test_zero_logits_of_multi_label_rows_are_flat() -> None:
    fitted = fit_label_temperatures(np.zeros((4, 2)), np.array([[0, 1], [1, 1], [0, 1], [1, 1]], np.uint8))
    assert [fit.reason for fit in fitted.temperatures] == [ours.FLAT, ours.ONE_CLASS_ONLY]
    assert fitted.marks()[0].startswith("label temperatures for 2 of 2 labels: ")


def test_an_ordinary_fit_has_no_marks_and_keeps_the_order_of_labels() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(400, 3))
    truth = (rng.random(logits.shape) < probabilities_of(logits, MULTI_LABEL)).astype(np.uint8)
    for fit in (fit_temperature, fit_label_temperatures, fit_isotonic):
        fitted = fit(logits * 2, truth)
        assert fitted.rows == 400
        assert fitted.marks() == ()
    single = fit_temperature(logits * 2, logits.argmax(1) * (rng.random(400) < 0.7))
    assert single.marks() == ()
    assert single.apply(logits).argmax(1).tolist() == logits.argmax(1).tolist()


@settings(max_examples=40, deadline=None)
@given(single_cases | multi_cases)
def test_parameters_go_through_json_and_give_the_same_probabilities(case: Case) -> None:
    methods = [fit_temperature, fit_isotonic] + ([fit_label_temperatures] if case.labels.ndim == 2 else [])
    for fit in methods:
        fitted = fit(case.logits, case.labels)
        again = Calibrator.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
        assert again == fitted
        np.testing.assert_array_equal(again.apply(case.logits), fitted.apply(case.logits))


@pytest.mark.parametrize("logits", [np.empty((0, 2)), np.array([[np.nan, 0.0]]), np.array([[np.inf, 0.0]])])
def test_no_rows_and_logits_that_are_no_numbers_are_refused(logits: np.ndarray) -> None:
    labels = np.zeros(logits.shape, np.uint8)
    for fit in (fit_temperature, fit_label_temperatures, fit_isotonic):
        with pytest.raises(ValueError, match="finite"):
            fit(logits, labels)


def test_single_label_rows_have_no_temperature_a_label() -> None:
    with pytest.raises(ValueError, match="multi-label"):
        fit_label_temperatures(np.zeros((2, 2)), np.array([0, 1]))
