"""What a model buys over tf-idf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.answers import bought
from analysis.arms import estimates
from analysis.comparing import compare
from tests.analysis.answer_sheets import Sheet, results_of
from tests.analysis.answers.skilled import analysed


def test_what_a_model_buys_over_tfidf(tmp_path: Path) -> None:
    skills = {("big", "lora", 2, 800): 0.9, ("", "tfidf", 2, 800): 0.7, ("", "majority", 2, 800): 0.5}
    answers = bought(analysed(tmp_path, skills, seeds=5)[1])
    assert [answer.text.split(": ")[1].split(" scores")[0] for answer in answers] == ["big, lora", "majority"]
    answer = answers[0]
    assert answer.gain == pytest.approx(0.2, abs=0.07)
    assert "big, lora scores +" in answer.text
    assert "which is shown" in answer.text


def test_one_shared_seed_is_about_trained_models(tmp_path: Path) -> None:
    tfidf = {"model": None, "strategy": "tfidf", "baseline": True}
    sheets: list[Sheet] = [({**tfidf, "seed": seed}, np.arange(1000) < 600) for seed in range(2)]
    sheets.append(({"model": "a", "seed": 0}, np.arange(1000) < 900))
    (answer,) = bought(compare(estimates(results_of(tmp_path, sheets))))
    assert answer.text.endswith("which is shown of these trained models alone: they share one seed.")
