"""What a run estimated before it trained, kept beside its logs, so that a report can set it against what it took."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from grid.plan import Plan
from grid.plan_totals import Totals
from jobs.durable import write_atomically
from jobs.errors import EnvironmentProblem
from jobs.storage import Layout

log = logging.getLogger(__name__)


def record_plan(layout: Layout, epoch: int, number: int, plan: Plan, packs: Sequence[Totals]) -> None:
    """Write down what a plan estimates for every cell.

    Args:
        layout: of the results folder.
        epoch: of the run.
        number: of the plan within the run: a tuning makes several.
        plan: what is to run.
        packs: what each of its packs takes.
    Side effects:
        writes one file; a disk that refuses costs a table of the report only, so that is logged.
    """
    cells = {
        planned.cell.cell_id: {
            "seconds": round(planned.seconds or 0.0, 3),
            "memory_bytes": totals.memory_bytes,
            "basis": pack.basis,
        }
        for pack, totals in zip(plan.packs, packs, strict=True)
        for planned in pack.cells
        if planned.cell.model is not None
    }
    path = layout.plan_record(epoch, number)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"cells": cells}, sort_keys=True).encode())
    except (OSError, EnvironmentProblem) as error:
        log.warning("the plan's estimates could not be kept for the report (%s)", error)
