"""Deadlines: their defaults, and the variables that replace them."""

from __future__ import annotations

import pytest

from grid import deadlines
from grid.deadlines import GRACE, Deadline
from jobs.errors import UserError


def test_a_variable_replaces_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GRACE.variable, raising=False)
    assert GRACE.seconds == GRACE.default_s == 25
    monkeypatch.setenv(GRACE.variable, "2.5")
    assert GRACE.seconds == 2.5


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "inf", "nan"])
def test_what_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(GRACE.variable, text)
    with pytest.raises(UserError, match=GRACE.variable):
        _ = GRACE.seconds


def test_no_two_deadlines_share_a_variable() -> None:
    known = [value for value in vars(deadlines).values() if isinstance(value, Deadline)]
    assert len({deadline.variable for deadline in known}) == len(known) > 5
