"""Differences of estimates that share their test rows, and of those that share nothing."""

from __future__ import annotations

from pathlib import Path

from analysis.answers import combined, contrast
from tests.analysis.answers.skilled import analysed


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
