"""A run that may take only so long: `--max-hours`, `--budget`."""

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
        self._limits = [] if hours is None else [(hours, f"the {hours:g} hours of --max-hours are over.")]
        self._clock = clock
        self._began_s = clock()

    def limit(self, hours: float, reason: str) -> None:
        """Let the run take so long at most, from its beginning; the shortest limit counts."""
        self._limits = sorted([*self._limits, (hours, reason)])

    def must_stop(self) -> bool:
        """True once the time is over."""
        if self._limits and self.reason is None and self._clock() - self._began_s >= self._limits[0][0] * 3600:
            self.reason = self._limits[0][1]
        return self.reason is not None

    def on_event(self, event: Event) -> None:
        """Nothing: only the clock counts."""
