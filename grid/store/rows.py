"""Specs and results as rows of the index, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from jobs.spec import CellResult, CellSpec, CellState, DataSpec, FailureKind, dumps, to_json

COUNT_COLUMNS: Final = (
    "num_train",
    "num_validation",
    "num_test",
    "effective_batch_size",
    "best_step",
    "stopped_step",
    "trainable_parameters",
    "total_parameters",
)
COST_COLUMNS: Final = (
    "train_seconds",
    "train_samples_per_second",
    "eval_samples_per_second",
    "peak_memory_bytes",
    "total_flops",
)
PROVENANCE_COLUMNS: Final = ("device", "dtype", "base_mode", "numerics")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CellRow:
    """Where one cell stands."""

    cell_id: str
    state: CellState
    kind: FailureKind | None
    """Only of failed cells."""
    reason: str | None
    epoch: int
    """Of the last attempt; 0 before the first."""
    attempt: int
    log: str | None
    """Pack log of the last attempt, relative to the results folder."""
    retired: bool
    """True when the last declaration no longer names the cell."""
    title: str


def cell_row(cell: CellSpec, position: int) -> Row:
    """The declared part of a cell's row.

    Args:
        cell: as declared.
        position: place in the declaration, from 0.
    """
    return {
        "cell_id": cell.cell_id,
        "position": position,
        "grid": cell.grid,
        "model": cell.model.name if cell.model else None,
        "strategy": str(cell.strategy),
        "dataset": dataset_name(cell.data),
        "protocol": cell.data.protocol,
        "num_labels": cell.data.num_labels,
        "num_samples": cell.data.num_samples,
        "seed": cell.seed,
        "variant": cell.variant,
        "axes_json": json.dumps(to_json(cell.axes), allow_nan=False, ensure_ascii=False),
        "spec_json": spec_json(cell),
        "title": cell.title,
        "retired": False,
    }


def spec_json(cell: CellSpec) -> str:
    """The same text as `jobs.spec.dumps`, quicker: cells of a grid share most of their parts."""
    return "{" + ",".join(f'"{name}":{_part(getattr(cell, name))}' for name in _SPEC_FIELDS) + "}"


_SPEC_FIELDS: Final = sorted(field.name for field in fields(CellSpec))


def _part(value: Any) -> str:
    # What every cell has of its own, without the detour over `dumps`.
    if value is None or type(value) is int:
        return "null" if value is None else repr(value)
    if isinstance(value, str):
        return _ENCODER.encode(value)
    return dumps(value) if isinstance(value, Mapping) else _known_part(value)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


def _known_part(value: object) -> str:
    """Written once an object: cells of a grid share their sections, and hashing one takes as long as writing it."""
    found = _WRITTEN.get(id(value))
    if found is not None and found[0] is value:
        return found[1]
    if len(_WRITTEN) >= _MOST_WRITTEN:
        _WRITTEN.clear()
    text = dumps(value)
    _WRITTEN[id(value)] = (value, text)  # the object is kept, so that nothing else gets its id
    return text


_WRITTEN: Final[dict[int, tuple[object, str]]] = {}
_MOST_WRITTEN: Final = 4096


def dataset_name(data: DataSpec) -> str:
    """What tables call a dataset: the hub id, the file's or folder's name, or `builtin`."""
    if data.source == "hub":
        return f"{data.id}/{data.subset}" if data.subset else data.id
    if data.source == "files":
        return data.path.rstrip("/").rpartition("/")[2] or data.path
    return data.source


def result_row(result: CellResult, folder: str, ingested_at: str) -> Row:
    """A finished cell's row in `results`.

    Args:
        result: as read from result.json.
        folder: relative to the results folder.
        ingested_at: UTC, ISO 8601.
    """
    row: Row = {
        "cell_id": result.cell.cell_id,
        "epoch": result.epoch,
        "attempt": result.attempt,
        "folder": folder,
        "num_classes": len(result.label_names) or None,
        "epochs": result.epochs,
        "counts_json": dumps(result.counts),
        "hashes_json": dumps(result.hashes),
        "costs_json": dumps(result.costs),
        "provenance_json": dumps(result.provenance),
        "marks_json": dumps(result.marks),
        "label_names_json": dumps(result.label_names),
        "ingested_at": ingested_at,
    }
    row |= {name: result.counts.get(name) for name in COUNT_COLUMNS}
    row |= {name: _number(result.costs, name) for name in COST_COLUMNS}
    return row | {name: _text(result.provenance, name) for name in PROVENANCE_COLUMNS}


def metric_rows(result: CellResult) -> list[Row]:
    """A finished cell's rows in `metrics`."""
    return [
        {
            "cell_id": result.cell.cell_id,
            "split": metric.split,
            "name": metric.name,
            "label": metric.label,
            "value": None if metric.value is None else float(metric.value),
            "undefined": metric.undefined,
        }
        for metric in result.metrics
    ]


def _number(values: Mapping[str, float], name: str) -> float | None:
    value = values.get(name)
    return None if value is None else float(value)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return None if value is None else str(value)
