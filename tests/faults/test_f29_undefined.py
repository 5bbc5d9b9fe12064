"""F29: a metric without a value (a class is absent): stored, exported, drawn as undefined with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grid.store import schema
from tests.faults.harness import Grid
from tests.faults.hostile_names import analysis

pytestmark = pytest.mark.faults
REASON = "a class is absent"


def test_f29_a_metric_without_a_value_is_never_zero(toy: Grid, tmp_path: Path) -> None:
    assert toy.run().returncode == 0
    stored = [row for row in toy.rows(schema.metrics) if row["name"] == "f1_macro"]
    assert len(stored) == 2 and all(row["value"] is None and row["undefined"] == REASON for row in stored)

    out = tmp_path / "cells.json"
    assert toy.command("export", str(toy.folder), "--out", str(out)).returncode == 0
    for row in json.loads(out.read_text("utf-8")):
        assert row["f1_macro"] is None and row["accuracy"] is not None
        assert REASON in row["undefined_metrics"]

    drawn = analysis(toy, "analysis.heatmaps", str(toy.folder), "--metric", "f1_macro")
    assert drawn.returncode == 0, drawn.stderr
    assert any("f1_macro" in path.name for path in toy.folder.rglob("*.svg"))
