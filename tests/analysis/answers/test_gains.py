"""What a model buys over tf-idf."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.answers import bought
from tests.analysis.answers.skilled import analysed


def test_what_a_model_buys_over_tfidf(tmp_path: Path) -> None:
    skills = {("big", "lora", 2, 800): 0.9, ("", "tfidf", 2, 800): 0.7, ("", "majority", 2, 800): 0.5}
    answers = bought(analysed(tmp_path, skills, seeds=5)[1])
    assert [answer.text.split(": ")[1].split(" scores")[0] for answer in answers] == ["big, lora", "majority"]
    answer = answers[0]
    assert answer.gain == pytest.approx(0.2, abs=0.07)
    assert "big, lora scores +" in answer.text
    assert "which is shown" in answer.text
