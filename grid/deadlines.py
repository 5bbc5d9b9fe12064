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
    may_be_zero: bool = False
    """0 means: not at all."""
    most_s: float | None = None
    """The largest value that makes sense; None: any."""

    @property
    def seconds(self) -> float:
        """What holds now; a variable that is empty counts as one that is not set.

        Raises:
            UserError: the variable is no such number.
        """
        text = os.environ.get(self.variable, "")
        if not text:
            return self.default_s
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        is_legal = 0 < seconds < math.inf and (self.most_s is None or seconds <= self.most_s)
        if not (is_legal or (seconds == 0 and self.may_be_zero)):
            least = "from 0" if self.may_be_zero else "above 0"
            most = "" if self.most_s is None else f" to {self.most_s:,.0f}"
            raise UserError(f"{self.variable}={text!r}: a number of seconds {least}{most} is expected")
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
LEASE = Deadline(variable="FINEGRID_LEASE_S", default_s=90.0)
"""A lease without a sign of life for so long may be taken over: longer than the 60 s for which an NFS client may show
old contents."""
HUB = Deadline(variable="FINEGRID_HUB_PATIENCE_S", default_s=120.0, may_be_zero=True, most_s=86_400.0)
"""A busy hub is asked again for so long, all questions of a run together."""
GAUGING = Deadline(variable="FINEGRID_GAUGE_S", default_s=8.0, may_be_zero=True, most_s=3600.0)
"""A plan may measure steps for so long."""
