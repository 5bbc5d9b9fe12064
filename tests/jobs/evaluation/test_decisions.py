"""What predict needs: fitted thresholds and calibrators come back from JSON and turn logits into the same labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jobs.evaluation.calibration import fit_label_temperatures, fit_temperature
from jobs.evaluation.decisions import Decisions
from jobs.evaluation.outcome import MULTI_LABEL, SINGLE_LABEL, probabilities_of
from jobs.evaluation.thresholds import fit_thresholds
from tests.jobs.evaluation.cases import multi_case, single_case

CASE = multi_case(200, 3, 4, truth="rare")


@pytest.fixture(scope="module")
def decisions() -> Decisions:
    said = probabilities_of(CASE.logits, MULTI_LABEL)
    return Decisions(
        task=MULTI_LABEL,
        label_names=tuple(CASE.names),
        thresholds=fit_thresholds(said, CASE.labels, label_names=CASE.names),
        calibrators=(
            fit_temperature(CASE.logits, CASE.labels),
            fit_label_temperatures(CASE.logits, CASE.labels),
        ),
    )


def test_comes_back_from_json(decisions: Decisions) -> None:
    text = json.dumps(decisions.to_json(), allow_nan=False)
    again = Decisions.from_json(json.loads(text))
    assert again == decisions
    for kind in ("default", "global", "label"):
        np.testing.assert_array_equal(
            again.decide(CASE.logits, thresholds=kind), decisions.decide(CASE.logits, thresholds=kind)
        )


def test_decides_at_each_kind_of_threshold(decisions: Decisions) -> None:
    said = probabilities_of(CASE.logits, MULTI_LABEL)
    fitted = decisions.thresholds
    assert fitted is not None
    np.testing.assert_array_equal(decisions.decide(CASE.logits), said >= 0.5)
    np.testing.assert_array_equal(decisions.decide(CASE.logits, thresholds="global"), said >= fitted.global_threshold)
    np.testing.assert_array_equal(decisions.decide(CASE.logits, thresholds="label"), said >= fitted.label_thresholds_C)


def test_probabilities_are_calibrated_when_asked_for(decisions: Decisions) -> None:
    np.testing.assert_array_equal(decisions.probabilities(CASE.logits), probabilities_of(CASE.logits, MULTI_LABEL))
    for fitted in decisions.calibrators:
        found = decisions.probabilities(CASE.logits, method=fitted.method)
        np.testing.assert_array_equal(found, fitted.apply(CASE.logits))


def test_what_was_not_fitted_is_named(decisions: Decisions) -> None:
    with pytest.raises(ValueError, match=r"isotonic.*fitted: temperature, label_temperatures"):
        decisions.probabilities(CASE.logits, method="isotonic")
    with pytest.raises(ValueError, match="default, global or label"):
        decisions.decide(CASE.logits, thresholds="tuned")
    single = Decisions(task=SINGLE_LABEL, label_names=("a", "b"))
    with pytest.raises(ValueError, match="no thresholds"):
        single.decide(single_case(3, 2, 0).logits, thresholds="label")


def test_another_version_is_refused(decisions: Decisions) -> None:
    with pytest.raises(ValueError, match="version 2"):
        Decisions.from_json({**decisions.to_json(), "version": 2})
    with pytest.raises(ValueError, match="unknown"):
        Decisions.from_json({**decisions.to_json(), "more": 1})
