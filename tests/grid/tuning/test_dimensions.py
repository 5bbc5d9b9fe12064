"""Ranges relative to a default, for any default and factors."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from grid.tuning.dimensions import Dimension, dimension
from grid.tuning.searching import Search

DEFAULTS = st.floats(1e-6, 1e-2)
LOW, HIGH = st.floats(0.01, 1.0), st.floats(1.0, 100.0)
SHARES = st.floats(0.0, 1.0, exclude_max=True)


def rate(default: float, low: float, high: float, *, is_log: bool = True) -> Dimension:
    search = Search(section="recipe", name="learning_rate", low=low, high=high, is_log=is_log)
    found, problems = dimension(search, default, "arm")
    assert found is not None and problems == []
    return found


@given(default=DEFAULTS, low=LOW, high=HIGH, share=SHARES, is_log=st.booleans())
def test_every_value_lies_between_the_factors_of_the_default(
    default: float, low: float, high: float, share: float, is_log: bool
) -> None:
    found = rate(default, low, high, is_log=is_log)
    assert default * low <= found.at(share) <= default * high
    assert found.low <= default <= found.high


@given(default=DEFAULTS, low=LOW, high=HIGH, first=SHARES, second=SHARES)
def test_a_larger_share_is_no_smaller_value(
    default: float, low: float, high: float, first: float, second: float
) -> None:
    found = rate(default, low, high)
    assert (found.at(min(first, second))) <= found.at(max(first, second))


@given(default=st.integers(1, 64), low=LOW, high=st.floats(1.0, 10.0), share=SHARES, is_log=st.booleans())
def test_whole_numbers_stay_whole_and_at_least_one(
    default: int, low: float, high: float, share: float, is_log: bool
) -> None:
    found, problems = dimension(Search(section="lora", name="r", low=low, high=high, is_log=is_log), default, "arm")
    assert found is not None and problems == []
    value = found.at(share)
    assert isinstance(value, int) and value in found.values() and default in found.values()
    assert found.values()[0] == max(1, round(default * low)) and found.values()[-1] == round(default * high)


def test_half_of_a_logarithmic_range_lies_below_the_default_and_half_above() -> None:
    found = rate(1e-4, 0.1, 10)
    assert math.isclose(found.at(0.5), 1e-4) and math.isclose(found.at(0.0), 1e-5)
    assert rate(1e-4, 0.1, 10, is_log=False).at(0.5) == 5.05e-4


def test_a_default_is_among_the_choices_and_comes_first() -> None:
    search = Search(section="lora", name="targets", choices=(("query",), None))
    assert dimension(search, None, "arm")[0] == Dimension(key="lora.targets", default=None, choices=(None, ("query",)))
    found, _ = dimension(search, ("value",), "arm")
    assert found is not None and found.choices == (("value",), ("query",), None)
    assert [found.at(share) for share in (0.0, 0.4, 0.99)] == [("value",), ("query",), None]


def test_nothing_is_relative_to_nothing() -> None:
    for default in (None, 0, 0.0):
        found, problems = dimension(Search(section="recipe", name="patience", low=0.5, high=2), default, "arm")
        assert found is None and "any_of" in str(problems[0])
