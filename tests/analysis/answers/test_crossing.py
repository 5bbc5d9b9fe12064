"""Crossovers of strategies over rows for training, with a known truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.answers import crossovers
from tests.analysis.answers.skilled import SIZES, analysed, learning


def test_a_known_crossover_is_found(tmp_path: Path) -> None:
    """full starts 12 points lower and gains 6 points more with each doubling: they meet at 400 rows."""
    skills = learning("full", 0.50, 0.10) | learning("lora", 0.62, 0.04)
    (found,) = crossovers(analysed(tmp_path, skills, seeds=5, rows=2000)[0])
    assert found.crosses_at == pytest.approx(400, rel=0.25)
    assert found.from_size is not None
    assert found.to_size is not None
    assert found.from_size < 400 < found.to_size
    assert "4 labels: m, full overtakes m, lora at about" in found.text
    assert "shown to be worse at" in found.text
    assert found.sizes == SIZES


def test_no_crossover_and_no_comparison_across_models_or_baselines(tmp_path: Path) -> None:
    skills = learning("full", 0.70, 0.05) | learning("lora", 0.50, 0.05) | {("x", "tfidf", 4, n): 0.4 for n in SIZES}
    (found,) = crossovers(analysed(tmp_path, skills)[0])
    assert found.crosses_at is None
    assert "m, full is ahead of m, lora from 100 to 1,600 rows for training, which is shown at" in found.text


def test_equal_arms_do_not_cross(tmp_path: Path) -> None:
    found, _ = analysed(tmp_path, {("m", s, 2, n): 1.0 for s in ("full", "lora") for n in (100, 200)})
    (answer,) = crossovers(found)
    assert answer.crosses_at is None
    assert "equal scores" in answer.text
