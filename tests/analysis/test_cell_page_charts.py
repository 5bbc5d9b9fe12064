"""Charts of cell pages: points where the numbers say, round ticks, one figure of reliability a method."""

from __future__ import annotations

import math
import re

import pytest

from analysis.cell_page_charts import _Scale, curve_charts, reliability_charts
from analysis.figures.evidence import Bin

CURVES = {
    "step": [10, 20, 10, 20, 10],
    "split": ["train", "train", "validation", "validation", "validation"],
    "metric": ["loss", "loss", "accuracy", "accuracy", "loss"],
    "value": [2.0, 1.0, 0.5, 1.0, math.nan],
}


def test_points_stand_where_the_numbers_say() -> None:
    loss, accuracy = map(str, curve_charts(CURVES, best_step=20.0))
    assert ">loss<" in loss and ">accuracy (%)<" in accuracy
    assert '"M144.0 80.0 L248.0 24.0"' in accuracy  # halves and the upper right corner of 260 x 170
    assert loss.count("stroke-dasharray") >= 2 and 'd="M248.0 24V136"' in loss
    assert "nan" not in loss


def test_one_step_of_zero_is_drawn() -> None:
    (chart,) = curve_charts({"step": [0], "split": ["train"], "metric": ["loss"], "value": [0.0]}, None)
    assert "<svg" in chart and "nan" not in str(chart) and "inf" not in str(chart)


def test_hostile_metrics_are_texts() -> None:
    (chart,) = curve_charts({"step": [1], "split": ["<b>"], "metric": ["<script>"], "value": [1e300]}, None)
    assert "<script>" not in chart and "&lt;script&gt;" in chart and "<b>" not in chart


@pytest.mark.parametrize(
    ("high", "ticks"), [(1.0, [0, 0.5, 1.0]), (320.0, [0, 100, 200, 300]), (0.07, [0, 0.02, 0.04, 0.06])]
)
def test_ticks_are_round(high: float, ticks: list[float]) -> None:
    assert _Scale(low=0.0, high=high, start=0, end=100).ticks == pytest.approx(ticks)


def test_bars_of_reliability() -> None:
    bins = [
        Bin(low=0.0, high=0.5, rows=10, confidence=0.3, share=0.1),
        Bin(low=0.5, high=1.0, rows=30, confidence=0.8, share=0.9),
    ]
    before, after = map(str, reliability_charts({"none": bins, "isotonic": bins[:1]}))
    assert ">before<" in before and "ECE 12.5 %" in before and "after isotonic regression" in after
    (path,) = re.findall(r'<path d="([^"]*)" fill="#56b4e9"', before)
    assert path.count("z") == 2
