"""Heatmaps of differences: sign and interval of the comparison, hatching where nothing is shown, published numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.figures.differences import (
    Difference,
    difference_heatmap,
    plan_published_differences,
    plan_strategy_differences,
)
from analysis.figures.material import Material, NothingToDraw
from analysis.figures.tiles import diverging
from tests.analysis.answer_sheets import results_of
from tests.analysis.figures.stores import assert_readable, texts_of


def test_tiles_say_difference_and_interval() -> None:
    tiles = {
        ("bert", "2 labels"): Difference(value=0.05, low=0.01, high=0.09, is_shown=True),
        ("bert", "4 labels"): Difference(value=-0.02, low=-0.06, high=0.02, is_shown=False),
    }
    axes = difference_heatmap(tiles, rows=["bert"], columns=["2 labels", "4 labels", "8 labels"], title="a minus b")
    assert {"+5.0", "+1.0 to +9.0", "-2.0", "–"} <= set(texts_of(axes))
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [True]
    (mesh,) = axes.collections
    assert mesh.get_array().mask.tolist() == [[False, False, True]]
    assert_readable(axes)


def test_equal_distances_have_equal_strength() -> None:
    _, norm = diverging(np.array([[-3.0, 1.0, np.nan]]))
    assert (norm(0.0), norm(-3.0), norm(3.0)) == (0.5, 0.0, 1.0)


def test_strategies_are_compared_on_the_same_model(single: Material) -> None:
    pictures = plan_strategy_differences(single).pictures
    assert [picture.part for picture in pictures] == ["full-lora"]
    axes = pictures[0].draw()
    assert not isinstance(axes, tuple)
    (one, *_) = [c for c in single.compared if {c.first["strategy"], c.second["strategy"]} == {"full", "lora"}]
    assert one.difference is not None
    assert f"{100 * one.difference:+.1f}" in texts_of(axes)
    assert_readable(axes)


def test_ours_against_published(tmp_path: Path, single: Material) -> None:
    sheets = [
        (
            {"model": "bert-base-uncased", "strategy": "qlora", "protocol": "replay", "num_labels": 2, "seed": seed},
            np.arange(80) < 70,
        )
        for seed in (0, 1)
    ]
    (picture,) = plan_published_differences(Material(results=results_of(tmp_path, sheets))).pictures
    assert picture.part == "same-rows"
    axes = picture.draw()
    assert not isinstance(axes, tuple)
    assert "-6.2" in texts_of(axes) or "-6.3" in texts_of(axes)  # 70 of 80 against 93.75 %
    with pytest.raises(NothingToDraw, match="published cell"):
        plan_published_differences(single)
