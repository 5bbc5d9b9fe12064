"""Answers in words: best arms, effects, crossovers with a known truth, rows needed, gains over a baseline."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from analysis.answers import (
    axis_effects,
    best_arms,
    bought,
    combined,
    contrast,
    crossovers,
    drops,
    rows_needed,
)
from analysis.arms import Estimate, estimates
from analysis.comparing import Comparison, compare
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.synthetic import grid_of

SIZES = (100, 200, 400, 800, 1600)


def analysed(
    folder: Path, skills: dict[tuple[str, str, int, int], float], **settings: int
) -> tuple[tuple[Estimate, ...], tuple[Comparison, ...]]:
    found = estimates(results_of(folder, sheets_of(skills, **settings)))  # type: ignore[arg-type]
    return found, compare(found)


def learning(strategy: str, start: float, slope: float) -> dict[tuple[str, str, int, int], float]:
    """Accuracy that grows by a slope with every doubling of the rows."""
    return {("m", strategy, 4, size): start + slope * math.log2(size / 100) for size in SIZES}


def test_the_best_arm_and_those_it_cannot_be_told_from(tmp_path: Path) -> None:
    skills = {("a", "lora", 2, 800): 0.9, ("b", "lora", 2, 800): 0.9, ("c", "lora", 2, 800): 0.5}
    (answer,) = best_arms(*analysed(tmp_path, skills, seeds=5, rows=400))
    assert answer.best["model"] in "ab"
    assert [arm["model"] for arm in answer.rivals] == [{"a": "b", "b": "a"}[answer.best["model"]]]
    assert [arm["model"] for arm in answer.worse] == ["c"]
    assert "cannot be told from" in answer.text
    assert "2 labels" in answer.text


def test_an_arm_without_predictions_stays_in_the_set_that_cannot_be_told_apart() -> None:
    found = estimates(grid_of(models=("a", "b"), labels=(2,), samples=(800,), baselines=()))
    (answer,) = best_arms(found, compare(found))
    assert len(answer.rivals) == 1


def test_a_lone_arm_and_a_column_without_scores(tmp_path: Path) -> None:
    (answer,) = best_arms(*analysed(tmp_path, {("a", "lora", 2, 800): 0.9}))
    assert answer.text.endswith("nothing else has a score.")
    failed = estimates(grid_of(labels=(2,), samples=(800,), changes={("bert-base-uncased",): {"state": "failed"}}))
    assert best_arms([one for one in failed if one.mean is None], ()) == ()


def test_more_rows_and_more_labels(tmp_path: Path) -> None:
    places = [(k, n) for k in (2, 4) for n in (100, 400)]
    skills = {("m", "lora", k, n): 0.9 - 0.1 * math.log2(k) + 0.05 * math.log2(n / 100) for k, n in places}
    found, _ = analysed(tmp_path, skills, rows=800)
    by_size, by_labels = axis_effects(found, "num_samples"), axis_effects(found, "num_labels")
    assert len(by_size) == len(by_labels) == 2
    for effect, truth in [(one, 0.1) for one in by_size] + [(one, -0.1) for one in by_labels]:
        assert effect.is_monotone
        assert effect.overall.is_paired
        assert effect.overall.low is not None
        assert effect.overall.high is not None
        assert effect.overall.low < truth < effect.overall.high
        assert "in one direction throughout" in effect.text


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


def test_a_known_crossover_is_found(tmp_path: Path) -> None:
    """full starts 12 points lower and gains 6 points more with each doubling: they meet at 400 rows."""
    skills = learning("full", 0.50, 0.10) | learning("lora", 0.62, 0.04)
    (found,) = crossovers(analysed(tmp_path, skills, seeds=5, rows=2000)[0])
    assert found.crosses_at == pytest.approx(400, rel=0.25)
    assert found.from_size is not None
    assert found.to_size is not None
    assert found.from_size < 400 < found.to_size
    assert "m, full overtakes m, lora" in found.text
    assert found.sizes == SIZES


def test_no_crossover_and_no_comparison_across_models_or_baselines(tmp_path: Path) -> None:
    skills = learning("full", 0.70, 0.05) | learning("lora", 0.50, 0.05) | {("x", "tfidf", 4, n): 0.4 for n in SIZES}
    (found,) = crossovers(analysed(tmp_path, skills)[0])
    assert found.crosses_at is None
    assert "m, full is ahead throughout" in found.text


def test_equal_arms_do_not_cross(tmp_path: Path) -> None:
    found, _ = analysed(tmp_path, {("m", s, 2, n): 1.0 for s in ("full", "lora") for n in (100, 200)})
    (answer,) = crossovers(found)
    assert answer.crosses_at is None
    assert "equal scores" in answer.text


def test_rows_needed_for_a_target(tmp_path: Path) -> None:
    found, _ = analysed(tmp_path, learning("lora", 0.5, 0.1), seeds=5, rows=2000)
    (answer,) = rows_needed(found, 0.75)
    assert answer.rows == pytest.approx(100 * 2**2.5, rel=0.15)
    assert answer.at_least is not None
    assert answer.at_most is not None
    assert answer.at_least < answer.rows < answer.at_most
    (beyond,) = rows_needed(found, 0.99)
    assert (beyond.rows, beyond.at_most) == (None, None)
    assert "does not reach" in beyond.text
    (easy,) = rows_needed(found, 0.2)
    assert easy.rows == 100


def test_what_a_model_buys_over_tfidf(tmp_path: Path) -> None:
    skills = {("big", "lora", 2, 800): 0.9, ("", "tfidf", 2, 800): 0.7, ("", "majority", 2, 800): 0.5}
    answers = bought(analysed(tmp_path, skills, seeds=5)[1])
    assert [answer.text.split(": ")[1].split(" scores")[0] for answer in answers] == ["big, lora", "majority"]
    answer = answers[0]
    assert answer.gain == pytest.approx(0.2, abs=0.07)
    assert "big, lora scores +" in answer.text
    assert "which is shown" in answer.text


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


def test_without_intervals_there_is_still_a_difference() -> None:
    found = estimates(grid_of(models=("m",), labels=(2,), samples=(800, 1600), seeds=(0,), baselines=()))
    (effect,) = axis_effects(found, "num_samples")
    assert (effect.overall.low, effect.overall.is_shown) == (None, False)
    assert np.isfinite(effect.overall.difference)
