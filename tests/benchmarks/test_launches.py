"""Counting launches without a GPU (`launches_cases.py`), in a process of its own: torch counts its devices once."""

from __future__ import annotations

from pathlib import Path

from tests.own_process import passed_in_own_process


def test_all_cases(cache: Path) -> None:
    assert passed_in_own_process(Path(__file__).with_name("launches_cases.py"), cache) == 1
