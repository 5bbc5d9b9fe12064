"""F49: SQL in names, searches, metrics and axes: bound or refused; every table is intact afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.store import schema
from tests.faults.hostile_names import NAMES, analysis, hostile_grid

pytestmark = pytest.mark.faults
EVIL = "x'); DROP TABLE runs;--"


def test_f49_tables_are_intact_whatever_is_asked(tmp_path: Path, cache: Path) -> None:
    grid = hostile_grid(tmp_path, cache)
    assert grid.run().returncode == 0
    before = grid.dump()
    assert grid.command("logs", EVIL, str(grid.folder)).returncode in (0, 2)
    assert grid.command("logs", "' OR '1'='1", str(grid.folder)).returncode == 2
    for options in (("--metric", EVIL), ("--rows", EVIL), ("--cols", 'model" FROM cells; DROP TABLE runs;--')):
        refused = analysis(grid, "analysis.heatmaps", str(grid.folder), *options)
        assert refused.returncode != 0 and "Traceback" not in refused.stderr, refused.stderr
    assert grid.command("run", str(grid.config), "--set", f"axes.{EVIL}=[1]").returncode == 2
    assert grid.command("run", str(grid.config), "--set", f"name={EVIL!r}").returncode == 2
    assert grid.dump() == before
    assert len(grid.rows(schema.runs)) == 1 and len(grid.rows(schema.cells)) == len(NAMES)
    assert grid.command("doctor", str(grid.folder)).returncode == 0
