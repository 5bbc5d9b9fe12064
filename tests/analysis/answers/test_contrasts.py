"""Differences of estimates that share their test rows, and of those that share nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.answers import combined, contrast
from analysis.arms import estimates
from analysis.comparing import compare
from analysis.loading import results_from
from tests.analysis.answer_sheets import Sheet, results_of
from tests.analysis.answers.skilled import analysed
from tests.analysis.synthetic import number


def test_estimates_that_share_nothing_are_combined(tmp_path: Path) -> None:
    (one,), _ = analysed(tmp_path / "one", {("m", "lora", 2, 800): 0.8})
    (other,), _ = analysed(tmp_path / "other", {("m", "lora", 4, 800): 0.6}, rows=100)
    change = contrast(one, other)
    assert change == combined(one, other)
    assert change is not None
    assert not change.is_paired
    assert change.low is not None
    assert change.high is not None
    assert change.low < change.difference < change.high
    widths = [(e.high or 0) - (e.low or 0) for e in (one, other)]
    assert max(widths) < change.high - change.low <= sum(widths)


def test_a_step_and_a_comparison_of_the_same_answers_have_one_interval(tmp_path: Path) -> None:
    """With one seed, macro averages have variance that their rows do not show; steps over rows need it as well."""
    rows = np.arange(60)
    sheets: list[Sheet] = [({"model": model}, rows < right) for model, right in (("a", 50), ("b", 60))]
    stored = results_of(tmp_path, sheets)
    scores = [number(cell, 0.5, name="f1_macro") for cell in stored.cells.to_dict("records")]
    found = estimates(
        results_from("g", stored.cells.to_dict("records"), scores, folders=stored.folders), metric="f1_macro"
    )
    assert any(one.answers is not None and sum(one.answers.hidden) > 0 for one in found)
    (compared,) = compare(found)
    change = contrast(found[1], found[0])
    assert change is not None and change.is_paired
    assert (change.low, change.high) == (pytest.approx(compared.low), pytest.approx(compared.high))
