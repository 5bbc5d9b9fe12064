"""The content of a store as text that does not depend on when, where or in how many tries it was computed."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema
from grid.store.reading import read_grid, read_pins
from grid.store.schema import look
from jobs.storage import RESULT, Layout, read_manifest


def canonical_dump(root: Path) -> str:
    """Everything that must be equal after faults and resumption, one JSON object a line.

    In: grid, pins, every cell with its declaration, state and failure kind, every metric at full
    precision, counts, hashes, marks, label names, and the hashes of the published files. Out: times,
    hosts, epochs and attempts, packs, costs, provenance, texts of failures.

    Args:
        root: results folder.

    Returns:
        lines sorted by cell id, each ended by a newline.

    Raises:
        DamagedResult: a done cell's folder cannot be read.
    """
    layout = Layout(root)
    with look(root) as connection:
        lines = [_store_line(connection), *_cell_lines(connection, layout)]
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n" for line in lines)


def _store_line(connection: Connection) -> dict[str, Any]:
    return {"grid": read_grid(connection), "pins": read_pins(connection)}


def _cell_lines(connection: Connection, layout: Layout) -> list[dict[str, Any]]:
    metrics = _metrics(connection)
    results = {row["cell_id"]: row for row in connection.execute(sa.select(schema.results)).mappings()}
    query = sa.select(schema.cells).order_by(schema.cells.c.cell_id)
    lines = []
    for cell in connection.execute(query).mappings():
        line = {name: cell[name] for name in ("cell_id", "title", "state", "kind", "retired")}
        line["spec"] = json.loads(cell["spec_json"])
        if result := results.get(cell["cell_id"]):
            line["result"] = _result(result, layout) | {"metrics": metrics[cell["cell_id"]]}
        lines.append(line)
    return lines


def _metrics(connection: Connection) -> dict[str, list[list[Any]]]:
    table = schema.metrics
    found: dict[str, list[list[Any]]] = defaultdict(list)
    query = sa.select(table).order_by(table.c.cell_id, table.c.split, table.c.name, table.c.label)
    for cell_id, *values in connection.execute(query):
        found[cell_id].append(values)
    return found


def _result(row: Any, layout: Layout) -> dict[str, Any]:
    folder = layout.root / row["folder"]
    files = {name: entry.sha256 for name, entry in read_manifest(folder).items() if name != RESULT}
    names = ("counts_json", "hashes_json", "marks_json", "label_names_json")
    return {name.removesuffix("_json"): json.loads(row[name]) for name in names} | {
        "epochs": row["epochs"],
        "files": files,
    }
