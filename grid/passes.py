"""Pass after pass of a runner, until nothing is left or nothing moves."""

from __future__ import annotations

from grid.recorder import Recorder
from grid.runner import Runner, ShouldStop
from jobs.errors import EnvironmentProblem, TransientProblem, one_line

MAX_IDLE_PASSES = 3
"""Passes in a row that settled no cell, after which a run gives up for now."""


def work(runner: Runner, recorder: Recorder, should_stop: ShouldStop) -> str | None:
    """Let the runner work through the recorder's queue.

    Args:
        runner: local or Ray.
        recorder: follows the events.
        should_stop: asked between events.
    Returns:
        why the run ends early, in words that name the way on; None when it went to its end or was told to stop.
    Raises:
        Exception: a bug of the driver.
    """
    queue = recorder.queue
    idle_passes = 0
    while not queue.is_finished and not should_stop():
        before = queue.num_finished
        try:
            runner.run_pass(queue, recorder.on_event, should_stop)
        except (EnvironmentProblem, TransientProblem, OSError) as error:
            return f"{one_line(str(error))} Mend this and give the same command again: finished cells are kept."
        idle_passes = 0 if queue.num_finished > before else idle_passes + 1
        if idle_passes >= MAX_IDLE_PASSES:
            return (
                f"{MAX_IDLE_PASSES} passes in a row finished no cell; look at logs/ in the results folder. "
                "The same command tries again."
            )
    return None
