"""A target score and prices, as people type them."""

from __future__ import annotations

import pytest

from analysis.questions import Questions, questions_from
from jobs.errors import UserError


@pytest.mark.parametrize(
    ("target", "prices", "asked"),
    [
        (None, None, Questions()),
        ("0.6", [], Questions(target=0.6)),
        ("60%", ["0.35"], Questions(target=0.6, dollars_per_hour=0.35)),
        (" 1 ", ["cuda=2", "cpu=.1"], Questions(target=1.0, dollars_per_hour={"cuda": 2.0, "cpu": 0.1})),
    ],
)
def test_what_is_asked(target: str | None, prices: list[str] | None, asked: Questions) -> None:
    assert questions_from(target, prices) == asked


@pytest.mark.parametrize("target", ["60", "0", "-0.1", "nan", "much", "", "101%"])
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(UserError, match="above 0 and up to 1"):
        questions_from(target, None)


@pytest.mark.parametrize("prices", [["a lot"], ["-1"], ["=1"], ["cuda="], ["cuda=1", "cuda=2"], ["1", "2"], ["inf"]])
def test_prices_that_are_none(prices: list[str]) -> None:
    with pytest.raises(UserError, match="or one a device"):
        questions_from(None, prices)


def test_one_price_or_one_a_device() -> None:
    with pytest.raises(UserError, match="either one price"):
        questions_from(None, ["1", "cuda=2"])
