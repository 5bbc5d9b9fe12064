"""A cell's numbers from end to end: fitted on validation alone, made on test, undefined where nothing was fitted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from jobs.errors import Diverged, UserError
from jobs.evaluation.evaluate import NO_VALIDATION, Evaluation, EvaluationSettings, SplitLogits, evaluate_cell
from jobs.evaluation.metrics import classification_metrics, full_metrics
from jobs.evaluation.outcome import MULTI_LABEL, probabilities_of
from jobs.evaluation.registry import CALIBRATED, FITTED, THRESHOLDED, metric_behind, names_for
from jobs.evaluation.thresholds import ThresholdGrid, ThresholdSettings, fit_thresholds
from jobs.evaluation.undefined import NO_ROWS
from jobs.spec import from_json, to_json
from tests.jobs.evaluation.cases import (
    MULTI_TRUTHS,
    SCORES,
    SINGLE_TRUTHS,
    Case,
    multi_case,
    single_case,
)


def split(case: Case) -> SplitLogits:
    return SplitLogits(logits_nC=case.logits, labels=case.labels)


def noisy_multi(rows: int, seed: int, *, scale: float = 3.0) -> Case:
    """Rows whose labels follow the sigmoid of a third of their logits: over-confident, and rare."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.5, 1.0, (rows, 4))
    labels = rng.random(logits.shape) < probabilities_of(logits, MULTI_LABEL)
    return Case((logits * scale).astype(np.float32), labels.astype(np.uint8), "noisy", "random")


def values(evaluation: Evaluation, split_: str = "test", label: str = "") -> dict[str, float | None]:
    return {m.name: m.value for m in evaluation.metrics if (m.split, m.label) == (split_, label)}


@pytest.fixture(scope="module")
def multi() -> tuple[Case, Case, Evaluation]:
    validation, test = noisy_multi(800, 1), noisy_multi(1000, 2)
    return validation, test, evaluate_cell(label_names=test.names, test=split(test), validation=split(validation))


def test_plain_metrics_stand_first_and_unchanged(multi: tuple[Case, Case, Evaluation]) -> None:
    validation, test, evaluation = multi
    plain = full_metrics(test.logits, test.labels, split="test", label_names=test.names)
    plain += classification_metrics(validation.logits, validation.labels, split="validation")
    assert list(evaluation.metrics[: len(plain)]) == plain


def test_decisions_at_fitted_thresholds_equal_scikit_learn(multi: tuple[Case, Case, Evaluation]) -> None:
    validation, test, evaluation = multi
    fitted = fit_thresholds(
        probabilities_of(validation.logits, MULTI_LABEL), validation.labels, label_names=validation.names
    )
    assert evaluation.decisions.thresholds == fitted
    said = probabilities_of(test.logits, MULTI_LABEL)
    for suffix, thresholds in (
        ("_at_global_threshold", fitted.global_threshold),
        ("_at_label_thresholds", fitted.label_thresholds_C),
    ):
        found = values(evaluation)
        assert found[f"f1_macro{suffix}"] == pytest.approx(
            sk.f1_score(test.labels, said >= thresholds, average="macro")
        )
        assert found[f"subset_accuracy{suffix}"] == pytest.approx(sk.accuracy_score(test.labels, said >= thresholds))
        assert {f"{name}{suffix}" for name in THRESHOLDED if not name.endswith("_label")} <= set(found)
    first = values(evaluation, label=test.names[0])
    assert first["f1_label_at_label_thresholds"] == pytest.approx(
        sk.f1_score(test.labels[:, 0], said[:, 0] >= fitted.label_thresholds_C[0])
    )
    assert values(evaluation, "validation")["best_global_threshold"] == fitted.global_threshold
    assert values(evaluation, "validation", test.names[0])["best_threshold"] == fitted.labels[0].threshold


def test_calibration_mends_over_confidence(multi: tuple[Case, Case, Evaluation]) -> None:
    _validation, _test, evaluation = multi
    found = values(evaluation)
    for method in ("temperature", "label_temperatures", "isotonic"):
        assert found[f"ece_macro_after_{method}"] < found["ece_macro"]
        assert found[f"brier_macro_after_{method}"] < found["brier_macro"]
    assert found["loss_after_temperature"] < found["loss"]
    assert 2.5 < values(evaluation, "validation")["temperature"] < 3.5
    assert evaluation.marks == evaluation.decisions.thresholds.marks()


def test_test_rows_change_nothing_that_is_fitted(multi: tuple[Case, Case, Evaluation]) -> None:
    validation, _test, evaluation = multi
    other = noisy_multi(50, 9, scale=-1.0)
    again = evaluate_cell(label_names=other.names, test=split(other), validation=split(validation))
    assert again.decisions == evaluation.decisions


def test_tables_hold_the_curve_and_the_diagrams(multi: tuple[Case, Case, Evaluation]) -> None:
    _validation, test, evaluation = multi
    assert [row["split"] for row in evaluation.sensitivity] == ["validation"] * 99 + ["test"] * 99
    said = probabilities_of(test.logits, MULTI_LABEL)
    row = evaluation.sensitivity[99 + 29]
    assert row["threshold"] == 0.3
    assert row["f1_micro"] == pytest.approx(sk.f1_score(test.labels, said >= 0.3, average="micro"))
    methods = {"none", "temperature", "label_temperatures", "isotonic"}
    assert {row["method"] for row in evaluation.reliability} == methods
    for method, name in (("none", "ece_macro"), ("isotonic", "ece_macro_after_isotonic")):
        errors = []
        for label in test.names:
            bins = [r for r in evaluation.reliability if (r["method"], r["label"]) == (method, label)]
            assert sum(r["rows"] for r in bins) == 1000
            errors.append(sum(r["rows"] * abs(r["share"] - r["confidence"]) for r in bins) / 1000)
        assert np.mean(errors) == pytest.approx(values(evaluation)[name])


def test_single_label_has_no_thresholds_and_keeps_its_decisions_under_a_temperature() -> None:
    validation, test = single_case(200, 3, 1), single_case(150, 3, 2)
    evaluation = evaluate_cell(label_names=test.names, test=split(test), validation=split(validation))
    found = values(evaluation)
    assert evaluation.decisions.thresholds is None
    assert evaluation.sensitivity == ()
    assert [fitted.method for fitted in evaluation.decisions.calibrators] == ["temperature", "isotonic"]
    assert found["accuracy_after_temperature"] == found["accuracy"]
    assert not any("threshold" in name or "label_temperatures" in name for name in found)
    assert sum(r["rows"] for r in evaluation.reliability if (r["method"], r["label"]) == ("none", "")) == 150


@pytest.mark.parametrize("validation", [None, "empty"])
@pytest.mark.parametrize("make", [single_case, multi_case])
def test_without_validation_rows_nothing_is_fitted_and_that_is_said(validation: str | None, make: object) -> None:
    test = make(20, 3, 1)
    empty = SplitLogits(logits_nC=test.logits[:0], labels=test.labels[:0])
    evaluation = evaluate_cell(
        label_names=test.names, test=split(test), validation=None if validation is None else empty
    )
    assert evaluation.decisions.thresholds is None
    assert evaluation.decisions.calibrators == ()
    fitted = [m for m in evaluation.metrics if m.name in FITTED or m.name not in names_for(evaluation.decisions.task)]
    assert fitted
    assert {m.undefined for m in fitted} == {NO_VALIDATION}
    assert {m.split for m in evaluation.metrics if m.name not in FITTED} == {"test"}


def test_without_test_rows_what_was_fitted_stands() -> None:
    validation = noisy_multi(100, 1)
    empty = SplitLogits(logits_nC=validation.logits[:0], labels=validation.labels[:0])
    evaluation = evaluate_cell(label_names=validation.names, test=empty, validation=split(validation))
    assert {m.undefined for m in evaluation.metrics if m.split == "test"} == {NO_ROWS}
    assert values(evaluation, "validation")["temperature"] is not None
    assert evaluation.reliability == ()


@settings(max_examples=80, deadline=None)
@given(
    st.booleans(), st.integers(1, 25), st.integers(1, 25), st.integers(0, 10_000), st.sampled_from(SCORES), st.data()
)
def test_degenerate_cells_have_a_number_or_a_reason_for_everything(
    is_multi: bool, rows: int, test_rows: int, seed: int, scores: str, data: st.DataObject
) -> None:
    truth = data.draw(st.sampled_from(MULTI_TRUTHS if is_multi else SINGLE_TRUTHS))
    make = multi_case if is_multi else single_case
    validation, test = make(rows, 3, seed, scores, truth), make(test_rows, 3, seed + 1, scores)
    evaluation = evaluate_cell(label_names=test.names, test=split(test), validation=split(validation))
    keys = [(m.split, m.name, m.label) for m in evaluation.metrics]
    assert len(set(keys)) == len(keys)
    for metric in evaluation.metrics:
        if metric.name in FITTED:
            assert metric.value is not None
            assert metric.split == "validation"
        elif metric.value is not None:
            behind = metric_behind(metric.name)
            assert behind.low - 1e-12 <= metric.value <= behind.high + 1e-12
        else:
            assert metric.undefined in metric_behind(metric.name).undefined_when
    assert from_json(type(evaluation.decisions), to_json(evaluation.decisions)) == evaluation.decisions


def test_settings_choose_what_is_fitted() -> None:
    validation, test = noisy_multi(100, 1), noisy_multi(100, 2)
    chosen = EvaluationSettings(thresholds=None, calibration=("isotonic",))
    evaluation = evaluate_cell(label_names=test.names, test=split(test), validation=split(validation), settings=chosen)
    suffixes = {m.name for m in evaluation.metrics} - set(names_for(MULTI_LABEL))
    assert suffixes == {f"{name}_after_isotonic" for name in CALIBRATED[MULTI_LABEL]}
    grid = EvaluationSettings(thresholds=ThresholdSettings(grid=ThresholdGrid(values=(0.25,)), objective="f1_micro"))
    found = evaluate_cell(label_names=test.names, test=split(test), validation=split(validation), settings=grid)
    assert values(found, "validation")["best_global_threshold"] == 0.25
    assert from_json(EvaluationSettings, to_json(grid)) == grid
    with pytest.raises(UserError, match="platt"):
        EvaluationSettings(calibration=("platt",))


@pytest.mark.parametrize("where", ["test", "validation"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_model_that_diverged_has_no_result(where: str, bad: float) -> None:
    parts = {"test": noisy_multi(10, 1), "validation": noisy_multi(10, 2)}
    parts[where].logits[3, 1] = bad
    with pytest.raises(Diverged, match=f"1 of 10 {where} rows"):
        evaluate_cell(label_names=parts["test"].names, test=split(parts["test"]), validation=split(parts["validation"]))
