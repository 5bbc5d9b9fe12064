"""How long a busy hub is asked again before a run gives up: a budget of seconds for all questions together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from grid.deadlines import HUB
from jobs.errors import TransientProblem

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

T = TypeVar("T")


class Patience:
    """Repeats what fails for a passing reason, until its seconds are used up."""

    def __init__(
        self,
        budget_s: float = HUB.default_s,
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
