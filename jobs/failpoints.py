"""Named places where a test may make a process die, fail or wait; nothing happens otherwise.

`FINEGRID_FAILPOINTS=1 GRID_FAILPOINT=name[:kill|raise|sleep=SECONDS]` arms one of them.
Two variables, so that a forgotten one in somebody's shell does no harm.
"""

from __future__ import annotations

import os
import signal
import time

from jobs.errors import TransientProblem

ENABLED_VARIABLE = "FINEGRID_FAILPOINTS"
POINT_VARIABLE = "GRID_FAILPOINT"


class FailpointReached(TransientProblem):
    """A test asked for a failure at this place."""


def failpoint(name: str) -> None:
    """Do nothing, unless a test armed this place.

    Args:
        name: dotted, unique in the source, such as `result.before_rename`.

    Raises:
        FailpointReached: armed with `raise`.
        ValueError: armed with an unknown action.
    Side effects:
        Armed with `kill` (the default action), the process ends by SIGKILL, as in a power cut.
    """
    if os.environ.get(ENABLED_VARIABLE) != "1":
        return
    point, _, action = os.environ.get(POINT_VARIABLE, "").partition(":")
    if point == name:
        _act(name, action or "kill")


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise FailpointReached(f"failpoint {name}")
    elif action.startswith("sleep="):
        time.sleep(float(action.removeprefix("sleep=")))
    else:
        raise ValueError(f"{POINT_VARIABLE}={name}:{action}: the action is kill, raise or sleep=SECONDS")
