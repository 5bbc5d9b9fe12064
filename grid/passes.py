"""Pass after pass of a runner, until nothing is left or nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from grid.recorder import Recorder
from grid.runner import Runner, ShouldStop
from jobs.errors import EnvironmentProblem, TransientProblem, one_line
from jobs.failpoints import failpoint
from jobs.spec import Event

MAX_IDLE_PASSES = 3
"""Passes in a row that settled no cell, after which a run gives up for now."""


class Guard(Protocol):
    """Something that may end a run early."""

    reason: str | None
    """Why, in words that name the way on; None while all is well."""

    def must_stop(self) -> bool:
        """Asked between events; once true it stays so."""
        ...

    def on_event(self, event: Event) -> None:
        """Sees every event of the runner before it is recorded."""
        ...


def work(runner: Runner, recorder: Recorder, should_stop: ShouldStop, *, guards: Sequence[Guard] = ()) -> str | None:
    """Let the runner work through the recorder's queue.

    Args:
        runner: local or Ray.
        recorder: follows the events.
        should_stop: asked between events.
        guards: asked between events as well.
    Returns:
        why the run ends early, in words that name the way on; None when it went to its end or was told to stop.
    Raises:
        Exception: a bug of the driver.
    """
    queue = recorder.queue
    idle_passes = 0

    def stop_now() -> bool:
        return should_stop() or any(guard.must_stop() for guard in guards)

    def on_event(event: Event) -> None:
        for guard in guards:
            guard.on_event(event)
        recorder.on_event(event)

    while not queue.is_finished and not stop_now():
        before = queue.num_finished
        failpoint("pass.before")
        try:
            runner.run_pass(queue, on_event, stop_now)
        except (EnvironmentProblem, TransientProblem, OSError) as error:
            return _first_reason(guards) or (
                f"{one_line(str(error))} Mend this and give the same command again: finished cells are kept."
            )
        failpoint("pass.after")
        idle_passes = 0 if queue.num_finished > before else idle_passes + 1
        if idle_passes >= MAX_IDLE_PASSES:
            return (
                f"{MAX_IDLE_PASSES} passes in a row finished no cell; look at logs/ in the results folder. "
                "The same command tries again."
            )
    return _first_reason(guards)


def _first_reason(guards: Sequence[Guard]) -> str | None:
    return next((guard.reason for guard in guards if guard.reason), None)
