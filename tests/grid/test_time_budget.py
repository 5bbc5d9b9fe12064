"""--max-hours: a run ends in order when its time is over, and can be continued."""

from __future__ import annotations

from grid.time_budget import TimeBudget


def test_the_time_is_over_and_stays_over() -> None:
    now_s = 100.0
    budget = TimeBudget(0.5, clock=lambda: now_s)
    assert not budget.must_stop()
    now_s += 1799
    assert (budget.must_stop(), budget.reason) == (False, None)
    now_s += 1
    assert budget.must_stop()
    now_s -= 1000
    assert budget.must_stop()
    assert budget.reason is not None and "0.5 hours of --max-hours" in budget.reason


def test_without_the_option_a_run_takes_as_long_as_it_needs() -> None:
    now_s = 0.0
    budget = TimeBudget(None, clock=lambda: now_s)
    now_s = 1e9
    assert not budget.must_stop()


def test_the_shortest_limit_counts_from_the_beginning() -> None:
    now_s = 0.0
    budget = TimeBudget(2.0, clock=lambda: now_s)
    now_s = 600
    budget.limit(0.5, "the budget of $1 is spent.")
    budget.limit(5.0, "never reached")
    now_s = 1799
    assert not budget.must_stop()
    now_s = 1800
    assert budget.must_stop()
    assert budget.reason == "the budget of $1 is spent."
