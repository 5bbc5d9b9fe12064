"""A finished cell as every tracker wants it: parameters, numbers, curves, tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs.errors import one_line
from jobs.plain_json import to_json
from jobs.spec import CellSpec
from jobs.storage import DamagedResult, read_result

_SECTIONS: Final = ("recipe", "lora", "quantization", "ia3", "prefix", "chain")
_TEXT_LIMIT: Final = 200
"""Trackers refuse long values."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a curve."""

    split: str
    metric: str
    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished cell."""

    cell_id: str
    grid: str
    title: str
    params: Mapping[str, str | int | float | bool]
    """Axes and settings, flat: `recipe.learning_rate`."""
    metrics: Mapping[str, float]
    """`test/accuracy`, `validation/loss`, `cost/train_seconds`: whole splits, where defined."""
    curves: tuple[Point, ...]
    tags: Mapping[str, str]
    """Device, library versions, marks."""


def read_record(folder: Path) -> Record:
    """Read a result folder.

    Args:
        folder: of a finished cell.
    Returns:
        the record.
    Raises:
        DamagedResult: it is not what was published.
    """
    result = read_result(folder)
    numbers = {f"{m.split}/{m.name}": m.value for m in result.metrics if m.value is not None and not m.label}
    numbers |= {f"cost/{name}": float(value) for name, value in result.costs.items()}
    return Record(
        cell_id=result.cell.cell_id,
        grid=result.cell.grid,
        title=result.cell.title,
        params=_params(result.cell),
        metrics=numbers,
        curves=_curves(folder / "curves.parquet"),
        tags={
            "grid": result.cell.grid,
            "device": _short(result.provenance.get("device", "")),
            "finegrid": _short((result.provenance.get("versions") or {}).get("finegrid", "")),
            "marks": _short("; ".join(result.marks)),
            # So that nobody takes a candidate of a tuning, which never saw test rows, for a cell of the grid.
            "role": "cell" if result.cell.candidate is None else "candidate of a tuning",
        },
    )


def _params(cell: CellSpec) -> dict[str, str | int | float | bool]:
    found: dict[str, Any] = {
        "model": "" if cell.model is None else cell.model.name,
        "strategy": str(cell.strategy),
        "num_labels": cell.data.num_labels or "all",
        "num_samples": cell.data.num_samples or "all",
        "seed": cell.seed,
        "dataset": cell.data.id or cell.data.source,
        "protocol": cell.data.protocol,
    }
    for name in _SECTIONS:
        section = getattr(cell, name)
        if section is not None:
            found |= {f"{name}.{key}": value for key, value in to_json(section).items() if value is not None}
    return {key: value if isinstance(value, int | float | bool) else _short(value) for key, value in found.items()}


def _curves(path: Path) -> tuple[Point, ...]:
    if not path.is_file():
        return ()  # baselines have none
    import pyarrow as pa  # slow to import, and every command imports this module
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DamagedResult(f"{path}: cannot be read ({error})") from error
    points = (
        Point(split=str(row["split"]), metric=str(row["metric"]), step=int(row["step"]), value=float(row["value"]))
        for row in rows
        if row["value"] is not None
    )
    return tuple(sorted(points, key=lambda point: (point.step, point.split, point.metric)))


def _short(value: Any) -> str:
    return one_line(str(value), limit=_TEXT_LIMIT)
