"""Thresholds: the fitted one of every label, and means of curves; single-label cells have none."""

from __future__ import annotations

import pytest

from analysis.figures.material import Material, NothingToDraw
from analysis.figures.thresholds import plan_best_thresholds, plan_threshold_curves, threshold_curves
from tests.analysis.figures.stores import LABELS, assert_readable


def test_curves_are_the_table(multi: Material) -> None:
    axes = threshold_curves(multi.results, multi.found[0].cells, title="bert, full")
    lines = {line.get_label(): line for line in axes.lines}
    micro = lines["f1 micro, test rows"]
    assert list(micro.get_ydata()) == pytest.approx([1 - t for t in micro.get_xdata()])
    assert lines["fitted threshold"].get_xdata()[0] == pytest.approx(0.3)
    assert len(lines) == 7
    assert_readable(axes)


def test_the_table_has_every_label_of_every_arm(multi: Material) -> None:
    (table,) = plan_best_thresholds(multi).tables
    rows = [row for row in table.rows if row[1] == "bert, full"]
    assert [row[2] for row in rows] == list(LABELS)
    assert [row[3] for row in rows] == pytest.approx([0.2, 0.3, 0.4, 0.2])
    assert rows[0][7] == "at the edge of the grid" and rows[1][7] == ""


def test_single_label_cells_have_none(single: Material) -> None:
    for plan in (plan_best_thresholds, plan_threshold_curves):
        with pytest.raises(NothingToDraw, match="only rows with several labels"):
            plan(single)
