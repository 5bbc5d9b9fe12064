"""Effects of more rows and more labels, reversals, and the fall from the easiest to the hardest column."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.answers import axis_effects, drops
from analysis.arms import estimates
from tests.analysis.answer_sheets import results_of
from tests.analysis.answers.skilled import analysed
from tests.analysis.synthetic import grid_of


def test_more_rows_and_more_labels(tmp_path: Path) -> None:
    places = [(k, n) for k in (2, 4, 8) for n in (100, 200, 400)]
    skills = {("m", "lora", k, n): 0.9 - 0.1 * math.log2(k) + 0.05 * math.log2(n / 100) for k, n in places}
    found, _ = analysed(tmp_path, skills, rows=800)
    by_size, by_labels = axis_effects(found, "num_samples"), axis_effects(found, "num_labels")
    assert len(by_size) == len(by_labels) == 3
    for effect, truth in [(one, 0.1) for one in by_size] + [(one, -0.2) for one in by_labels]:
        assert effect.overall.is_paired
        assert effect.is_shown
        assert effect.overall.low is not None
        assert effect.overall.high is not None
        assert effect.overall.low - 0.01 < truth < effect.overall.high + 0.01
        assert effect.is_monotone == ("in one direction throughout" in effect.text)


def test_a_fall_that_noise_can_explain_is_named_as_such(tmp_path: Path) -> None:
    sheets = [({"num_samples": n}, np.arange(100) < right) for n, right in ((100, 80), (200, 79), (400, 95))]
    (effect,) = axis_effects(estimates(results_of(tmp_path, sheets)), "num_samples")
    assert effect.reversals == ((100, 200),)
    assert effect.shown_reversals == ()
    assert not effect.is_monotone
    assert "alone can explain" in effect.text


def test_a_fall_that_is_shown(tmp_path: Path) -> None:
    skills = dict(zip([("m", "lora", 2, n) for n in (100, 200)], (0.9, 0.6), strict=True))
    (effect,) = axis_effects(analysed(tmp_path, skills, rows=400, seeds=5)[0], "num_samples")
    assert effect.shown_reversals == ((100, 200),)


def test_the_drop_from_easiest_to_hardest(tmp_path: Path) -> None:
    skills = {("m", "lora", 2, 800): 0.95, ("m", "lora", 16, 800): 0.5, ("m", "lora", 4, 800): 0.8}
    (drop,) = drops(analysed(tmp_path, skills)[0])
    assert (drop.easiest["num_labels"], drop.hardest["num_labels"]) == (2, 16)
    assert drop.contrast.difference == pytest.approx(0.45, abs=0.08)
    assert drop.contrast.is_shown


def test_without_intervals_there_is_still_a_difference() -> None:
    found = estimates(grid_of(models=("m",), labels=(2,), samples=(800, 1600), seeds=(0,), baselines=()))
    (effect,) = axis_effects(found, "num_samples")
    assert (effect.overall.low, effect.overall.is_shown) == (None, False)
    assert np.isfinite(effect.overall.difference)


def test_what_is_shown_allows_for_how_many_are_looked_at(tmp_path: Path) -> None:
    """One arm's 95 % interval leaves out zero; among sixty arms, that is no evidence."""
    sheets = [
        ({"model": f"m{arm}", "num_samples": n}, np.arange(400) < 300 + 26 * (n == 200 and arm == 0))
        for arm in range(60)
        for n in (100, 200)
    ]
    first, *_ = axis_effects(estimates(results_of(tmp_path / "many", sheets)), "num_samples")
    (alone,) = axis_effects(estimates(results_of(tmp_path / "one", sheets[:2])), "num_samples")
    assert first.overall == alone.overall
    assert first.overall.is_shown
    assert alone.is_shown and first.is_shown
    weaker = [(changes, np.arange(400) < 300 + 7 * (changes["num_samples"] == 200)) for changes, _ in sheets]
    first, *_ = axis_effects(estimates(results_of(tmp_path / "weak", weaker)), "num_samples")
    assert first.overall.is_shown and not first.is_shown


def test_less_is_better_turns_the_effect(tmp_path: Path) -> None:
    found, _ = analysed(tmp_path, {("m", "lora", 2, n): share for n, share in ((100, 0.6), (200, 0.9))})
    turned = [replace(one, metric="hamming_loss") for one in found]
    assert [one.is_monotone for one in axis_effects(found, "num_samples")] == [True]
    assert [one.is_monotone for one in axis_effects(turned, "num_samples")] == [False]
    assert drops(turned)[0].easiest["num_samples"] == 100


def test_cells_that_failed_or_are_marked_are_told() -> None:
    changes = {("m", 2, 800, 0): {"state": "failed"}, ("m", 2, 1600): {"marks": ("fp32 instead of bf16",)}}
    found = estimates(grid_of(models=("m",), labels=(2,), samples=(800, 1600), baselines=(), changes=changes))
    (effect,) = axis_effects(found, "num_samples")
    assert effect.text.endswith("[of 4 cells 1 failed, 2 marked].")


def test_an_arm_with_one_score_everywhere_does_not_fall(tmp_path: Path) -> None:
    """Once it fell `by 0.0 points from 2 labels to 2 labels`."""
    right = np.arange(40) < 30
    sheets = [({"model": m, "num_samples": n}, right if m == "a" else right[::-1]) for m in "ab" for n in (100, 400)]
    sheets.append(({"model": "b", "num_samples": 800}, np.ones(40, bool)))
    assert [drop.arm["model"] for drop in drops(estimates(results_of(tmp_path, sheets)))] == ["b"]
