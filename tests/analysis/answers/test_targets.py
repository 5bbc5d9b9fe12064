"""Rows for training that a target score needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.answers import rows_needed
from tests.analysis.answers.skilled import analysed, learning


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
