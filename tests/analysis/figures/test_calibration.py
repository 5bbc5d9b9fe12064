"""Reliability: bars are shares of the bins, and the error over them is worked out by hand."""

from __future__ import annotations

import pytest

from analysis.figures.calibration import plan_reliability, reliability
from analysis.figures.material import Material, NothingToDraw
from analysis.loading import results_from
from tests.analysis.figures.stores import assert_readable


def test_bars_are_the_bins(single: Material) -> None:
    before, after = reliability(single.results, single.found[0].cells, title="bert, full")
    assert [(bar.get_x(), bar.get_height()) for bar in before.patches] == [(0.2, pytest.approx(0.1)), (0.6, 0.9)]
    # |0.3 - 0.1| and |0.7 - 0.9| in bins of equal size
    assert before.get_title(loc="left") == "before\nECE 20.0 %"
    assert after.get_title(loc="left").startswith("after temperature")
    assert before.get_ylim() == (0.0, 1.0)
    assert_readable(before)


def test_every_arm_has_a_picture_and_no_bins_have_a_reason(multi: Material) -> None:
    assert len(plan_reliability(multi).pictures) == 2
    with pytest.raises(NothingToDraw):
        reliability(results_from("g", [], []), ["x"])
