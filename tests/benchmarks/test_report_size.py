"""The benchmark of the report: its store is one that the report can read, and its figures are of a whole process."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from analysis.loading import load
from jobs.spec import CellState


def test_a_small_store_is_made_read_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark, made = import_module("report_size"), import_module("finished_store")
    for name, value in (("LABELS", (2,)), ("SAMPLES", (800,)), ("SEEDS", 2), ("SKILLS", 6)):
        monkeypatch.setattr(made, name, value)
    store = tmp_path / "store"
    assert made.make_store(store, 70) == 74
    results = load(store)
    assert set(results.cells["state"]) == {CellState.DONE}
    found = benchmark.measure(store, tmp_path / "out", 1)
    assert found["cells"] == 74 and found["numbers"] == len(results.metrics[results.metrics["split"] != "cost"])
    assert found["aims"] == benchmark.AIMS["small"]
    assert 0 < found["processor_seconds"] and 50 < found["peak_mib"] and 0.01 < found["index_mib"] < 3
    assert not (tmp_path / "out").exists()
