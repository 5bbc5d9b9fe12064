"""Average precision of labels: full first, the top labels, and a histogram that counts every label."""

from __future__ import annotations

import pytest

from analysis.figures.material import Material, NothingToDraw
from analysis.figures.pr_auc import (
    Pair,
    pairs_of,
    plan_pr_auc,
    plan_pr_auc_differences,
    pr_auc_bars,
    pr_auc_differences,
)
from tests.analysis.figures.stores import assert_readable, texts_of
from tests.analysis.synthetic import grid_of

PAIR = Pair(
    where="bert",
    names=("full", "lora"),
    values=({f"label {i}": i / 20 for i in range(20)}, {f"label {i}": i / 25 for i in range(20)}),
)


def test_full_stands_before_lora(multi: Material) -> None:
    (pair,) = pairs_of(multi)
    assert pair.names == ("full", "lora")
    assert pair.values[0] == multi.label_means("average_precision_label", multi.found[0].cells)
    assert [picture.part for picture in plan_pr_auc(multi).pictures] == [
        "full-and-lora-bert-4-labels-400-rows-for-training"
    ]


def test_the_top_labels_side_by_side() -> None:
    axes = pr_auc_bars(PAIR)
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"label {i}" for i in range(19, 9, -1)]
    assert [bar.get_width() for bar in axes.patches[:2]] == pytest.approx([0.95, 0.9])
    assert [bar.get_width() for bar in axes.patches[10:12]] == pytest.approx([19 / 25, 18 / 25])
    assert "the 10 highest of 20 labels under full" in texts_of(axes)
    assert_readable(axes)


def test_the_histogram_counts_every_label() -> None:
    axes = pr_auc_differences(PAIR)
    assert sum(bar.get_height() for bar in axes.patches) == 20
    assert "0 of 20 labels are higher under lora" in texts_of(axes)
    assert axes.get_ylim()[0] == 0
    assert_readable(axes)


def test_one_strategy_has_no_pair() -> None:
    for plan in (plan_pr_auc, plan_pr_auc_differences):
        with pytest.raises(NothingToDraw, match="two strategies"):
            plan(Material(results=grid_of(models=("a",), labels=(2,))))
