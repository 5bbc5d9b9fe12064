"""The benchmark of the report: its store is one that the report can read, and its figures are of a whole process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from analysis.loading import load
from jobs.spec import CellState

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("report_size", FOLDER / "report_size.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def test_a_small_store_is_made_read_and_measured(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sys.modules["finished_store"]
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
