"""The benchmark of the orchestrator on a few cells: real processes, the JSON it promises, and slopes of known lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

UNMEASURED = {"ms_per_further_cell": None, "driver_cpu_ms_per_further_cell": None}
"""A grid too small for a line."""


@pytest.fixture
def orchestration() -> Any:
    import orchestration

    return orchestration


@pytest.mark.ray
def test_a_small_grid_gives_every_figure(
    orchestration: Any, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The large grid is real; the small ones before and after it would only start Ray twice more."""
    real, asked = orchestration.run_grid, []

    def run_grid(folder: Path, cells: int, *, name: str = "") -> dict[str, Any]:
        asked.append((cells, name))
        return real(folder, cells, name=name) if cells == 20 else UNMEASURED

    monkeypatch.setattr(orchestration, "run_grid", run_grid)
    monkeypatch.setenv("FINEGRID_CACHE", str(cache))
    out = tmp_path / "result.json"
    options = f"--cells 20 --raw-trials 0 --repeats 1 --folder {tmp_path} --json --out {out}"
    assert orchestration.main(options.split()) == 1
    found = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == found and list(tmp_path.iterdir()) == [out]
    assert asked == [(2, ""), (20, ""), (2, "2-again")]
    assert set(found["runs"]) == {"2", "20"} and found["overhead_ms_per_cell"] > 0
    assert found["planning"]["finished_imports_ray"] is False
    assert {*found["aims"]} == {*found["met"]} <= {*found}
    assert found["met"]["overhead_ms_per_cell"] is False, "the start of Ray alone is more than 20 ms over 20 cells"
    assert min(found["planning_s"], found["status_s"], found["export_s"]) > 0
    assert found["machine"]["cores"] and found["disk"]["fsync_ms"] > 0 and found["raw_tune"] is None


def test_slopes_are_those_of_the_lines(orchestration: Any) -> None:
    mib = 2**20
    # 5 ms, 2 ms of processor and 3 KiB a cell, after a start of four seconds in which nothing is finished.
    samples = [[float(second), 0, 100 * mib, 1.0] for second in range(4)]
    samples += [[4 + n * 0.005, n, 100 * mib + n * 3072, 1 + n * 0.002] for n in range(0, 1001, 10)]
    found = orchestration.slopes(samples, 1000)
    assert found["ms_per_further_cell"] == pytest.approx(5)
    assert found["driver_cpu_ms_per_further_cell_by_fifth"] == pytest.approx([2] * 5)
    assert found["ms_per_further_cell_early"] == pytest.approx(5) == found["ms_per_further_cell_late"]
    assert found["driver_kib_per_cell"] == pytest.approx(3)
    assert found["driver_peak_mib"] == pytest.approx(100 + 3000 / 1024)


def test_a_run_whose_cells_get_dearer_is_seen_to_grow(orchestration: Any) -> None:
    """2 ms a cell until the middle, 3 ms from there on."""
    finished = range(0, 1001, 10)
    samples = [[2e-3 * n + 1e-3 * max(0, n - 500), n, 2**20, 1e-3 * n] for n in finished]
    found = orchestration.slopes(samples, 1000)
    assert orchestration._growth(found, "ms_per_further_cell") == pytest.approx(1.5)
    assert orchestration._growth(found, "driver_cpu_ms_per_further_cell") == pytest.approx(1.0)


def test_a_run_too_short_for_a_line_says_nothing(orchestration: Any) -> None:
    assert orchestration.slopes([[0.0, 0, 1, 0.0], [1.0, 2, 1, 0.1]], 2)["ms_per_further_cell"] is None


@pytest.mark.parametrize("cells", [2, 20, 1000, 10_000])
def test_configs_declare_as_many_cells_as_asked_for(orchestration: Any, tmp_path: Path, cells: int) -> None:
    from grid.config import count_cells, load_config

    assert count_cells(load_config(str(orchestration.config_of(tmp_path, cells)))) == cells


def test_two_stores_take_in_results_in_turn(orchestration: Any, tmp_path: Path) -> None:
    import store_growth

    found = store_growth.measure(100, 1, tmp_path)
    assert found["cells"] == [50, 100]
    assert found["cpu_ms"]["growth"] == found["cpu_ms"]["large"] / found["cpu_ms"]["small"] > 0
