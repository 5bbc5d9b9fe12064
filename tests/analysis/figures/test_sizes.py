"""Scores over rows for training: means and intervals as estimated, and grids too large for one picture."""

from __future__ import annotations

import pytest

from analysis.figures.material import Material, NothingToDraw
from analysis.figures.sizes import plan_size_curves, size_curves
from tests.analysis.figures.stores import assert_readable
from tests.analysis.synthetic import grid_of


def test_lines_and_bars_are_the_estimates(single: Material) -> None:
    (axes,) = size_curves(single.found)
    full = [one for one in single.found if one.arm["strategy"] == "full"]
    line = next(line for line in axes.lines if line.get_label() == "bert, full")
    assert list(line.get_ydata()) == [one.mean for one in full]
    ends = [tuple(each.get_ydata()) for each in axes.lines if each.get_alpha() is not None]
    assert (full[0].low, full[0].high) in ends
    assert [text.get_text() for text in axes.get_xticklabels()] == ["100", "400"]
    assert_readable(axes)


def test_one_size_is_no_curve(multi: Material) -> None:
    with pytest.raises(NothingToDraw, match="two numbers of rows"):
        plan_size_curves(multi)
    with pytest.raises(NothingToDraw):
        size_curves(multi.found)


def test_many_arms_are_several_pictures() -> None:
    results = grid_of(models=tuple(f"model-{i:02}" for i in range(30)), labels=(2,), baselines=())
    drawn = plan_size_curves(Material(results=results))
    assert [picture.part for picture in drawn.pictures] == ["", "2", "3"]
    panels = drawn.pictures[0].draw()
    assert isinstance(panels, tuple)
    assert_readable(panels[0])
