"""Numbers as sentences have them."""

from __future__ import annotations

import pytest

from analysis.answers.wording import listed, rounded


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (343.7, "340"),
        (1234.0, "1,200"),
        (9.96, "10"),
        (85.2, "85"),
        (100.0, "100"),
        (5.0, "5"),
        (1.23, "1"),
        (0.0, "0"),
    ],
)
def test_worked_out_counts_have_two_places(number: float, text: str) -> None:
    assert rounded(number) == text


def test_lists() -> None:
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a; b and c")
