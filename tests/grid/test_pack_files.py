"""Packs as files: what a Slurm array trains without Ray is taken in by the store like the results of any run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from grid.doctor import doctor
from grid.options import RunOptions
from grid.pack_files import PackFiles, Task, write_packs
from grid.status import status
from jobs.spec import CellState, EventKind, PackSpec, loads
from tests.fakes.grids import write_config
from tests.fakes.trial import Workshop, run_pack


def packs_of(folder: Path, *, tasks: int = 2, gpus: int = 0) -> PackFiles:
    config = write_config(folder, scripts=("done",), seeds=range(5))
    options = RunOptions(config=str(config), results=str(folder / "results"))
    task = Task(number=tasks, cpus=1, gpus=gpus)
    return write_packs(options, folder / "packs", task, Console(quiet=True))


def train(path: Path, results: Path) -> None:
    """What a task does, with the fake trial."""
    pack = loads(PackSpec, path.read_text(encoding="utf-8"))
    events = list(run_pack(pack, Workshop(results, results)))
    assert sum(event.kind is EventKind.CELL_FINISHED for event in events) == len(pack.cells)


def test_what_is_left_is_written_and_what_is_there_is_taken_in(tmp_path: Path) -> None:
    first = packs_of(tmp_path)
    assert (len(first.files), first.num_cells, first.num_done) == (2, 5, 0)
    train(first.files[0], first.results)
    second = packs_of(tmp_path)
    assert second.num_done == 5 - second.num_cells > 0
    assert sorted((tmp_path / "packs").iterdir()) == list(second.files), "packs of the first call are gone"
    for path in second.files:
        train(path, second.results)
    assert doctor(second.results, rebuild_index=True).is_healthy
    assert status(second.results).counts[CellState.DONE] == 5
    assert packs_of(tmp_path).files == ()


def test_later_packs_win_over_earlier_ones(tmp_path: Path) -> None:
    epochs = [json.loads(packs_of(tmp_path).files[0].read_text())["cells"][0]["epoch"] for _ in range(2)]
    assert epochs[0] < epochs[1]


def test_packs_are_made_for_the_tasks(tmp_path: Path) -> None:
    written = packs_of(tmp_path, tasks=5)
    assert len(written.files) == 5
    pack = loads(PackSpec, written.files[0].read_text(encoding="utf-8"))
    assert (pack.resources.cpus, pack.resources.gpus) == (1, 0.0)


def test_people_read_how_to_submit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = packs_of(tmp_path)
    written.render(Console(width=200))
    assert "sbatch --array=0-1 clusters/slurm-array.sbatch" in capsys.readouterr().out
    assert written.to_json()["cells"] == 5
