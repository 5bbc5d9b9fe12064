"""Deadlines: their defaults, and the variables that replace them."""

from __future__ import annotations

import pytest

from grid import deadlines
from grid.deadlines import GAUGING, GRACE, HUB, LEASE, Deadline
from jobs.errors import UserError


def test_a_variable_replaces_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GRACE.variable, raising=False)
    assert GRACE.seconds == GRACE.default_s == 25
    monkeypatch.setenv(GRACE.variable, "2.5")
    assert GRACE.seconds == 2.5
    monkeypatch.setenv(GRACE.variable, "")
    assert GRACE.seconds == 25


@pytest.mark.parametrize("deadline", [GRACE, HUB, GAUGING, LEASE], ids=lambda deadline: str(deadline.variable))
@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan", " "])
def test_what_is_no_number_of_seconds_is_refused(
    deadline: Deadline, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(deadline.variable, text)
    with pytest.raises(UserError, match=deadline.variable):
        _ = deadline.seconds


def test_zero_and_large_numbers_are_legal_only_where_they_make_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    for deadline in (HUB, GAUGING):
        monkeypatch.setenv(deadline.variable, "0")
        assert deadline.seconds == 0
        monkeypatch.setenv(deadline.variable, "1e6")
        with pytest.raises(UserError, match=rf"from 0 to {deadline.most_s:,.0f} is expected"):
            _ = deadline.seconds
    monkeypatch.setenv(GRACE.variable, "0")
    with pytest.raises(UserError, match="above 0"):
        _ = GRACE.seconds


def test_no_two_deadlines_share_a_variable() -> None:
    known = [value for value in vars(deadlines).values() if isinstance(value, Deadline)]
    assert len({deadline.variable for deadline in known}) == len(known) > 5
