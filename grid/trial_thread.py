"""Runs trials in a thread of their own, so that whoever leads one is never held up by it and notices when it hangs.

A trial may be busy with one thing for long (it evaluates many rows, or computes features), and it may hang. From
outside both look the same but for what its process uses up: see `grid.stillness`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from grid.deadlines import SILENCE, STALL
from grid.runner import PackSession
from grid.stillness import LOOK_EVERY_S, Stillness, silence_reason, stall_reason
from jobs.errors import EnvironmentProblem
from jobs.spec import Event, EventKind

_LOOKS_A_DEADLINE = 4


class TrialHangs(EnvironmentProblem):
    """The trial in this process gets nowhere, and its thread cannot be ended."""


class TrialThread:
    """The one thread of a process in which trials run, pack after pack."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trial")

    def lead(self, session: PackSession, *, silence_s: float | None = None, stall_s: float | None = None) -> LedPack:
        """Take on a pack; nothing runs before it is asked for news.

        Args:
            session: the pack.
            silence_s: without a word, and without any movement, for so long it hangs; None: SILENCE.
            stall_s: without any movement for so long it hangs, whatever it says; None: STALL.
        """
        limits = (silence_s or SILENCE.seconds, stall_s or STALL.seconds)
        looking = Stillness(look_every_s=min(LOOK_EVERY_S, *(limit / _LOOKS_A_DEADLINE for limit in limits)))
        return LedPack(session, self._pool, *limits, stillness=looking)

    def close(self) -> None:
        """End the thread once it is free; does not wait."""
        self._pool.shutdown(wait=False)


class LedPack:
    """A pack under way in the trial thread; used by one other thread."""

    def __init__(
        self,
        session: PackSession,
        pool: ThreadPoolExecutor,
        silence_s: float,
        stall_s: float,
        *,
        stillness: Stillness | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """See `TrialThread.lead`."""
        self._session = session
        self._pool = pool
        self._silence_s, self._stall_s = silence_s, stall_s
        self._clock = clock
        self._stillness = stillness or Stillness(clock=clock)
        self._heard_s = clock()
        self._still_s = 0.0
        self._pending: Future[Event | None] | None = None
        self._has_left_stacks = False
        self.is_over = False
        """True once the pack has ended."""

    def next(self, wait_s: float) -> Event | None:
        """Wait for the trial's next event.

        Args:
            wait_s: for so long at most; the trial goes on meanwhile, and is asked again by the next call.

        Returns:
            the event; None when there is none yet, or when the pack has ended.
        """
        if self.is_over:
            return None
        self._pending = self._pending or self._pool.submit(self._session.advance)
        if wait([self._pending], timeout=wait_s).not_done:
            self._still_s = self._stillness.still_s()
            return None
        event, self._pending = self._pending.result(), None
        self.is_over = event is None
        self._heard_s = self._clock()
        if event is not None and event.kind is EventKind.HEARTBEAT:
            self._still_s = self._stillness.still_s(event.data)
        else:
            self._stillness.moved()
            self._still_s = 0.0
        return event

    def hangs(self) -> str:
        """Why nothing more is to be expected of the trial; empty as long as something is.

        Side effects:
            the first time, the stacks of all threads go to the pack's log.
        """
        silent_s = min(self._clock() - self._heard_s, self._still_s)
        reason = ""
        if silent_s > self._silence_s:
            reason = silence_reason(self._silence_s)
        elif self._still_s > self._stall_s:
            reason = stall_reason(self._stall_s)
        if reason and not self._has_left_stacks:
            self._has_left_stacks = True
            self._session.leave_stacks(reason)
        return reason

    def close(self) -> bool:
        """End the trial where it stands.

        Returns:
            False when it hangs or its thread is in the middle of something: tidying it up would never end.
        """
        if self._has_left_stacks or (self._pending is not None and not self._pending.done()):
            return False
        self._session.close()
        return True
