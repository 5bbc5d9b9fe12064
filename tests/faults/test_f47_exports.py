"""F47: names that are formulas, table marks or LaTeX: exports hold them as text, and give them back whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.hostile_names import NAMES, hostile_grid

pytestmark = pytest.mark.faults


def test_f47_no_field_of_an_export_is_a_formula(tmp_path: Path, cache: Path) -> None:
    grid = hostile_grid(tmp_path, cache)
    assert grid.run().returncode == 0
    for suffix in ("csv", "json", "parquet"):
        assert grid.command("export", str(grid.folder), "--out", str(tmp_path / f"cells.{suffix}")).returncode == 0
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert len({len(row) for row in rows}) == 1 and len(rows) == len(NAMES) + 1
    column = rows[0].index("model")
    for row in rows[1:]:
        for value in row:
            assert not value.startswith(("=", "+", "@", "\t", "\r")), value
            assert not value.startswith("-") or float(value) <= 0, value
    assert [row[column].removeprefix("'") for row in rows[1:]] == NAMES
    assert [row["model"] for row in json.loads((tmp_path / "cells.json").read_text("utf-8"))] == NAMES
    assert pq.read_table(tmp_path / "cells.parquet")["model"].to_pylist() == NAMES
