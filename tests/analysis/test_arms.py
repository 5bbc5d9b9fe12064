"""Means with intervals for every arm and column; nothing failed, missing or marked disappears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis.arms import Covers, Estimate, Point, columns_of, estimates, estimates_frame
from analysis.crossed import share_interval, share_parts
from analysis.loading import results_from
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.figures.stores import store_of
from tests.analysis.synthetic import cell_row, grid_of, number

SKILLS = {("m", "lora", 2, 800): 0.8, ("m", "lora", 4, 800): 0.6, ("m", "tfidf", 2, 800): 0.7}


def only(found: tuple[Estimate, ...]) -> Estimate:
    assert len(found) == 1
    return found[0]


def test_means_and_intervals_are_those_of_the_answers(tmp_path: Path) -> None:
    found = estimates(results_of(tmp_path, sheets_of(SKILLS)))
    assert [(one.arm["strategy"], one.column["num_labels"]) for one in found] == [
        ("lora", 2),
        ("lora", 4),
        ("tfidf", 2),
    ]
    for one in found:
        assert one.answers is not None
        low, high = share_interval(share_parts(one.answers.scores))
        assert (one.mean, one.low, one.high) == pytest.approx((one.answers.scores.mean(), low, high))
        assert (one.seeds, one.rows, one.covers) == ((0, 1, 2), 200, Covers.SEEDS_AND_ROWS)


def test_one_seed_covers_rows_only(tmp_path: Path) -> None:
    one = only(estimates(results_of(tmp_path, [({}, np.arange(100) < 80)])))
    assert one.covers is Covers.ROWS
    assert one.sd is None


def test_every_cell_is_counted(tmp_path: Path) -> None:
    others = [
        cell_row(seed=3, state="failed", kind="bug"),
        cell_row(seed=4, state="pending"),
        cell_row(seed=5),
        cell_row(seed=6, retired=True),
    ]
    sheets = [({"seed": 0, "marks": ("fp32",)}, np.arange(50) < 40), ({"seed": 1}, np.arange(50) < 42)]
    one = only(estimates(results_of(tmp_path, sheets, others)))
    assert (one.declared, one.failed, one.not_run, one.undefined, one.marked) == (5, 1, 1, 1, 1)
    assert one.seeds == (0, 1)


def test_without_predictions_the_interval_says_that_it_is_over_seeds() -> None:
    found = estimates(grid_of(models=("m",), labels=(2,), samples=(800,), seeds=(0, 1, 2), baselines=()))
    one = only(found)
    assert one.covers is Covers.SEEDS
    assert one.mean is not None
    assert one.sd is not None
    assert one.high == pytest.approx(one.mean + stats.t.isf(0.025, 2) * one.sd / 3**0.5)


def test_what_has_no_number_has_a_reason() -> None:
    small: dict[str, Any] = {"models": ("m",), "labels": (2,), "samples": (800,), "seeds": (0,), "baselines": ()}
    one = only(estimates(grid_of(**small, changes={("m",): {"state": "failed"}})))
    assert (one.mean, one.low, one.covers) == (None, None, Covers.NOTHING)
    assert one.reason
    single = only(estimates(grid_of(**small)))
    assert single.mean is not None
    assert (single.low, single.half_width) == (None, None)
    assert "one seed" in single.reason


def test_other_metrics_come_from_the_store(tmp_path: Path) -> None:
    results = results_of(tmp_path, sheets_of({("m", "lora", 2, 800): 0.8}))
    assert only(estimates(results, metric="f1_macro")).mean is None


def test_the_frame_shows_axes_interval_and_counts(tmp_path: Path) -> None:
    frame = estimates_frame(estimates(results_of(tmp_path, sheets_of(SKILLS))))
    assert {"model", "strategy", "num_labels", "mean", "low", "high", "covers", "failed", "marked"} <= set(
        frame.columns
    )
    assert len(frame) == 3


def test_columns_ascend() -> None:
    found = estimates(grid_of(labels=(16, 2), samples=(800, 100)))
    order = [(column["num_labels"], column["num_samples"]) for column in columns_of(found)]
    assert order == [(2, 100), (2, 800), (16, 100), (16, 800)]


def test_points_are_named_in_words() -> None:
    point = Point(axes=("num_labels", "num_samples", "r"), values=(4, None, 8))
    assert point.title == "4 labels, r=8"
    assert point.without("r").title == "4 labels"
    assert point["no such axis"] is None
    assert point.without("num_labels", "r").title == "all"


def test_the_short_names_of_the_package() -> None:
    assert analysis.estimates is estimates
    assert sorted(analysis.__all__) == analysis.__all__
    assert all(callable(getattr(analysis, name)) for name in analysis.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        _ = analysis.no_such


def test_intervals_of_shares_stay_between_0_and_1() -> None:
    from analysis.arms import _from_numbers

    wide = _from_numbers([0.05, 0.9], 0.95, "f1_macro")
    assert (wide["low"], wide["high"]) == (0.0, 1.0)
    assert _from_numbers([0.05, 0.9], 0.95, "loss")["low"] < 0


def test_a_perfect_score_is_not_above_one(tmp_path: Path) -> None:
    """Numbers of single rows are kept in 32 bits: their mean was 1.00000003, above its interval."""
    names = [f"label-{index}" for index in range(5)]
    results = store_of(tmp_path, arms={("a", "lora"): 1.0}, labels=names, sizes=(100,), rows=6)
    scores = [number(cell, 1.0, name="f1_macro") for cell in results.cells.to_dict("records")]
    stored = results_from("g", results.cells.to_dict("records"), scores, folders=results.folders)
    one = only(estimates(stored, metric="f1_macro"))
    assert one.mean == 1.0 == one.high
