"""What `finegrid show CELL` says: everything the store knows about one cell, and how to compute it again alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import Connection

from grid.cell_logs import find_cell
from grid.escape import visible
from grid.single_cell import single_cell_config
from grid.store import schema
from grid.store.reading import read_attempts, read_pins, read_states
from grid.store.rows import CellRow
from grid.store.schema import look
from jobs.errors import UserError
from jobs.spec import CellState
from jobs.storage import Layout

_SPLITS: Final = ("test", "validation", "train")
_HASH_CHARACTERS: Final = 12
_NAMES: Final = ("pid", "seed")
"""Numbers that are names: no commas in them."""


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One number of a cell."""

    split: str
    name: str
    label: str
    """Empty for the whole split."""
    value: float | None
    undefined: str | None
    """Why there is no value."""


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """One cell, whole."""

    root: str
    cell: CellRow
    spec: Mapping[str, Any]
    """What is declared for it."""
    result: Mapping[str, Any] | None
    """Costs, counts, hashes, provenance, marks, folder; None before it is done."""
    metrics: tuple[MetricRow, ...]
    attempts: tuple[Mapping[str, Any], ...]
    files: tuple[str, ...]
    """In its result folder."""
    config: Mapping[str, Any] | None
    """Declares this cell and no other; None when no config of the store gives it any more."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "results": self.root,
            "cell_id": self.cell.cell_id,
            "title": self.cell.title,
            "state": str(self.cell.state),
            "kind": None if self.cell.kind is None else str(self.cell.kind),
            "reason": self.cell.reason,
            "retired": self.cell.retired,
            "declared": self.spec,
            "result": self.result,
            "metrics": [vars(row) for row in self.metrics],
            "attempts": list(self.attempts),
            "files": list(self.files),
            "config": self.config,
        }

    def render(self, console: Console) -> None:
        """Print the report for people; text of the store is shown, not obeyed."""
        cell = self.cell
        retired = " (no longer declared)" if cell.retired else ""
        console.print(Text(f"{cell.cell_id}  {visible(cell.title)}: {cell.state}{retired}", "bold"), soft_wrap=True)
        if cell.kind is not None or cell.reason:
            ending = ": ".join(str(part) for part in (cell.kind, cell.reason) if part)
            console.print(Text(visible(ending), "red" if cell.state == CellState.FAILED else ""), soft_wrap=True)
        if self.result is not None:
            self._render_result(self.result, console)
        _facts("declared", _meant(self.spec), console)
        self._render_attempts(console)
        for line in self._how_to_repeat():
            console.print(Text(line), soft_wrap=True)

    def _render_result(self, result: Mapping[str, Any], console: Console) -> None:
        for mark in result["marks"]:
            console.print(Text(f"mark: {visible(str(mark))}", "yellow"), soft_wrap=True)
        if self.metrics:
            console.print(_metric_table(self.metrics))
        for name in ("costs", "counts", "provenance"):
            _facts(name, _flat(result[name]), console)
        _facts(
            "data and weights", {key: str(value)[:_HASH_CHARACTERS] for key, value in result["hashes"].items()}, console
        )
        console.print(Text(f"\nfolder: {visible(str(Path(self.root) / result['folder']))}", "bold"), soft_wrap=True)
        console.print(Text("  " + "  ".join(visible(name) for name in self.files)), soft_wrap=True)

    def _render_attempts(self, console: Console) -> None:
        if self.attempts:
            console.print(Text("\nattempts", "bold"))
        for one in self.attempts:
            ending = ": ".join(str(one[key]) for key in ("kind", "reason") if one[key])
            said = f"  run {one['epoch']} attempt {one['attempt']}: {one['state']}" + (f", {ending}" if ending else "")
            log = f"  {visible(str(one['log'] or 'no log'))}"
            console.print(Text(visible(said)).append(log, "dim"), soft_wrap=True)

    def _how_to_repeat(self) -> tuple[str, ...]:
        if self.spec.get("candidate"):
            return ("\na candidate of the grid's tuning: it has no config of its own, and was never tested",)
        if self.config is None:
            return ("\nno config of this store gives this cell any more: its data, its model or FineGrid have changed",)
        words = f"finegrid show {self.cell.cell_id} {shlex.quote(self.root)} --config > {self.cell.cell_id}.json"
        return (
            "\nto compute it again alone:",
            f"  {words}",
            f"  finegrid run {self.cell.cell_id}.json --results again",
        )


def show_cell(root: Path, query: str) -> CellReport:
    """Collect everything about one cell.

    Args:
        root: results folder.
        query: first characters of a cell id, or words of a cell's title.
    Returns:
        the report.
    Raises:
        UserError: not a results folder, no such cell, or several.
        EnvironmentProblem: the index is damaged.
    """
    layout = Layout(root)
    with look(root) as connection:
        cell = find_cell(list(read_states(connection).values()), query)
        return _report(layout, connection, cell)


def config_of_cell(root: Path, query: str) -> str:
    """A config that declares one cell and no other, as JSON (which is YAML).

    Raises:
        UserError: as `show_cell`, or no config of the store gives this cell any more.
        EnvironmentProblem: the index is damaged.
    """
    report = show_cell(root, query)
    if report.config is None:
        raise UserError("\n".join(report._how_to_repeat()).strip())
    return json.dumps(report.config, indent=1, sort_keys=True, ensure_ascii=False)


def _report(layout: Layout, connection: Connection, cell: CellRow) -> CellReport:
    declared = (
        connection.execute(sa.select(schema.cells).where(schema.cells.c.cell_id == cell.cell_id)).mappings().one()
    )
    spec = json.loads(declared["spec_json"])
    result = _result(connection, cell.cell_id)
    configs = connection.execute(sa.select(schema.runs.c.config_json).order_by(schema.runs.c.epoch.desc()))
    return CellReport(
        root=str(layout.root),
        cell=cell,
        spec=spec,
        result=result,
        metrics=_metrics(connection, cell.cell_id),
        attempts=read_attempts(connection, cell.cell_id),
        files=() if result is None else _files(layout, result["folder"]),
        config=single_cell_config(
            cell.cell_id,
            axes=json.loads(declared["axes_json"]),
            spec=spec,
            configs=dict.fromkeys(configs.scalars()),
            pins=read_pins(connection),
        ),
    )


def _result(connection: Connection, cell_id: str) -> dict[str, Any] | None:
    table = schema.results
    row = connection.execute(sa.select(table).where(table.c.cell_id == cell_id)).mappings().one_or_none()
    if row is None:
        return None
    names = ("costs", "counts", "provenance", "hashes", "marks", "label_names")
    return {"folder": row["folder"]} | {name: json.loads(row[f"{name}_json"]) for name in names}


def _metrics(connection: Connection, cell_id: str) -> tuple[MetricRow, ...]:
    table = schema.metrics
    rows = connection.execute(
        sa.select(table.c.split, table.c.name, table.c.label, table.c.value, table.c.undefined).where(
            table.c.cell_id == cell_id
        )
    )
    found = [MetricRow(**row) for row in rows.mappings()]
    return tuple(sorted(found, key=lambda row: (row.label != "", row.name, row.label, row.split)))


def _files(layout: Layout, folder: str) -> tuple[str, ...]:
    place = (layout.root / folder).resolve()
    if not place.is_relative_to(layout.cells.resolve()) or not place.is_dir():
        return ()
    return tuple(sorted(path.name + ("/" if path.is_dir() else "") for path in place.iterdir()))


def _metric_table(metrics: Sequence[MetricRow]) -> Table:
    """Whole-split numbers, one row a metric; numbers of single labels stay in --json and the report's pages."""
    splits = [split for split in _SPLITS if any(row.split == split and not row.label for row in metrics)]
    table = Table(box=None, pad_edge=False)
    for name in ("metric", *splits):
        table.add_column(name, no_wrap=name == "metric", overflow="fold")
    by_name: dict[str, dict[str, str]] = {}
    for row in metrics:
        if not row.label:
            shown = visible(row.undefined or "undefined") if row.value is None else f"{row.value:.4f}"
            by_name.setdefault(row.name, {})[row.split] = shown
    for name, values in by_name.items():
        table.add_row(name, *(Text(values.get(split, "")) for split in splits))
    return table


def _facts(title: str, values: Mapping[str, Any], console: Console) -> None:
    if not values:
        return
    console.print(Text(f"\n{title}", "bold"))
    width = max(len(key) for key in values)
    for key, value in values.items():
        console.print(Text(f"  {visible(key):<{width}}  {visible(_shown(key, value))}"), soft_wrap=True)


def _shown(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return f"{value / 2**20:,.0f} MiB"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if key in _NAMES else f"{value:,}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else str(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _meant(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the declaration of a cell says about it, without settings of what it does not use."""
    data, recipe = spec["data"], spec.get("recipe") or {}
    unused = [
        *(["data.rows"] if data["source"] != "builtin" else []),
        *([] if data.get("augment") else ["data.augment_"]),
        *([] if data.get("bad_rows") == "drop" else ["data.max_bad_fraction"]),
        *([] if recipe.get("class_weights") == "effective_number" else ["recipe.effective_beta"]),
        *([] if data.get("task") == "multi_label" else ["evaluation.threshold"]),
    ]
    flat = _flat(_without_nones(spec))
    return {key: value for key, value in flat.items() if not key.startswith(tuple(unused))}


def _without_nones(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nones(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None and key not in ("axes", "cell_id", "grid") and value not in ("", [])
    }
