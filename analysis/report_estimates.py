"""Estimate against actual in a report: what plans said that cells would take, and what they took."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from analysis.report_sections import Listing, Row
from analysis.tables import Table
from grid.store import schema
from jobs.storage import Layout

_HOUR: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """One finished cell: what the run that finished it had planned, and what it took."""

    cell_id: str
    model: str
    strategy: str
    planned_seconds: float
    measured_seconds: float
    """Its share of its pack: training and evaluation."""
    planned_bytes: int
    """Of its pack, on one device; on a CPU of one process."""
    measured_bytes: int | None
    basis: str


def read_estimates(root: Path) -> tuple[CostEstimate, ...]:
    """Set the plans of a store against its results.

    Args:
        root: a results folder.
    Returns:
        one for each declared finished cell with a model whose run kept its plan, in the order declared.
    Raises:
        UserError: no store there, or one of another schema version.
        EnvironmentProblem: the index is damaged.
    """
    planned = _plans(Layout(root.absolute()))
    if not planned:
        return ()
    cells, results = schema.cells.c, schema.results
    columns = (cells.cell_id, cells.model, cells.strategy, cells.spec_json)
    kept = (results.c.epoch, results.c.costs_json, results.c.counts_json)
    query = sa.select(*columns, *kept).join(results, results.c.cell_id == cells.cell_id)
    query = query.where(cells.model.is_not(None), cells.retired.is_(False)).order_by(cells.position, cells.cell_id)
    with schema.look(root) as connection:
        rows = connection.execute(query).mappings().all()
    found = (_estimate(row, planned.get((row["epoch"], row["cell_id"]))) for row in rows)
    return tuple(one for one in found if one is not None)


def _plans(layout: Layout) -> dict[tuple[int, str], Mapping[str, Any]]:
    """What runs had estimated, by epoch and cell; files that are damaged tell nothing."""
    found: dict[tuple[int, str], Mapping[str, Any]] = {}
    for path in sorted(layout.logs.glob("*-plan-*.json")):
        epoch = path.name.partition("-")[0]
        try:
            cells = json.loads(path.read_text("utf-8"))["cells"].items()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a table of a report is all that hangs on it
        if epoch.isdigit():
            found |= {(int(epoch), cell_id): own for cell_id, own in cells if isinstance(own, dict)}
    return found


def _estimate(row: Mapping[Any, Any], planned: Mapping[str, Any] | None) -> CostEstimate | None:
    costs, counts = json.loads(row["costs_json"]), json.loads(row["counts_json"])
    if planned is None or not costs.get("train_seconds") or not planned.get("seconds"):
        return None
    memory = costs.get("peak_memory_bytes")
    return CostEstimate(
        cell_id=row["cell_id"],
        model=row["model"],
        strategy=row["strategy"],
        planned_seconds=float(planned["seconds"]),
        measured_seconds=_seconds(json.loads(row["spec_json"])["recipe"], costs, counts),
        planned_bytes=int(planned.get("memory_bytes") or 0),
        measured_bytes=round(memory) if memory else None,
        basis=str(planned.get("basis", "")),
    )


def _seconds(recipe: Mapping[str, Any], costs: Mapping[str, Any], counts: Mapping[str, Any]) -> float:
    """Training, and every evaluation at the speed that the store keeps."""
    trained, speed = float(costs["train_seconds"]), float(costs.get("eval_samples_per_second") or 0.0)
    if not speed:
        return trained
    step_rows = recipe["batch_size"] * recipe["gradient_accumulation"]
    an_epoch = math.ceil(max(1, counts.get("num_train", 1)) / step_rows)
    evaluations = math.ceil(counts.get("stopped_step", 0) / (recipe.get("eval_every") or an_epoch))
    rows = int(evaluations * counts.get("num_validation", 0) + counts.get("num_test", 0))
    return trained + rows / speed


def estimate_listing(estimates: Sequence[CostEstimate]) -> Listing | None:
    """Planned and measured hours and memory of every model and strategy; None where no run kept its plan."""
    if not estimates:
        return None
    rows = []
    for (model, strategy), own in _grouped(estimates).items():
        planned, measured = (sum(getattr(one, name) for one in own) for name in ("planned_seconds", "measured_seconds"))
        memory = max((one.measured_bytes for one in own if one.measured_bytes is not None), default=None)
        expected = max(one.planned_bytes for one in own)
        rests = Counter(one.basis for one in own).most_common(1)[0][0]
        texts = (
            model,
            strategy,
            f"{len(own):,}",
            _hours(planned),
            _hours(measured),
            _error(planned, measured),
            _gigabytes(expected),
            "" if memory is None else _gigabytes(memory),
            "" if memory is None else _error(expected, memory),
            rests,
        )
        rows.append(Row(texts=texts))
    columns = (
        "Model", "Strategy", "Cells", "Time planned", "Time taken", "Error",
        "Memory planned", "Memory taken", "Error", "Planned from",
    )  # fmt: skip
    return Listing(caption="Estimate against actual", columns=columns, rows=tuple(rows))


def estimate_table(grid: str, estimates: Sequence[CostEstimate]) -> Table:
    """Every finished cell with its estimate, as a table of its own."""
    columns = (
        "cell_id", "model", "strategy", "planned_seconds", "measured_seconds", "planned_bytes", "measured_bytes",
        "planned_from",
    )  # fmt: skip
    rows = tuple(
        (
            one.cell_id, one.model, one.strategy, one.planned_seconds, one.measured_seconds, one.planned_bytes,
            one.measured_bytes, one.basis,
        )
        for one in estimates
    )  # fmt: skip
    return Table(name="planned", caption=f"{grid}: planned and measured costs", columns=columns, rows=rows)


def _grouped(estimates: Sequence[CostEstimate]) -> dict[tuple[str, str], list[CostEstimate]]:
    found: dict[tuple[str, str], list[CostEstimate]] = {}
    for one in estimates:
        found.setdefault((one.model, one.strategy), []).append(one)
    return found


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR:.3g} h" if seconds >= _HOUR / 10 else f"{seconds:.3g} s"


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"


def _error(planned: float, measured: float) -> str:
    return f"{planned / measured - 1:+.0%}" if measured else ""
