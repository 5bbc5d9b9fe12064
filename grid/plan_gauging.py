"""A plan measures what it does not know yet of this machine: once for each kind of cell, some seconds."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from grid.deadlines import GAUGING
from grid.expectations import ARITHMETIC, SCALED
from grid.gauges import Gauges, measure
from grid.outlook import Outlook
from grid.store import peek
from jobs.storage import cache_root


def gauged(outlook: Outlook, people: Console) -> Outlook:
    """The outlook with a plan that rests on measured steps where it rested on arithmetic.

    Args:
        outlook: of a dry run.
        people: told that it takes some seconds.
    Raises:
        UserError: the variable that says how many has no such value.
    Side effects:
        starts a process that trains slices of models, and keeps what it measures in the cache folder.
    """
    seconds = GAUGING.seconds
    rough = [pack for pack in outlook.plan.packs if pack.basis.startswith((ARITHMETIC, SCALED))]
    if outlook.options.on is not None or not seconds or not rough:
        return outlook
    gauges = Gauges(cache_root(), outlook.devices, outlook.pack_cpus, outlook.sizes.of)
    each = {planned.cell.cell_id: planned.seconds or 0.0 for pack in rough for planned in pack.cells}
    cells = [planned.cell for pack in rough for planned in pack.cells]
    wishes = gauges.wishes(cells, lambda cell: each[cell.cell_id])
    if not wishes:
        return outlook
    people.print(f"Measuring some steps on this machine, once ({len(wishes)} kinds of cells, some seconds)")
    reasons = measure(wishes, cache=cache_root(), seconds=seconds, say=lambda line: None)
    for reason in reasons:
        people.print(escape(f"Not measured, so estimated by size: {reason}"), soft_wrap=True)
    return outlook.planned(peek(outlook.root)[0])
