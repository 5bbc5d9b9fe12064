"""How long a busy hub is asked again before a run gives up: a budget of seconds for all questions together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from jobs.errors import ConfigError, Problem, TransientProblem

BUDGET_S = 120.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
VARIABLE = "FINEGRID_HUB_PATIENCE_S"
"""Overrides BUDGET_S."""

T = TypeVar("T")


class Patience:
    """Repeats what fails for a passing reason, until its seconds are used up."""

    def __init__(
        self,
        budget_s: float = BUDGET_S,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_wait: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Begin with a full budget.

        Args:
            budget_s: seconds to wait in all.
            sleep: waits.
            clock: seconds that only grow; a try that fails slowly costs as much as waiting.
            on_wait: told in one line why and how long is waited.
        """
        self._left_s = budget_s
        self._sleep = sleep
        self._clock = clock
        self._on_wait = on_wait

    def call(self, work: Callable[[], T]) -> T:
        """Do it, again and again while it fails for a passing reason.

        Raises:
            TransientProblem: it still failed when the budget was used up.
        """
        wait_s, tries = FIRST_WAIT_S, 0
        while True:
            tries += 1
            began_s = self._clock()
            try:
                return work()
            except TransientProblem as error:
                self._left_s -= self._clock() - began_s
                if wait_s > self._left_s:
                    if tries == 1:
                        raise
                    raise TransientProblem(f"{error} (tried {tries} times)") from error
                self._on_wait(f"{error}; next try in {wait_s:g} s")
            self._left_s -= wait_s
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def declared_budget_s() -> float:
    """The budget that the environment names, or the usual one.

    Raises:
        ConfigError: the variable holds no number of seconds.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        budget_s = float(text) if text else BUDGET_S
    except ValueError:
        budget_s = -1.0
    if not 0 <= budget_s <= 86_400:
        raise ConfigError([Problem(VARIABLE, "must be a number of seconds, 0 to 86400", text)])
    return budget_s
