"""A busy hub is asked again within a budget of seconds, and never when the answer was no."""

from __future__ import annotations

import pytest

from grid.patience import Patience
from jobs.errors import EnvironmentProblem, TransientProblem


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []

    def sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        self.now_s += wait_s


def patience(clock: Clock, budget_s: float) -> Patience:
    return Patience(budget_s, sleep=clock.sleep, clock=lambda: clock.now_s)


def test_waits_grow_until_it_works() -> None:
    clock, answers = Clock(), iter([TransientProblem("503"), TransientProblem("503"), TransientProblem("503")])

    def work() -> str:
        for error in answers:
            raise error
        return "here"

    assert patience(clock, 60).call(work) == "here"
    assert clock.waits == [1.0, 2.0, 4.0]


def test_the_budget_is_shared_and_slow_answers_cost_as_well() -> None:
    clock, told = Clock(), []

    def busy() -> None:
        clock.now_s += 10
        raise TransientProblem("503")

    shared = Patience(30, sleep=clock.sleep, clock=lambda: clock.now_s, on_wait=told.append)
    with pytest.raises(TransientProblem, match=r"503 \(tried 3 times\)"):
        shared.call(busy)
    assert clock.waits == [1.0, 2.0] and told[0] == "503; next try in 1 s"
    with pytest.raises(TransientProblem, match=r"^503$"):
        shared.call(busy)


def test_a_refusal_is_not_asked_about_again() -> None:
    clock = Clock()

    def refused() -> None:
        raise EnvironmentProblem("gated")

    with pytest.raises(EnvironmentProblem):
        patience(clock, 60).call(refused)
    assert clock.waits == []
