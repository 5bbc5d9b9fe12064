"""A run that may take only so long: `--max-hours`."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs.spec import Event


class TimeBudget:
    """A guard of `grid.passes`: ends a run in order when its time is over."""

    def __init__(self, hours: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """The time begins now.

        Args:
            hours: how long the run may take; None: as long as it needs.
            clock: seconds that never go back.
        """
        self.reason: str | None = None
        self._hours = hours
        self._clock = clock
        self._began_s = clock()

    def must_stop(self) -> bool:
        """True once the time is over."""
        if self._hours is not None and self.reason is None and self._clock() - self._began_s >= self._hours * 3600:
            self.reason = f"the {self._hours:g} hours of --max-hours are over."
        return self.reason is not None

    def on_event(self, event: Event) -> None:
        """Nothing: only the clock counts."""
