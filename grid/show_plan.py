"""A plan for people and for programs: cells, packs, reasons, totals. Reads nothing, writes nothing but its output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from grid.amounts import counted, duration, size
from grid.identity import is_provisional
from grid.plan import Plan, PlannedCell, PlannedPack
from grid.plan_totals import AllTotals, Totals
from jobs.errors import one_line
from jobs.spec import CellSpec, to_json

MAX_CELLS_SHOWN = 40
"""Of a larger plan people read what its packs hold, and programs (--json) every cell."""
_MOST_VALUES = 12
UNRESOLVED = "unresolved"


def plan_json(plan: Plan, grid: str, totals: AllTotals) -> dict[str, Any]:
    """Turn a plan into plain JSON values.

    Args:
        plan: any plan.
        grid: the grid's name.
        totals: what it takes, as a whole and pack by pack.

    Returns:
        totals, packs with their cells, and what is left alone.
    """
    return {
        "grid": grid,
        "to_run": plan.num_cells,
        "done": len(plan.done),
        "waiting": len(plan.waiting),
        "parallel_packs": plan.parallel,
        "estimated_seconds": round(plan.estimated_seconds, 1),
        "totals": _totals_json(totals.whole),
        "guesses": list(totals.guesses),
        "unresolved": unresolved(plan),
        "packs": [_pack_json(pack, one) for pack, one in zip(plan.packs, totals.packs, strict=True)],
        "skipped": [_cell_json(planned) for planned in plan.skipped],
    }


def _totals_json(totals: Totals) -> dict[str, Any]:
    rounded = {"device_hours": round(totals.device_hours, 4)}
    rounded |= {} if totals.dollars is None else {"dollars": round(totals.dollars, 2)}
    return vars(totals) | rounded


def _pack_json(pack: PlannedPack, totals: Totals) -> dict[str, Any]:
    return {
        "pack_id": pack.pack_id,
        "base": pack.base_key,
        "resources": to_json(pack.resources),
        "estimated_seconds": round(pack.estimated_seconds, 1),
        "estimate_rests_on": pack.basis,
        "totals": _totals_json(totals),
        "cells": [_cell_json(planned) for planned in pack.cells],
    }


def _cell_json(planned: PlannedCell) -> dict[str, Any]:
    cell = planned.cell
    return {
        "cell_id": cell.cell_id,
        "provisional": is_provisional(cell),
        "title": cell.title,
        "reason": planned.reason,
        "axes": to_json(cell.axes),
        "model": None if cell.model is None else cell.model.name,
        "model_revision": None if cell.model is None else cell.model.revision or UNRESOLVED,
        "data_revision": cell.data.revision or UNRESOLVED,
        "strategy": str(cell.strategy),
        "num_labels": cell.data.num_labels,
        "num_samples": cell.data.num_samples,
        "seed": cell.seed,
        **({} if planned.seconds is None else {"estimated_seconds": round(planned.seconds, 2)}),
    }


def unresolved(plan: Plan) -> list[str]:
    """Name the models and data whose revision is not known yet, in order of appearance."""
    names: dict[str, None] = {}
    for planned in _all_cells(plan):
        cell = planned.cell
        if cell.model is not None and cell.model.revision is None:
            names[f"model {cell.model.location}"] = None
        if cell.data.revision is None:
            names[f"data {cell.data.id or cell.data.path or cell.data.source}"] = None
    return list(names)


def render_plan(
    plan: Plan, grid: str, console: Console, totals: AllTotals, *, max_cells: int = MAX_CELLS_SHOWN
) -> None:
    """Print a plan for people.

    Args:
        plan: any plan.
        grid: the grid's name.
        console: where to.
        totals: what it takes, as a whole and pack by pack.
        max_cells: cells listed one by one; of a larger plan those of one kind and reason share a line.
    """
    console.print(f"[bold]{escape(grid)}[/bold]: {_headline(plan)}", soft_wrap=True)
    if plan.packs:
        console.print(_totals_line(plan, totals.whole), soft_wrap=True)
        if totals.guesses:
            console.print(_plain(f"not known on this machine: {'; '.join(totals.guesses)}"), soft_wrap=True)
        console.print("Packs, in the order they start:")
        for pack, one in zip(plan.packs, totals.packs, strict=True):
            console.print(_pack_line(pack, one), soft_wrap=True)
            for line in _cell_lines(pack) if plan.num_cells <= max_cells else _group_lines(pack):
                console.print(f"  {line}", soft_wrap=True)
        for place in totals.too_large():
            pack, needed = plan.packs[place], totals.packs[place].memory_bytes
            console.print(_too_large_line(pack, needed, totals.device_bytes or 0), soft_wrap=True)
    if plan.waiting:
        console.print("Not run by this command:")
        for planned in plan.waiting[:max_cells]:
            console.print(f"  {_cell_line(planned)}", soft_wrap=True)
        if len(plan.waiting) > max_cells:
            console.print(f"  ... and {len(plan.waiting) - max_cells:,} more (--json lists all)")
    if names := unresolved(plan):
        line = f"{UNRESOLVED}: {', '.join(names)} - the first run pins them; until then cell ids are provisional (?)"
        console.print(_plain(line, limit=2000), soft_wrap=True)


def _headline(plan: Plan) -> str:
    to_run = f"{counted(plan.num_cells, 'cell')} to run in {counted(len(plan.packs), 'pack')}"
    parts = [f"{to_run}, {plan.parallel} at a time" if plan.packs else "nothing to run"]
    parts += [f"{len(plan.done):,} done"] if plan.done else []
    parts += [f"{len(plan.waiting):,} failed and waiting"] if plan.waiting else []
    if plan.packs:
        parts.append(f"about {duration(plan.estimated_seconds)}")
    return "; ".join(parts)


def _totals_line(plan: Plan, totals: Totals) -> str:
    """Everything estimated, and what it rests on."""
    has_gpus = any(pack.resources.gpus for pack in plan.packs)
    hours = f"{totals.device_hours:,.2g}" if totals.device_hours < 10 else f"{totals.device_hours:,.0f}"
    parts = [
        f"{totals.rows:,} rows, {totals.steps:,} steps",
        f"{hours} {'GPU' if has_gpus else 'core'} hours",
        *([] if totals.dollars is None else [f"about ${totals.dollars:,.2f}"]),
        f"up to {size(totals.memory_bytes)} a {'GPU' if has_gpus else 'process'}",
        f"{size(totals.disk_bytes)} of disk",
    ]
    bases = Counter(pack.basis for pack in plan.packs)
    rests = ", ".join(
        f"{basis} ({counted(count, 'pack')})" if len(bases) > 1 else basis for basis, count in bases.most_common(3)
    )
    return f"estimated: {'; '.join(parts)}; rests on {rests}"


def _too_large_line(pack: PlannedPack, needed: int, there: int) -> str:
    said = f"about {size(needed)} where a GPU has {size(there)}: fewer cells at a time, or none"
    return f"[yellow]{_plain(_short_base(pack.base_key))}: {said}[/yellow]"


def _pack_line(pack: PlannedPack, totals: Totals) -> str:
    parts = [
        f"{counted(len(pack.cells), 'cell')} on {_plain(_short_base(pack.base_key))}",
        *([counted(totals.steps, "step")] if totals.steps else []),
        f"{pack.resources.gpus:g} gpu" if pack.resources.gpus else f"{pack.resources.cpus} cpu",
        size(totals.memory_bytes),
        f"about {duration(pack.estimated_seconds)}",
    ]
    return f"[bold]{pack.pack_id}[/bold]  {', '.join(parts)}"


def _cell_lines(pack: PlannedPack) -> list[str]:
    return [_cell_line(planned) for planned in pack.cells]


def _cell_line(planned: PlannedCell) -> str:
    return f"{_id(planned)}  {_plain(f'{planned.cell.title}: {planned.reason}')}"


def _group_lines(pack: PlannedPack) -> list[str]:
    """Cells of one kind and reason as one line each, with all label counts, sizes and seeds that occur."""
    groups: dict[tuple[str, str], list[CellSpec]] = {}
    for planned in pack.cells:
        cell = planned.cell
        kind = f"{cell.model.name if cell.model else '-'} {cell.strategy}" + (
            f" {cell.variant}" if cell.variant else ""
        )
        groups.setdefault((one_line(planned.reason, limit=60), kind), []).append(cell)
    return [
        f"{counted(len(cells), 'cell')} {_plain(f'{kind}: {_ranges(cells)}: {reason}')}"
        for (reason, kind), cells in groups.items()
    ]


def _ranges(cells: Sequence[CellSpec]) -> str:
    labels = _values(cell.data.num_labels or "all" for cell in cells)
    rows = _values(cell.data.num_samples or "all" for cell in cells)
    seeds = _values(cell.seed for cell in cells)
    return f"{labels} labels; {rows} rows; seed{'' if seeds.isdecimal() else 's'} {seeds}"


def _values(values: Iterable[int | str]) -> str:
    found = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if len(found) > _MOST_VALUES:
        return f"{found[0]} to {found[-1]}"
    return ", ".join(map(str, found))


def _id(planned: PlannedCell) -> str:
    return planned.cell.cell_id + ("?" if is_provisional(planned.cell) else "")


def _plain(text: str, limit: int = 300) -> str:
    """Names and reasons come from outside: no control characters, no markup."""
    return escape(one_line(text, limit=limit))


def _short_base(key: str) -> str:
    place, _, rest = key.partition("@")
    revision, _, stored = rest.partition(" ")
    if not rest:
        return key
    return f"{place}@{revision if revision == UNRESOLVED else revision[:8]} {stored.rpartition(' ')[0]}".strip()


def _all_cells(plan: Plan) -> Iterable[PlannedCell]:
    for pack in plan.packs:
        yield from pack.cells
    yield from plan.skipped
