"""F21: each file, and the optimiser's part, of a checkpoint is missing once: said, and an older one is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.interrupted import LONG, OFTEN, STEPWISE, cell_ids, checkpoints, resumed_from, stop_when_further, told
from tests.jobs.training.stopped_cells import rewrite

pytestmark = pytest.mark.faults
TENSORS, STATE = "tensors.safetensors", "state.json"


def without_moments(folder: Path) -> None:
    """Whole and with right hashes, and still not enough to go on."""
    tensors = {name: t for name, t in load_file(folder / TENSORS).items() if not name.startswith("first/")}
    rewrite(folder, tensors, {"tensors": sorted(tensors)})


def test_f21_nothing_is_guessed_when_a_piece_of_state_is_missing(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    axes, keep = {"strategy": ["lora"], "seed": [0]}, {**OFTEN, "keep": 5}
    grid = make_tiny(axes=axes, recipe=LONG, compute=STEPWISE, checkpoint=keep)
    stop_when_further(grid, 1, by_steps=10)
    (cell_id,) = cell_ids(grid)
    (whole, _), *spoiled = checkpoints(grid, cell_id)
    for (_, folder), name in zip(spoiled, (TENSORS, STATE, "manifest.json"), strict=False):
        (folder / name).unlink()
    without_moments(spoiled[-1][1])

    grid.run_until_done()
    assert len(told(grid, "checkpoint_damaged")) == 3
    (line,) = told(grid, "checkpoint_not_usable")
    assert "first/..." in line["message"]
    assert resumed_from(grid, cell_id) == [whole.step]
    assert grid.dump() == clean_dump(grid)


def test_f21_without_any_usable_checkpoint_a_cell_starts_anew(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    grid = make_tiny(axes={"strategy": ["qlora"], "seed": [0]}, recipe=LONG, compute=STEPWISE, checkpoint=OFTEN)
    stop_when_further(grid, 1, by_steps=3)
    (cell_id,) = cell_ids(grid)
    for _, folder in checkpoints(grid, cell_id):
        (folder / STATE).unlink()
    grid.run_until_done()
    assert len(told(grid, "cell_starts_anew")) == 1
    assert resumed_from(grid, cell_id) == []
    assert grid.dump() == clean_dump(grid)
