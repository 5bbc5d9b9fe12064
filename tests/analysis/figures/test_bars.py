"""Bars of metrics: widths are means, from zero, with the intervals of the estimates."""

from __future__ import annotations

from pathlib import Path

from analysis.figures.bars import MOST_ARMS, bars_of, metric_bars, plan_metric_bars
from analysis.figures.material import Material
from tests.analysis.figures.stores import assert_readable, store_of, texts_of


def test_bars_are_means_with_intervals(single: Material) -> None:
    found = bars_of(single, single.columns[-1])
    assert list(found) == ["accuracy", "f1_macro", "f1_weighted"]
    panels = metric_bars(found, title="all arms")
    for axes, each in zip(panels, found.values(), strict=True):
        assert [bar.get_width() for bar in axes.patches] == [one.mean for one in each]
        assert all(bar.get_x() == 0 for bar in axes.patches)
        assert axes.get_xlim() == (0.0, 1.0)
        assert [tuple(line.get_xdata()) for line in axes.lines] == [(one.low, one.high) for one in each]
    assert texts_of(panels[0]).count("bert, full") == 1
    assert_readable(panels[0])


def test_multi_label_cells_have_subset_accuracy(multi: Material) -> None:
    (picture,) = plan_metric_bars(multi).pictures
    panels = picture.draw()
    assert isinstance(panels, tuple)
    assert "subset accuracy (%)" in [axes.get_xlabel() for axes in panels]


def test_baselines_are_never_left_out_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    arms = {(f"model-{i:02}", "lora"): 0.5 for i in range(MOST_ARMS)} | {("", "tfidf"): 0.5}
    results = store_of(tmp_path, arms=arms, sizes=(100,), seeds=(0,), rows=20)
    (picture,) = plan_metric_bars(Material(results=results)).pictures
    panels = picture.draw()
    assert isinstance(panels, tuple)
    texts = texts_of(panels[0])
    assert "tfidf" in texts and "1 more models are not shown" in texts
    assert len(panels[0].patches) == MOST_ARMS
