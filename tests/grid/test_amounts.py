"""Amounts as people read them."""

from __future__ import annotations

import pytest

from grid.amounts import counted, duration, size


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h"), (10 * 86400, "10 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_of_a_thing_is_one() -> None:
    assert [counted(number, "cell") for number in (0, 1, 1200)] == ["0 cells", "1 cell", "1,200 cells"]


def test_sizes() -> None:
    assert [size(number) for number in (0, 850_000_000, 3_200_000_000)] == ["0 MB", "850 MB", "3.2 GB"]
