"""How long a run waits for whom; each can be changed by an environment variable.

The reasons stand in docs/design.md, "Deadlines".
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from jobs.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """Seconds, and the variable that replaces them."""

    variable: str
    default_s: float

    @property
    def seconds(self) -> float:
        """What holds now.

        Raises:
            UserError: the variable is not a positive number.
        """
        text = os.environ.get(self.variable)
        if text is None:
            return self.default_s
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise UserError(f"{self.variable}={text!r}: a number of seconds above 0 is expected")
        return seconds


GRACE = Deadline(variable="FINEGRID_GRACE_S", default_s=25.0)
"""From a signal to the end of the process, at the latest."""
SILENCE = Deadline(variable="FINEGRID_SILENCE_S", default_s=300.0)
"""A pack whose process is not heard, or that says nothing while nothing moves, for so long is taken for hung."""
STALL = Deadline(variable="FINEGRID_STALL_S", default_s=3600.0)
"""So is one that speaks, but makes no step and uses next to no processor time and bytes, for so long."""
WORKER_START = Deadline(variable="FINEGRID_WORKER_START_S", default_s=300.0)
"""On a private Ray: packs are handed out, and for so long no worker begins one and none is heard."""
CLUSTER_SILENCE = Deadline(variable="FINEGRID_CLUSTER_SILENCE_S", default_s=30.0)
"""A Ray whose control service does not answer for so long is taken for lost."""
RAY_START = Deadline(variable="FINEGRID_RAY_START_S", default_s=120.0)
"""A private Ray must answer within it."""
LEAVE_RAY = Deadline(variable="FINEGRID_LEAVE_RAY_S", default_s=10.0)
"""A lost Ray may hold up the way out for so long; then the process ends without it."""
MACHINES = Deadline(variable="FINEGRID_MACHINES_WAIT_S", default_s=600.0)
"""From joining a cluster to the moment when all machines that FINEGRID_MACHINES promises are there."""
SPLIT = Deadline(variable="FINEGRID_SPLIT_S", default_s=60.0)
"""Work that is worth moving from a running pack to an idle device."""
