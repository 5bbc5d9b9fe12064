"""One row a declared cell, as CSV, Parquet or JSON.

Values have full precision. What is missing (a failed cell's accuracy, an undefined metric) is an
empty field, null in JSON and Parquet; why a metric is undefined stands in `undefined_metrics`.
An empty num_labels or num_samples of a model's cell means `all`; num_classes and num_train hold the numbers.

Costs come in two kinds. Figures measured while the cell trained (train_seconds, train_samples_per_second,
eval_samples_per_second, peak_memory_bytes, total_flops) stand after `cost_basis`, which says what they are: inside a
pack they are attributed, a share of what the pack took, and depend on its neighbours. The solo_ figures come from a
probe that has the device for itself, stand after `solo_probe`, and are the ones to compare.

A CSV text that would run as a formula in a spreadsheet gets one leading apostrophe, which
`jobs.spreadsheets.plain_text` takes away again; numbers are never touched.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema
from grid.store.backup import copy_index
from grid.store.schema import look
from jobs.durable import disk_problem, write_atomically
from jobs.errors import UserError
from jobs.spreadsheets import inert

_IDENTITY: Final = {
    "cell_id": str, "grid": str, "model": str, "strategy": str, "dataset": str, "protocol": str,
    "num_labels": int, "num_samples": int, "seed": int, "variant": str,
}  # fmt: skip
_STATE: Final = {"state": str, "kind": str, "reason": str, "epoch": int, "attempt": int, "log": str}
_METRICS: Final = (
    "accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted", "precision_weighted", "recall_weighted",
    "loss", "val_accuracy", "val_f1_macro", "val_loss",
)  # fmt: skip
_RESULT: Final = {
    "num_classes": int, "num_train": int, "num_validation": int, "num_test": int, "epochs": float,
    "effective_batch_size": int, "best_step": int, "stopped_step": int, "trainable_parameters": int,
    "total_parameters": int, "cost_basis": str, "train_seconds": float, "train_samples_per_second": float,
    "eval_samples_per_second": float, "peak_memory_bytes": float, "total_flops": float, "solo_probe": str,
    "solo_step_seconds": float, "solo_train_samples_per_second": float, "solo_inference_samples_per_second": float,
    "solo_peak_memory_bytes": float, "solo_feature_seconds_per_text": float, "device": str, "dtype": str,
    "base_mode": str, "numerics": str, "marks": str, "undefined_metrics": str,
}  # fmt: skip
_JSON: Final = ("marks", "costs", "provenance")
_FROM_COSTS: Final = tuple(name for name, kind in _RESULT.items() if name.startswith("solo_") and kind is float)
_FROM_PROVENANCE: Final = {"cost_basis": "costs", "solo_probe": "solo_probe"}
"""Columns that stand in the result's JSON, by the key they have there."""
_PREFIXES: Final = {"test": "", "validation": "val_", "train": "train_"}

INDEX_SUFFIX: Final = ".db"
"""A copy of the index itself, whole even while a run goes on."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows by column name, and each column's type: str, int, float or bool."""

    columns: Mapping[str, type]
    rows: Sequence[Row]


def export(root: Path, out: Path) -> Path:
    """Write one row a declared cell; retired cells and candidates of a tuning are left out.

    Args:
        root: results folder.
        out: file to write; its suffix is .csv, .parquet or .json, or .db for a copy of the whole index.

    Returns:
        the file.

    Raises:
        UserError: not a results folder, or another suffix.
        EnvironmentProblem: the store is damaged or the disk refused.

    Side effects:
        Replaces `out` as a whole and makes its folder.
    """
    if out.suffix.lower() == INDEX_SUFFIX:
        return copy_index(root, out)
    write = _WRITERS.get(out.suffix.lower())
    if write is None:
        raise UserError(f"{out}: the file name must end in {', '.join(_WRITERS)} or {INDEX_SUFFIX}")
    data = write(read_table(root))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_problem(out.parent, error) from error
    write_atomically(out, data)
    return out


def read_table(root: Path) -> Table:
    """The table that `export` writes, in declared order.

    Raises:
        UserError: not a results folder.
        EnvironmentProblem: the store is damaged.
    """
    # One transaction: a running driver may commit between the two queries.
    with look(root) as connection:
        rows = _cell_rows(connection)
        metric_names = _add_metrics(connection, rows)
    axes = _add_axes(rows, taken={*_IDENTITY, *_STATE, *_METRICS, *_RESULT, *metric_names})
    extra = [name for name in metric_names if name not in _METRICS]
    columns: dict[str, type] = dict(_IDENTITY)
    columns |= {name: _common_type(row.get(name) for row in rows.values()) for name in axes}
    columns |= _STATE | dict.fromkeys((*_METRICS, *extra), float) | _RESULT
    return Table(columns=columns, rows=[{name: row.get(name) for name in columns} for row in rows.values()])


def _cell_rows(connection: Connection) -> dict[str, Row]:
    cells, results = schema.cells, schema.results
    from_results = [results.c[name] for name in _RESULT if name in results.c]
    query = (
        sa.select(
            *(cells.c[name] for name in (*_IDENTITY, *_STATE, "axes_json")),
            *(results.c[f"{name}_json"] for name in _JSON),
            *from_results,
        )
        .select_from(cells.outerjoin(results, results.c.cell_id == cells.c.cell_id))
        .where(cells.c.retired.is_(False), ~schema.is_candidate)
        .order_by(cells.c.position, cells.c.cell_id)
    )
    rows = {}
    for row in connection.execute(query).mappings():
        marks, costs, provenance = (json.loads(row[f"{name}_json"] or "{}") for name in _JSON)
        rows[row["cell_id"]] = (
            dict(row)
            | {"marks": "; ".join(marks)}
            | {name: costs.get(name) for name in _FROM_COSTS}
            | {name: provenance.get(key) for name, key in _FROM_PROVENANCE.items()}
        )
    return rows


def _add_metrics(connection: Connection, rows: Mapping[str, Row]) -> list[str]:
    table = schema.metrics
    query = sa.select(table.c.cell_id, table.c.split, table.c.name, table.c.value, table.c.undefined)
    columns: dict[tuple[str, str], str] = {}
    for cell_id, split, name, value, undefined in connection.execute(query.where(table.c.label == "")):
        row = rows.get(cell_id)
        if row is None:
            continue
        column = columns.get((split, name))
        if column is None:
            column = columns[split, name] = _PREFIXES.get(split, f"{split}_") + name
        row[column] = value
        if undefined is not None:
            row["undefined_metrics"] = "; ".join(filter(None, [row.get("undefined_metrics"), f"{column}: {undefined}"]))
    return sorted(set(columns.values()))


def _add_axes(rows: Mapping[str, Row], *, taken: set[str]) -> list[str]:
    """Give every declared axis that is no column yet one of its own; `declared_` where a result has that name."""
    columns: dict[str, str] = {}
    for row in rows.values():
        for axis, value in json.loads(row["axes_json"]).items():
            if axis in _IDENTITY or axis == "variants":
                continue
            column = columns.setdefault(axis, f"declared_{axis}" if axis in taken else axis)
            row[column] = value
    return list(columns.values())


def _common_type(values: Any) -> type:
    types = {type(value) for value in values if value is not None}
    if len(types) == 1:
        only = types.pop()
        return only if only in (str, int, float, bool) else str
    return float if types == {int, float} else str


def _csv(table: Table) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([inert(name) for name in table.columns])
    columns = [(name, _CSV_TEXTS[kind]) for name, kind in table.columns.items()]
    writer.writerows(
        ["" if (value := row[name]) is None else text(value) for name, text in columns] for row in table.rows
    )
    return stream.getvalue().encode("utf-8")


def _csv_text(value: Any) -> str:
    return inert(value if isinstance(value, str) else json.dumps(value))


_CSV_TEXTS: Final[dict[type, Callable[[Any], str]]] = {
    str: _csv_text,
    bool: lambda value: "true" if value else "false",
    int: lambda value: repr(int(value)),
    float: lambda value: repr(float(value)),
}
"""How values of a column's type are written."""


def _json(table: Table) -> bytes:
    return (json.dumps(list(table.rows), allow_nan=False, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def _parquet(table: Table) -> bytes:
    # pyarrow takes a while to import; CSV and JSON do without.
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    arrays = {
        name: pa.array([_arrow_value(row[name], kind) for row in table.rows], type=types[kind])
        for name, kind in table.columns.items()
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink)
    return bytes(sink.getvalue())


def _arrow_value(value: Any, kind: type) -> Any:
    if value is None or (kind is str and isinstance(value, str)):
        return value
    return json.dumps(value) if kind is str else kind(value)


_WRITERS: Final[dict[str, Callable[[Table], bytes]]] = {".csv": _csv, ".parquet": _parquet, ".json": _json}
